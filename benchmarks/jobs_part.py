"""What a conversion asks of BigQuery, counted on the emulator: jobs, calls of the API, statements, tables."""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlglot import exp

from conversions_assets_tests.shop import day, make_shop, order
from conversions_assets_tests.warehouse.api_methods import called_methods
from conversions_assets_tests.warehouse.bigquery_shop import BigQueryShop
from conversions_assets_tests.warehouse.emulated_client import EmulatedClient, Request
from conversions_assets_tests.warehouse.emulator import is_installed, running_emulator
from conversions_assets_tests.warehouse.statements import name_of, statements_of, tables_of

DML = (exp.Insert, exp.Update, exp.Delete, exp.Merge)
RAW = "shop"


@dataclass(frozen=True)
class Asked:
    """What one piece of work asks.

    Attributes:
        jobs: what is sent as one job, dry runs left out.
        calls: method of the API -> how often.
        dml: table of ours -> statements that write it.
        touched: tables that the statements name, once per statement: each is billed for 10 MB at least.
    """

    jobs: int
    calls: Mapping[str, int]
    dml: Mapping[str, int]
    touched: int


@dataclass(frozen=True)
class Work:
    """A scan that finds nothing, a rerun of ten changed days, and how many tables of ours a conversion has."""

    scan: Asked
    rerun: Asked
    tables: int


def measure_jobs() -> Work:
    """One conversion's work, on the emulator.

    Raises:
        SystemExit: the emulator is not installed.
    """
    if not is_installed():
        raise SystemExit("the BigQuery emulator is not installed: make bigquery-emulator")
    with tempfile.TemporaryDirectory() as folder, running_emulator(Path(folder) / "emulator.log") as address:
        shop = BigQueryShop(Path(folder), make_shop(Path(folder)).conversion, client=EmulatedClient(address, "scale"))
        _load(shop, value=10.0)
        first, last = day("01-21"), day("01-30")
        shop.update(first, last)
        scan = _count(shop, shop.scan)
        _load(shop, value=11.0)
        shop.now = datetime(2026, 1, 31, 12, tzinfo=UTC)
        rerun = _count(shop, lambda: shop.update(first, last))
        tables = {name for request in _requests(shop) for name in _tables(request) if "." in name}
        return Work(scan, rerun, sum(_is_ours(name) for name in tables))


def _load(shop: BigQueryShop, value: float) -> None:
    shop.set_orders([order(str(n), f"2026-01-{21 + n % 10}T10:00", value + n) for n in range(40)])


def _count(shop: BigQueryShop, work: Callable[[], object]) -> Asked:
    before = len(_requests(shop))
    with called_methods() as calls:
        work()
    requests = _requests(shop)[before:]
    statements = [tree for request in requests for tree in statements_of(request)]
    dml = Counter(
        name_of(table) for tree in statements if isinstance(tree, DML) for table in [tree.this.find(exp.Table)] if table
    )
    return Asked(
        jobs=sum(not request.config.get("dryRun") for request in requests),
        calls=dict(calls),
        dml={name: times for name, times in dml.items() if "." in name},
        touched=sum(len(tables_of(tree)) for tree in statements),
    )


def _requests(shop: BigQueryShop) -> Sequence[Request]:
    assert isinstance(shop.client, EmulatedClient)
    return shop.client.requests


def _tables(request: Request) -> set[str]:
    return {name for tree in statements_of(request) for name in tables_of(tree)}


def _is_ours(name: str) -> bool:
    return not name.startswith((f"{RAW}.", "fx."))

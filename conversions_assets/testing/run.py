"""Run one case: its rows into a DuckDB database in memory, the real query over its days, and what differs."""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml
from sqlglot import exp

from conversions_assets.contract.columns import NAMES
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.contract.query import read_query
from conversions_assets.contract.source import QueryError
from conversions_assets.contract.stage import Run, Wanted, stage
from conversions_assets.project import Clock, load_project
from conversions_assets.testing.casefile import Case, CaseFile, settle_days
from conversions_assets.testing.compare import Difference, Result, differences, table_of
from conversions_assets.testing.document import CaseError
from conversions_assets.testing.types import Types, column_types, insert
from conversions_assets.warehouse.base import Statement, Table, WarehouseError
from conversions_assets.warehouse.dialect import DialectError
from conversions_assets.warehouse.duckdb import DuckDBWarehouse

IN_MEMORY = Path(":memory:")


def read_conversion(folder: Path) -> Conversion:
    """The conversion that a folder's defs.yaml describes, with the SQL that it runs.

    Raises:
        CaseError: defs.yaml names no query.
        QueryError: the SQL is refused.
    """
    path = folder / "defs.yaml"
    attributes = _attributes(path)
    dedup = attributes.get("dedup", "earliest")
    if dedup not in ("earliest", "latest"):
        raise CaseError(f"{path}:1: dedup: {dedup!r} cannot be\n  fix: write earliest or latest")
    # The first day and the window count for a deployment, not for one run of the SQL.
    return Conversion(folder.name, read_query(folder / attributes["query"]), date.min, 0, dedup, load_project())


def _attributes(path: Path) -> Mapping[str, Any]:
    try:
        documents = list(yaml.safe_load_all(path.read_bytes()))
    except (OSError, yaml.YAMLError) as error:
        raise CaseError(f"{path}:1: this cannot be read: {error}\n  fix: see what `dg check yaml` says") from error
    for document in documents:
        attributes = document.get("attributes") if isinstance(document, dict) else None
        if isinstance(attributes, dict) and isinstance(attributes.get("query"), str):
            return attributes
    raise CaseError(f"{path}:1: there is no `query:` under `attributes:`\n  fix: name the SQL file that is tested")


def run_case(file: CaseFile, case: Case, conversion: Conversion, known: Mapping[Table, Types]) -> None:
    """Run one case.

    Args:
        known: columns of raw tables with their BigQuery types, where they are known.

    Raises:
        CaseError: the file does not fit the SQL, or the result is not what the case expects.
    """
    days, now = settle_days(file.document, case, conversion.project)
    types = column_types(file, conversion.query, known)
    with DuckDBWarehouse(IN_MEMORY) as warehouse:
        for table, columns in types.items():
            _fill(warehouse, file, case, table, columns)
        run = Run("test", Clock(now, replaced=True), conversion.project.local_date(now), None)
        try:
            stage(warehouse, conversion, Wanted(days), run)
        except QueryError as error:
            raise CaseError(f"{_headline(file, case, days, now)}\n{error}\n{_told(types)}") from error
        result = _result(warehouse, days)
    found = differences(case, result)
    if found:
        raise CaseError(f"{_headline(file, case, days, now)}\n{table_of(found)}\n{_fix(found)}")


def _fill(warehouse: DuckDBWarehouse, file: CaseFile, case: Case, table: Table, types: Types) -> None:
    given = case.given[table]
    try:
        warehouse.create_table(table, types)
        if given.rows:
            warehouse.execute([Statement(insert(file, given, types))])
    except (WarehouseError, DialectError) as error:
        raise file.document.wrong(given.line, f"{table} cannot be filled: {error}", "correct its rows") from error


def _result(warehouse: DuckDBWarehouse, days: Days) -> Result:
    rows = warehouse.query(Statement(exp.select(*NAMES, "day", "refusal").from_("staged").order_by("created", "id")))
    accepted = [row for row in rows if row["refusal"] is None]
    # A refused row counts on its day, or on none where its time lies in the future (R6).
    refused = [row for row in rows if row["refusal"] is not None and (row["day"] in days or "future" in row["refusal"])]
    return Result(
        accepted=[row for row in accepted if row["day"] in days],
        outside=[row for row in accepted if row["day"] not in days],
        refused=refused,
    )


def _headline(file: CaseFile, case: Case, days: Days, now: datetime) -> str:
    return f"{file.document.path}:{case.line}: {case.name}\n  days {days}, now {now:%Y-%m-%d %H:%M} UTC"


def _told(types: Mapping[Table, Types]) -> str:
    tables = "\n".join(
        f"    {table}: {', '.join(f'{name} {kind}' for name, kind in columns.items())}"
        for table, columns in types.items()
    )
    return f"  the raw tables of this file (a column that the SQL lacks is missing in `given:`):\n{tables}"


def _fix(found: list[Difference]) -> str:
    if all(difference.extra for difference in found):
        return "  fix: correct the SQL, or add the rows to the case"
    return "  fix: correct the SQL, or what the case expects"

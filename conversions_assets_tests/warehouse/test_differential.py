"""One meaning on two engines: ZetaSQL and our translation to DuckDB agree on the corpus, or ours refuses.

The corpus is differential/expressions.yaml and differential/queries/; both say how to extend it.
"""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlglot import exp

from conversions_assets.warehouse.base import Statement, Table, WarehouseError
from conversions_assets.warehouse.dialect import DialectError, parse_bigquery
from conversions_assets.warehouse.duckdb import DuckDBWarehouse
from conversions_assets.warehouse.rewrites.known import KNOWN, OWN, functions_of
from conversions_assets_tests.warehouse.differential.corpus import Entry, expressions, queries, tables, with_tables
from conversions_assets_tests.warehouse.differential.reference import Reference, Refusal, Result

EXPRESSIONS, QUERIES = expressions(), queries()
FLOAT_DIGITS = 1e-12


@pytest.fixture(scope="module")
def reference(request: pytest.FixtureRequest) -> Reference:
    return Reference(request.config.cache.mkdir("zetasql"))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    with DuckDBWarehouse(tmp_path_factory.mktemp("differential") / "warehouse.duckdb") as warehouse:
        for name, rows in tables().items():
            table = Table(*name.split("."))
            [tree] = parse_bigquery(rows)
            schema = exp.Create(this=exp.to_identifier(table.dataset), kind="SCHEMA", exists=True)
            create = exp.Create(this=table.expression, kind="TABLE", expression=tree)
            warehouse.execute([Statement(schema), Statement(create)])
        yield warehouse


def _ours(warehouse: DuckDBWarehouse, sql: str) -> Result:
    [tree] = parse_bigquery(sql)
    columns = warehouse.describe(Statement(tree))
    rows = warehouse.query(Statement(tree))
    return Result(tuple(columns), tuple(columns.values()), [tuple(row.values()) for row in rows])


def _comparable(value: Any) -> Any:
    """A value that is equal to another one only if it has the same type too."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else ("FLOAT64", value)
    if isinstance(value, Decimal):
        return ("NUMERIC", value.normalize())
    if isinstance(value, dict):
        return tuple(_comparable(part) for part in value.values())
    if isinstance(value, tuple):
        return tuple(_comparable(part) for _, part in value)
    if isinstance(value, list):
        return [_comparable(part) for part in value]
    return (type(value).__name__, value, getattr(value, "tzinfo", None) is not None)


def _rows(result: Result, entry: Entry) -> list[Any]:
    rows = [[_comparable(value) for value in row] for row in result.rows]
    return rows if entry.is_ordered else sorted(rows, key=repr)


def _is_close(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_is_close, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=FLOAT_DIGITS)
    return bool(ours == theirs)


def _check(entry: Entry, reference: Reference, warehouse: DuckDBWarehouse) -> None:
    theirs = _theirs(reference, entry)
    if theirs is None or entry.refused is not None:
        with pytest.raises((DialectError, WarehouseError)) as refused:
            _ours(warehouse, entry.sql)
        assert (entry.refused or "") in str(refused.value)
        return
    ours = _ours(warehouse, entry.sql)
    assert [name.lower() for name in ours.names] == [name.lower() for name in theirs.names]
    # A column of NULLs alone has no type in DuckDB.
    pairs = zip(ours.types, theirs.types, strict=True)
    assert [(mine, kind) for mine, kind in pairs if mine != "NULL" and _type(mine) != _type(kind)] == []
    if entry.approximate:
        assert _is_close(_rows(ours, entry), _rows(theirs, entry))
    else:
        assert _rows(ours, entry) == _rows(theirs, entry)


def _theirs(reference: Reference, entry: Entry) -> Result | None:
    """What ZetaSQL gives; None if that is an error."""
    try:
        return reference.query(with_tables(entry.sql))
    except Refusal as refusal:
        if refusal.analysis:
            pytest.fail(f"no BigQuery SQL: {refusal}")
        return None


def _type(name: str) -> str:
    return name.replace(" ", "").lower()


@pytest.mark.parametrize("entry", EXPRESSIONS, ids=lambda entry: entry.name)
def test_an_expression_means_what_zetasql_says(entry: Entry, reference: Reference, warehouse: DuckDBWarehouse) -> None:
    _check(entry, reference, warehouse)


@pytest.mark.parametrize("entry", QUERIES, ids=lambda entry: entry.name)
def test_a_query_means_what_zetasql_says(entry: Entry, reference: Reference, warehouse: DuckDBWarehouse) -> None:
    _check(entry, reference, warehouse)


def test_the_corpus_is_large_enough_and_has_nothing_twice() -> None:
    assert len(EXPRESSIONS) >= 300
    assert len(QUERIES) >= 50
    texts = [entry.sql for entry in [*EXPRESSIONS, *QUERIES]]
    assert sorted(text for text in set(texts) if texts.count(text) > 1) == []


def test_every_function_that_is_let_through_is_in_the_corpus() -> None:
    compared: set[str] = set()
    for entry in [*EXPRESSIONS, *QUERIES]:
        if entry.refused is None:
            for tree in parse_bigquery(entry.sql):
                compared |= functions_of(tree)
    assert sorted(KNOWN - compared) == []
    assert KNOWN.isdisjoint(OWN)


def test_a_wrong_answer_would_be_seen() -> None:
    """The comparison itself: values that only look alike are different."""
    for ours, theirs in [(1, 1.0), (1, True), (Decimal("1"), 1), (0.1 + 0.2, 0.3), (None, 0), ("1", 1)]:
        assert _comparable(ours) != _comparable(theirs)
    assert _comparable(math.nan) == _comparable(math.nan)

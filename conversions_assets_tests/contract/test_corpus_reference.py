"""Google's analyser on the corpus: it accepts each right query with the types we tell, and refuses what clashes."""

import re
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from conversions_assets.contract.check.analysis import analyse
from conversions_assets.contract.check.types import clashes
from conversions_assets.contract.query import read_query
from conversions_assets_tests.contract.test_corpus import CATALOG, RIGHT, WRONG
from conversions_assets_tests.warehouse.differential.reference import Reference, Refusal, Result

CLASHES = [case for case in WRONG if case.get("google") == "refuses"]


@pytest.fixture(scope="module")
def reference(request: pytest.FixtureRequest) -> Reference:
    folder = request.config.cache.mkdir("zetasql")
    # The first set-up compiles for half a minute: two processes must not both do it.
    with FileLock(folder / "lock"):
        return Reference(folder)


def _with_tables(sql: str) -> str:
    """The query over empty tables of the catalog, written as steps before it: the evaluator has no tables."""
    steps = []
    for table, columns in CATALOG.schemas.items():
        known = {**columns, **CATALOG.pseudo_columns(table)}
        empty = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in known.items())
        steps.append(f"{table.dataset}_{table.name} AS (SELECT {empty} FROM UNNEST([1]) WHERE FALSE)")
    shard = CATALOG.schemas[next(t for t in CATALOG.schemas if t.dataset == "ga4")]
    empty = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in {**shard, "_TABLE_SUFFIX": "STRING"}.items())
    steps.append(f"ga4_events_all AS (SELECT {empty} FROM UNNEST([1]) WHERE FALSE)")
    sql = sql.replace("`ga4.events_*`", "ga4_events_all").replace("⟦", "").replace("⟧", "")
    datasets = "|".join({table.dataset for table in CATALOG.schemas})

    def named(found: re.Match[str]) -> str:
        alias = "" if re.match(r"\s+AS\s+\w", sql[found.end() :], re.IGNORECASE) else f" AS {found[2]}"
        return f"{found[1]}_{found[2]}{alias}"

    sql = re.sub(rf"(?<![\w.])({datasets})\.(\w+)", named, sql)
    sql = sql.replace("@start_date", "DATE '2025-01-01'").replace("@end_date", "DATE '2025-01-31'")
    own = re.match(r"\s*WITH\s+", sql, re.IGNORECASE)
    return f"WITH {', '.join(steps)}{', ' if own else ' '}{sql[own.end() :] if own else sql}"


@pytest.mark.parametrize("case", RIGHT, ids=[case["name"] for case in RIGHT])
def test_google_accepts_a_right_query_with_the_types_that_we_tell(
    tmp_path: Path, reference: Reference, case: dict[str, Any]
) -> None:
    found: Result = reference.query(_with_tables(case["sql"]))
    file = tmp_path / "query.sql"
    file.write_text(case["sql"], encoding="utf-8")
    analysis = analyse(read_query(file), CATALOG)
    assert analysis is not None
    assert {name.lower(): kind for name, kind in analysis.types().items()} == {
        name.lower(): kind for name, kind in zip(found.names, found.types, strict=True)
    }


@pytest.mark.parametrize("case", CLASHES, ids=[case["name"] for case in CLASHES])
def test_google_refuses_what_clashes(reference: Reference, case: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        reference.query(_with_tables(case["sql"]))
    assert refused.value.analysis


def test_what_clashes_is_asked() -> None:
    assert len(CLASHES) >= 25


PAIRS = {"number": "INT64", "total": "FLOAT64", "tax": "NUMERIC", "id": "STRING", "is_paid": "BOOL", "day": "DATE"}
PAIRS |= {
    "ordered_local": "DATETIME",
    "ordered_at": "TIMESTAMP",
    "props": "JSON",
    "'2025-01-01'": "a text",
    "NULL": "NULL",
}


@pytest.mark.parametrize("form", ["{} = {}", "{} + {}", "COALESCE({}, {})"])
def test_we_find_the_clashes_that_google_finds(tmp_path: Path, reference: Reference, form: str) -> None:
    different = []
    for left, right in combinations_with_replacement(PAIRS, 2):
        sql = f"SELECT {form.format(left, right)} AS x FROM shop.orders"
        try:
            reference.query(_with_tables(sql))
            theirs = True
        except Refusal:
            theirs = False
        file = tmp_path / "query.sql"
        file.write_text(sql, encoding="utf-8")
        analysis = analyse(read_query(file), CATALOG)
        assert analysis is not None
        if theirs == bool(list(clashes(analysis))):
            different.append(f"{PAIRS[left]}, {PAIRS[right]}: {'accepted' if theirs else 'refused'} by Google")
    assert not different, "\n".join(different)

"""The corpus: each wrong query gives its finding at its place, no right one is refused (corpus/*.yaml)."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from conversions_assets.contract.check.catalog import Catalog
from conversions_assets.contract.check.static import check
from conversions_assets.contract.query import read_query
from conversions_assets.contract.source import Finding, QueryError
from conversions_assets.warehouse.base import Table
from conversions_assets.warehouse.raw import RawTable

CORPUS = Path(__file__).with_name("corpus")


def _load(name: str) -> Any:
    return yaml.safe_load((CORPUS / name).read_text(encoding="utf-8"))


def _table(name: str) -> Table:
    return Table(*name.split("."))


def corpus_catalog() -> Catalog:
    """The tables of catalog.yaml."""
    known = _load("catalog.yaml")
    declared = {_table(n): RawTable(_table(n), partition_column=c) for n, c in known["partition_columns"].items()}
    declared |= {_table(name): RawTable(_table(name)) for name in known["not_loaded"]}
    return Catalog({_table(name): columns for name, columns in known["schemas"].items()}, declared)


CATALOG = corpus_catalog()
WRONG = _load("wrong.yaml")
RIGHT = _load("right.yaml")


def findings_of(folder: Path, sql: str) -> list[Finding]:
    """Everything that reading and checking a query says."""
    file = folder / "query.sql"
    file.write_bytes(sql.encode())
    try:
        return list(check(read_query(file), CATALOG))
    except QueryError as error:
        return list(error.findings)


def _underlined(finding: Finding) -> str:
    source, marks = finding.excerpt.splitlines()
    text, underline = source.split(" | ", 1)[1], marks.split("| ", 1)[1]
    return text[underline.index("^") : underline.rindex("^") + 1]


@pytest.mark.parametrize("case", WRONG, ids=[case["name"] for case in WRONG])
def test_r01_r04_a_wrong_query_gives_its_finding_at_its_place(tmp_path: Path, case: dict[str, str]) -> None:
    before, word, after = re.split("[⟦⟧]", case["sql"])
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    findings = findings_of(tmp_path, before + word + after)
    severity = case.get("severity", "error")
    same = [
        f for f in findings if case["says"] in f.problem and (f.line, f.column, f.severity) == (line, column, severity)
    ]
    assert same, "\n".join(map(str, findings)) or "nothing was found"
    assert case["fix"] in same[0].fix
    assert _underlined(same[0]) == word
    if severity == "warning":
        assert not [f for f in findings if f.severity == "error"], "a warning refuses nothing"


@pytest.mark.parametrize("case", RIGHT, ids=[case["name"] for case in RIGHT])
def test_nothing_is_said_against_a_right_query(tmp_path: Path, case: dict[str, str]) -> None:
    assert findings_of(tmp_path, case["sql"]) == []


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len({case["sql"] for case in WRONG}) == len(WRONG) >= 60
    assert len({case["sql"] for case in RIGHT}) == len(RIGHT) >= 30

"""The macros of duckdb_functions.sql and duckdb_bigquery.sql. A session makes those that its statements call: all of
them cost as much as a small run's planning."""

import re
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path

FILES = ("duckdb_functions.sql", "duckdb_bigquery.sql")
MACRO = re.compile(r"^CREATE OR REPLACE TEMP MACRO (\w+)\(.*?(?=^CREATE |\Z)", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"(\w+)\(")


def missing_macros(sql: str, made: Set[str]) -> Iterator[tuple[str, str]]:
    """Name and CREATE statement of each macro that a DuckDB statement calls, what it calls itself first.

    Args:
        made: names of macros that the session has.
    """
    seen = set(made)
    for name in _called(sql):
        yield from _with_needed(name, seen)


def _with_needed(name: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    if name in seen:
        return
    seen.add(name)
    text, needed = _macros()[name]
    for other in needed:
        yield from _with_needed(other, seen)
    yield name, text


def _called(sql: str) -> list[str]:
    return [name for name in dict.fromkeys(map(str.lower, CALL.findall(sql))) if name in _texts()]


@cache
def _texts() -> dict[str, str]:
    sql = "\n".join(Path(__file__).with_name(file).read_text(encoding="utf-8") for file in FILES)
    return {match[1]: match[0] for match in MACRO.finditer(sql)}


@cache
def _macros() -> dict[str, tuple[str, list[str]]]:
    return {name: (text, _called(text)) for name, text in _texts().items()}

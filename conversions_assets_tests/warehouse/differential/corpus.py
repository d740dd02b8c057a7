"""The corpus: what is compared, read from expressions.yaml, tables.yaml and queries/."""

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """A statement that both engines get.

    Attributes:
        name: what the test is called.
        sql: BigQuery SQL.
        refused: a part of the message with which ours refuses it; None if both must agree.
        approximate: floats may differ in the last digits.
    """

    name: str
    sql: str
    refused: str | None = None
    approximate: bool = False

    @property
    def is_ordered(self) -> bool:
        """Whether the order of the rows is part of the answer."""
        return re.search(r"\bORDER BY [^()]*$", self.sql.strip()) is not None


def expressions() -> list[Entry]:
    """The entries of expressions.yaml."""
    topics = yaml.safe_load((FOLDER / "expressions.yaml").read_text(encoding="utf-8"))
    return [_expression(topic, item) for topic, items in topics.items() for item in items]


def queries() -> list[Entry]:
    """The files of queries/, and one SELECT * per table."""
    files = [Entry(path.stem, path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "queries").glob("*.sql"))]
    return files + [Entry(f"table_{name}", f"SELECT * FROM {name}") for name in tables()]


@cache
def tables() -> dict[str, str]:
    """`dataset.table` -> a SELECT of its rows."""
    loaded: dict[str, str] = yaml.safe_load((FOLDER / "tables.yaml").read_text(encoding="utf-8"))
    return loaded


def with_tables(sql: str) -> str:
    """The statement with its tables as WITH clauses, for an engine without tables."""
    parts = {_plain(name): rows for name, rows in tables().items()}
    sql = re.sub(r"^\s*--.*$", "", sql, flags=re.MULTILINE)
    for prefix, names in _wildcards().items():
        branches = (f"SELECT *, '{name.removeprefix(prefix)}' AS _TABLE_SUFFIX FROM {_plain(name)}" for name in names)
        parts[_plain(prefix) + "all"] = "\nUNION ALL\n".join(branches)
        sql = re.sub(rf"`?\b{re.escape(prefix)}\*`?", _plain(prefix) + "all", sql)
    for name in sorted(tables(), key=len, reverse=True):
        sql = re.sub(rf"\b{re.escape(name)}\b", _plain(name), sql)
    clauses = ",\n".join(f"{name} AS ({rows})" for name, rows in parts.items() if _is_needed(name, sql, parts))
    if not clauses:
        return sql
    own = re.match(r"\s*WITH( RECURSIVE)?\b", sql)
    if own is None:
        return f"WITH {clauses}\n{sql}"
    return f"WITH{own[1] or ''} {clauses},\n{sql[own.end() :]}"


def _is_needed(name: str, sql: str, parts: dict[str, str]) -> bool:
    users = [sql, *(rows for other, rows in parts.items() if other.endswith("all") and other in sql)]
    return any(re.search(rf"\b{name}\b", text) for text in users)


@cache
def _wildcards() -> dict[str, list[str]]:
    found = defaultdict(list)
    for name in tables():
        if day := re.fullmatch(r"(.+_)\d{8}", name):
            found[day[1]].append(name)
    return found


def _plain(name: str) -> str:
    return name.replace(".", "__")


def _expression(topic: str, item: str | dict[str, str]) -> Entry:
    text = item if isinstance(item, str) else item["sql"]
    options = {} if isinstance(item, str) else item
    sql = text if re.match(r"(SELECT|WITH)\b", text) else f"SELECT {text} AS x"
    return Entry(f"{topic}: {text}", sql, options.get("refused"), bool(options.get("approximate")))

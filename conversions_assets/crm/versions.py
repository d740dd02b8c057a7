"""`<table>_versions`: every state of a row that a load has seen, once, whichever loads repeat it.

The load id of a row also moves where a lag window reads an unchanged row again; a version's key does not.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

Row = dict[str, Any]
KEY = ("id", "version")
TIME = "updated_at"
COLUMNS: dict[str, str] = {
    "id": "text",
    "version": "text",
    "updated_at": "timestamp",
    "_deleted": "bool",
    "row": "text",
}


def fingerprint(row: Mapping[str, Any]) -> str:
    """SHA-256 of a row's stable JSON."""
    return hashlib.sha256(stable_json(row).encode()).hexdigest()


def stable_json(row: Mapping[str, Any]) -> str:
    """Sorted keys, times in ISO 8601, no columns that are NULL: a new empty property makes no new version."""
    filled = {name: value for name, value in row.items() if value is not None}
    return json.dumps(filled, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_text)


def versions(rows: Iterable[Row]) -> Iterator[Row]:
    """A version for each row."""
    for row in rows:
        text = stable_json(row)
        yield {
            "id": row["id"],
            "version": hashlib.sha256(text.encode()).hexdigest(),
            "updated_at": row.get("updated_at"),
            "_deleted": row.get("_deleted", False),
            "row": text,
        }


def _text(value: Any) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"a row holds a {type(value).__name__}")

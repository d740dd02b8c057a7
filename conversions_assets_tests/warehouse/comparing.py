"""What a conversion's tables hold, so that the rows of both engines can be compared."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from conversions_assets.warehouse.base import Table
from conversions_assets_tests.shop import Shop


def _comparable(value: Any, name: str = "") -> Any:
    """How numbers become text is the engine's own business."""
    if isinstance(value, float):
        # A sum depends on the order of its terms.
        return round(value, 6)
    if name == "fingerprint":
        return value is not None
    if name in ("frozen_value", "crm_value") and re.fullmatch(r"-?\d+(\.\d+)?", value or ""):
        return str(float(value))
    if name in ("before", "after", "row") and value is not None:
        row = json.loads(value)
        # The emulator writes 3.0 as text where BigQuery writes 3.
        return row | {"value": None if row["value"] is None else str(float(row["value"]))}
    return value


def comparable_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows without what each engine writes in its own way."""
    return [{name: _comparable(value, name) for name, value in row.items()} for row in rows]


def all_tables(shop: Shop) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables of the shop's conversion."""
    conversion = shop.conversion
    ordered: dict[Table, str] = {
        conversion.stored: "day, id",
        conversion.quarantine: "day, id, reason",
        conversion.covered: "day",
        conversion.published: "id",
        conversion.ledger: "id, version",
        conversion.drift: "id, kind, field",
        conversion.published_days: "day",
        conversion.raw_rows: "raw_table",
    }
    return {
        str(table): comparable_rows(shop.query(f'SELECT * FROM {table.dataset}."{table.name}" ORDER BY {order}'))
        for table, order in ordered.items()
    }

"""What was staged, in numbers: one row per day, computed in SQL, which Great Expectations checks and a person reads."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from conversions_assets.contract.columns import COLUMNS, GEO_KEYS, NAMES, OPTIONAL, Presence
from conversions_assets.contract.conversion import Conversion, Days
from conversions_assets.warehouse.base import Statement, Warehouse
from conversions_assets.warehouse.dialect import parse_expression
from conversions_assets.warehouse.script import bind

HERE = Path(__file__).parent
Row = Mapping[str, Any]
NEVER_NULL = tuple(column.name for column in COLUMNS if column.null != Presence.ALLOWED)


def read_profile(
    warehouse: Warehouse, conversion: Conversion, days: Days, returned: frozenset[str], personal: Sequence[Row]
) -> list[dict[str, Any]]:
    """One row per wanted day; a day without a row has zeros.

    Args:
        returned: the columns that the query returned.
        personal: per day and key the values that look personal (R9).

    Returns:
        The columns of profile.sql; per returned column `filled_<name>`, the accepted rows that have it; `nulls_<name>`
        where a NULL cannot be; `empty_<name>` where the column is optional (R4: 1 for a day without any); with params
        `geo_<key>`; shares and rises; and two lists of names, `empty_columns` and `personal_keys`.
    """
    params = {"first_day": days.first, "last_day": days.last}
    [statement] = bind(HERE / "profile.sql", {}, params)
    # R4: what the project's default fills was NULL, and BigQuery keeps an empty array where params were.
    filled = {name: f"s.{name} IS NOT NULL" for name in NAMES}
    filled |= {"currency": "s.states_currency", "params": "ARRAY_LENGTH(s.params) > 0"}
    counted = {f"filled_{name}": filled[name] for name in returned}
    if "params" in returned:
        counted |= {f"geo_{key}": f"has_key(s.params, '{key}')" for key in GEO_KEYS}
    counting = [parse_expression(f"COUNTIF(s.refusal IS NULL AND {what}) AS {name}") for name, what in counted.items()]
    tree = statement.tree.select(*counting)  # type: ignore[attr-defined]
    found = {row["day"]: row for row in warehouse.query(Statement(tree, statement.params))}
    empty = dict.fromkeys(tree.named_selects, 0)
    profile = [found.get(day) or {**empty, "day": day} for day in days.all()]
    _add_shares(warehouse, profile, params)
    _add_columns(profile, returned, conversion.project.thresholds.empty_column_rows)
    _add_personal(profile, personal)
    rises = _attribution_rises(warehouse, conversion, profile)
    for row in profile:
        row["not_attributed_rise"] = rises[row["day"]]
    return profile


def _add_shares(warehouse: Warehouse, profile: Sequence[dict[str, Any]], params: Mapping[str, Any]) -> None:
    share = 0.0
    if any(row["conflicting_ids"] for row in profile):
        [counting] = bind(HERE / "conflicts.sql", {}, params)
        counted = warehouse.query(counting)[0]
        share = counted["conflicting"] / counted["ids"]
    for row in profile:
        # The share is the whole result's (R5); the days that hold such ids are the ones that fail.
        row["conflicting_ids_share"] = share if row["conflicting_ids"] else 0.0
        row["quarantined_share"] = row["quarantined_rows"] / row["returned_rows"] if row["returned_rows"] else 0.0
        row["not_attributed_share"] = row["not_attributed_rows"] / row["ids"] if row["ids"] else 0.0


def _add_columns(profile: Sequence[dict[str, Any]], returned: frozenset[str], least_rows: int) -> None:
    optional = [name for name in OPTIONAL if name in returned]
    for row in profile:
        nothing = [name for name in optional if row["ids"] >= least_rows and not row[f"filled_{name}"]]
        row.update({f"nulls_{name}": row["ids"] - row[f"filled_{name}"] for name in NEVER_NULL})
        row.update({f"empty_{name}": int(name in nothing) for name in optional}, empty_columns=nothing)


def _add_personal(profile: Sequence[dict[str, Any]], personal: Sequence[Row]) -> None:
    for row in profile:
        here = [found for found in personal if found["day"] == row["day"]]
        row["personal_values"] = sum(found["value_count"] for found in here)
        row["personal_keys"] = sorted({found["key"] for found in here})


def _attribution_rises(warehouse: Warehouse, conversion: Conversion, profile: Sequence[Row]) -> dict[date, float]:
    """R8: per day the share of (not attributed) less its mean over the days before; 0 where nothing is before."""
    length = conversion.project.thresholds.not_attributed_days
    first, last = profile[0]["day"], profile[-1]["day"]
    before = {"first_day": first - timedelta(days=length), "last_day": last}
    [statement] = bind(HERE / "attribution.sql", {"stored": conversion.stored}, before)
    shares = {row["day"]: row["not_attributed"] / row["ids"] for row in warehouse.query(statement)}
    shares |= {row["day"]: row["not_attributed_share"] for row in profile if row["ids"]}
    rises = {}
    for row in profile:
        day = row["day"]
        past = [shares[d] for n in range(1, length + 1) for d in [day - timedelta(days=n)] if d in shares]
        rises[day] = shares[day] - sum(past) / len(past) if past and row["ids"] else 0.0
    return rises

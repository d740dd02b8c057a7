"""The columns of the dataset `adjusted` (docs/rules.md: R16, R21, R22, R24)."""

from conversions_assets.contract.columns import COLUMNS, COVERED_DAYS
from conversions_assets.contract.conversion import Conversion

PUBLISHED: dict[str, str] = {column.name: column.type for column in COLUMNS} | {
    "day": "DATE",
    "attribution": "STRING",
    "value_source": "STRING",
    "status": "STRING",
    "adjustment_type": "STRING",
    "adjustment_reason": "STRING",
    "original_value": "FLOAT64",
    "previous_value": "FLOAT64",
    "previous_currency": "STRING",
    "adjusted_at": "TIMESTAMP",
    "adjustment_count": "INT64",
    "first_published_at": "TIMESTAMP",
    "value_project": "FLOAT64",
    "fx_rate": "FLOAT64",
    "fx_date": "DATE",
    "crm_load_id": "STRING",
    "run_id": "STRING",
}
"""`adjusted.<name>`: one row per id."""

OF_A_SCORE: dict[str, str] = {
    "reported_value": "FLOAT64",
    "reported_currency": "STRING",
    "probability": "FLOAT64",
    "expected_target_value": "FLOAT64",
    "model_version": "STRING",
    "scored_at": "TIMESTAMP",
}
"""What `adjusted.<name>` has beside these where the value is predicted (R27)."""


def published_columns(conversion: Conversion) -> dict[str, str]:
    """The columns of a conversion's published table."""
    return PUBLISHED if conversion.predicted is None else PUBLISHED | OF_A_SCORE


LEDGER: dict[str, str] = {
    "id": "STRING",
    "version": "INT64",
    "reason": "STRING",
    "before": "STRING",
    "after": "STRING",
    "day_before": "DATE",
    "day_after": "DATE",
    "value_delta": "FLOAT64",
    "crm_load_id": "STRING",
    "run_id": "STRING",
    "note": "STRING",
    "changed_at": "TIMESTAMP",
}
"""`adjusted.<name>_changes`: append-only, one row per version of an id; `after` holds every published column."""

DRIFT: dict[str, str] = {
    "id": "STRING",
    "day": "DATE",
    "kind": "STRING",
    "field": "STRING",
    "frozen_value": "STRING",
    "crm_value": "STRING",
    "value_delta": "FLOAT64",
    "currency": "STRING",
    "seen_at": "TIMESTAMP",
}
"""`adjusted.<name>_drift`: how the frozen days differ from what the CRM says now."""

RAW_ROWS: dict[str, str] = {
    "raw_table": "STRING",
    "row_count": "INT64",
    "run_id": "STRING",
    "counted_at": "TIMESTAMP",
}
"""`adjusted._<name>_raw_rows`: rows of the raw tables as the last run that wrote has found them (R19)."""

PUBLISHED_DAYS: dict[str, str] = COVERED_DAYS | {"first_window_day": "DATE"}
"""`adjusted._<name>_days`: the days that were published once (R21), their SQL and how far a run had frozen."""

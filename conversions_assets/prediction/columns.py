"""The columns of the dataset `predicted` (docs/rules.md: R25 to R29)."""

SCORES: dict[str, str] = {
    "id": "STRING",
    "user_id": "STRING",
    "day": "DATE",
    "probability": "FLOAT64",
    "expected_target_value": "FLOAT64",
    "predicted_value": "FLOAT64",
    "value_source": "STRING",
    "model_version": "STRING",
    "scored_at": "TIMESTAMP",
    "target_conversions": "INT64",
    "realised_target_value": "FLOAT64",
}
"""`predicted.<name>`: one row per lead and day; values in the project's currency, the last two of mature leads only."""

SCORED_DAYS: dict[str, str] = {
    "day": "DATE",
    "fingerprint": "STRING",
    "run_id": "STRING",
    "covered_at": "TIMESTAMP",
}
"""`predicted._<name>_days`: the days that were scored; the fingerprint is that of conversions and model (R23)."""

MODELS: dict[str, str] = {
    "version": "STRING",
    "fitted_at": "TIMESTAMP",
    "cut_off": "TIMESTAMP",
    "settings": "STRING",
    "fingerprint": "STRING",
    "level": "STRING",
    "features": "STRING",
    "report": "STRING",
    "model": "BYTES",
    "run_id": "STRING",
}
"""`predicted.<name>_models`: one row per version; `features` and `report` are JSON, `settings` a hash of the YAML."""

"""What `adjusted` takes of scores where a conversion's value is predicted (R22, R23, R27, R30). Others pay nothing."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from sqlglot import exp

from conversions_assets.adjustment.columns import OF_A_SCORE, published_columns
from conversions_assets.contract.conversion import Conversion
from conversions_assets.prediction.models import NO_MODEL, newest_version
from conversions_assets.warehouse.base import Table, Warehouse
from conversions_assets.warehouse.dialect import parse_expression
from conversions_assets.warehouse.script import bind

HERE = Path(__file__).parent
LIMITS = {"least_share": 0.05, "least_units": 1.0, "most_rescorings": 3}
"""R30: a change of at least 5 % and 1 unit of the project's currency is published, at most 3 times per id."""
_OF_A_VERSION = dict.fromkeys(
    ("version", "reason", "changed_at", "is_adjustment", "note", "day_before", "value_delta"), ""
)
Tables = Mapping[str, Table | exp.Query]


def with_scores(
    warehouse: Warehouse, conversion: Conversion, tables: Tables, params: Mapping[str, Any]
) -> dict[str, Table | exp.Query]:
    """The tables of a run, with the value that may be published in the place of the reported one."""
    if conversion.predicted is None:
        return dict(tables)
    scored = {**tables, "scores": conversion.scores}
    warehouse.execute(bind(HERE / "scored.sql", scored, {**params, **LIMITS}))
    return {**tables, "stored": exp.select("*").from_("scored"), "covered": _covered(conversion)}


def add_candidates(warehouse: Warehouse, conversion: Conversion, tables: Tables, params: Mapping[str, Any]) -> None:
    """After sightings.sql: leads whose reported value alone has changed."""
    if conversion.predicted is not None:
        warehouse.execute(bind(HERE / "scored_candidates.sql", tables, params))


def add_to_versions(warehouse: Warehouse, conversion: Conversion, tables: Tables, params: Mapping[str, Any]) -> None:
    """After versions.sql: the columns and the reason of a score."""
    if conversion.predicted is not None:
        columns = published_columns(conversion) | _OF_A_VERSION
        warehouse.execute(bind(HERE / "scored_versions.sql", tables, params, columns))


def add_to_drift(warehouse: Warehouse, conversion: Conversion) -> None:
    """After drift.sql: what is reported of frozen leads and differs now."""
    if conversion.predicted is not None:
        warehouse.execute(bind(HERE / "scored_drift.sql", {}, {}))


def newest_values(conversion: Conversion) -> dict[str, exp.Query]:
    """What stands beside the published values of the window: per lead the newest score; {}: what the CRM says."""
    if conversion.predicted is None:
        return {}
    value = exp.column("predicted_value").as_("value")
    currency = exp.Literal.string(conversion.project.currency).as_("currency")
    newest = exp.select("id", "day", value, currency).from_(conversion.scores.expression)
    return {"stored": newest.where(parse_expression("day BETWEEN @first_window_day AND @last_window_day"))}


def ledger_with_scores(warehouse: Warehouse, conversion: Conversion) -> Table | exp.Query:
    """The ledger with `after` as the columns are now: `predicted_value` may have been set or removed since."""
    columns = warehouse.columns(conversion.published) or {}
    if "model_version" not in columns:
        return conversion.ledger
    after = _WITHOUT_SCORE if conversion.predicted is None else _WITH_SCORE
    query = exp.select("id", "changed_at", "day_after", after.copy().as_("after"))
    return query.from_(exp.alias_(conversion.ledger.expression, "l", table=True))


def applied_form(
    warehouse: Warehouse, conversion: Conversion, fingerprints: Mapping[date, str | None]
) -> Mapping[date, str | None]:
    """The fingerprints of conversions as `adjusted` keeps them once it has applied them: with the newest model's name.

    So a model that is newer than the scores of a day makes the day stale (R23, R28).
    """
    if conversion.predicted is None:
        return fingerprints
    model = newest_version(warehouse, conversion) or NO_MODEL
    return {day: f"{fingerprint or ''} {model}" for day, fingerprint in fingerprints.items()}


def is_older_model(applied: str | None, wanted: str | None) -> bool:
    """Whether the two differ in the model alone."""
    before, now = (applied or "").rpartition(" "), (wanted or "").rpartition(" ")
    return bool(before[1] and now[1]) and before[0] == now[0] and before[2] != now[2]


def _covered(conversion: Conversion) -> exp.Query:
    """`covered` with the fingerprint of what was scored."""
    covered = exp.alias_(conversion.covered.expression, "c", table=True)
    scored = exp.alias_(conversion.scored_days.expression, "s", table=True)
    query = exp.select("c.day", "c.query_version", "c.time_zone", "s.fingerprint").from_(covered)
    return query.join(scored, on="s.day = c.day", join_type="LEFT")


_NULLS = "".join(f',"{name}":null' for name in OF_A_SCORE) + "}"
_WITH_SCORE = parse_expression(
    "IF(STRPOS(l.after, ',\"model_version\":') > 0, l.after, "
    f"CONCAT(SUBSTR(l.after, 1, CHAR_LENGTH(l.after) - 1), '{_NULLS}'))"
)
_WITHOUT_SCORE = parse_expression(
    "IF(STRPOS(l.after, ',\"model_version\":') > 0, "
    "CONCAT(SUBSTR(l.after, 1, STRPOS(l.after, ',\"reported_value\":') - 1), '}'), l.after)"
)

"""The one table of the contract: what a user's SQL returns (docs/rules.md). Everything else reads it."""

from dataclasses import dataclass
from enum import StrEnum

from iso4217 import Currency

PARAMS_TYPE = "ARRAY<STRUCT<key STRING, value STRING>>"


class Presence(StrEnum):
    """What a NULL in a row means."""

    QUARANTINED = "the row is quarantined"
    REFUSED = "the whole result is refused"
    ALLOWED = "allowed"


@dataclass(frozen=True)
class Column:
    """A column of the contract.

    Attributes:
        type: its BigQuery type.
        required: whether the SQL must return it.
        null: what a NULL in a row means.
        accepted: other types that BigQuery coerces without loss.
        hint: what to write when the type is another one; `{}` is the user's expression.
        hint_of: the same for a type that asks for something else.
        advice: what to mind when writing it.
    """

    name: str
    type: str
    required: bool
    null: Presence
    meaning: str
    accepted: tuple[str, ...] = ()
    hint: str = ""
    hint_of: tuple[tuple[str, str], ...] = ()
    advice: str = ""


COLUMNS: tuple[Column, ...] = (
    Column(
        "id",
        "STRING",
        True,
        Presence.QUARANTINED,
        "the conversion's id: trimmed, not empty, at most 64 characters, case-sensitive",
        hint="CAST({} AS STRING)",
    ),
    Column(
        "client_id",
        "STRING",
        True,
        Presence.ALLOWED,
        "Google Analytics client id; NULL: (not attributed)",
        hint="CAST({} AS STRING)",
        advice="of the text that the website sent: a number has lost digits",
    ),
    Column(
        "created",
        "TIMESTAMP",
        True,
        Presence.REFUSED,
        "when it happened, time-zone aware",
        hint="TIMESTAMP({}, 'UTC')",
        hint_of=(("STRING", "TIMESTAMP({})"), ("INT64", "TIMESTAMP_MILLIS({})")),
        advice="with the zone that the CRM writes its times in, for example 'Europe/Berlin' for local times",
    ),
    Column(
        "value",
        "FLOAT64",
        False,
        Presence.ALLOWED,
        "money; NULL: counts, without value",
        accepted=("INT64", "NUMERIC", "BIGNUMERIC"),
        hint="SAFE_CAST({} AS FLOAT64)",
    ),
    Column(
        "currency",
        "STRING",
        False,
        Presence.ALLOWED,
        "ISO 4217 alphabetic code; NULL: the project's currency",
        hint="CAST({} AS STRING)",
    ),
    Column(
        "is_qualified",
        "BOOL",
        False,
        Presence.ALLOWED,
        "whether sales accepted it; NULL: unknown",
        hint="SAFE_CAST({} AS BOOL)",
    ),
    Column(
        "params",
        PARAMS_TYPE,
        False,
        Presence.ALLOWED,
        "further properties, sorted by key",
        hint="[STRUCT('city' AS key, city AS value), STRUCT('country', country)]",
    ),
    Column(
        "user_id",
        "STRING",
        False,
        Presence.ALLOWED,
        "the person's id in the CRM",
        hint="CAST({} AS STRING)",
    ),
)

NAMES = tuple(column.name for column in COLUMNS)
OPTIONAL = tuple(column.name for column in COLUMNS if not column.required)
GEO_KEYS = ("city", "country", "region")
"""Keys of params whose coverage is reported per day (R9)."""
CURRENCIES: tuple[str, ...] = tuple(sorted({currency.code for currency in Currency}))
MAX_ID_LENGTH = 64


def minor_units() -> dict[int, tuple[str, ...]]:
    """Decimals of a currency's minor unit -> its ISO 4217 codes, for those that do not have two (JPY 0, KWD 3)."""
    by_exponent: dict[int, list[str]] = {}
    for currency in Currency:
        exponent = currency.exponent
        if exponent is not None and exponent != 2:
            by_exponent.setdefault(exponent, []).append(currency.code)
    return {exponent: tuple(sorted(codes)) for exponent, codes in sorted(by_exponent.items())}


STORED: dict[str, str] = {column.name: column.type for column in COLUMNS} | {
    "day": "DATE",
    "attribution": "STRING",
    "run_id": "STRING",
}
"""Columns of `conversions.<name>`."""

QUARANTINE: dict[str, str] = {
    "id": "STRING",
    "day": "DATE",
    "rule": "STRING",
    "reason": "STRING",
    "row": "STRING",
    "crm_load_id": "STRING",
    "run_id": "STRING",
    "quarantined_at": "TIMESTAMP",
}
"""Columns of `conversions.<name>_quarantine`."""

COVERED_DAYS: dict[str, str] = {
    "day": "DATE",
    "query_version": "STRING",
    "time_zone": "STRING",
    "run_id": "STRING",
    "covered_at": "TIMESTAMP",
    "fingerprint": "STRING",
}
"""Columns of `conversions._<name>_days` and `adjusted._<name>_days`: the days that a run has covered."""

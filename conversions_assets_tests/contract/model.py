"""R2 and R5-R10 in plain Python, written from the rules and not from the SQL: what a day's rows become."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from iso4217 import Currency

CODES = {currency.code for currency in Currency}
# What Unicode calls White_Space; Python's strip() takes four separators more.
WHITE_SPACE = "".join(c for c in map(chr, range(0x3001)) if c.isspace() and c not in "\x1c\x1d\x1e\x1f")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOTHING = {"", "null", "undefined", "(not set)", "0"}
QUALIFIED = {True: 0, None: 1, False: 2}
Row = dict[str, Any]
Params = list[tuple[str | None, str | None]] | None


@dataclass
class Expected:
    """What a run has to find: stored rows by day and id, refused rows, and the counts of each day."""

    stored: dict[tuple[date, str], Row] = field(default_factory=dict)
    refused: list[tuple[date, str | None, str]] = field(default_factory=list)
    counts: dict[date, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """The rules under a project's settings."""

    zone: ZoneInfo
    currency: str
    now: datetime
    latest_wins: bool

    def run(self, rows: Sequence[Row], days: Sequence[date]) -> Expected:
        """All rows of a result, over the days of a run."""
        expected = Expected(counts={day: dict.fromkeys(COUNTS, 0) for day in days})
        sightings: dict[tuple[date, str], list[Row]] = {}
        for raw in rows:
            row, repeats = self.normalised(raw)
            rule = self.refusal(row)
            counts = expected.counts.get(row["day"])
            if counts is not None:
                counts["returned_rows"] += 1
            if rule:
                if counts is not None or row["created"] > self.now + timedelta(minutes=15):
                    expected.refused.append((row["day"], row["id"], rule))
                if counts is not None:
                    counts["quarantined_rows"] += 1
                    counts["damaged_client_ids"] += damaged(row["client_id"])
            elif counts is not None:
                sightings.setdefault((row["day"], row["id"]), []).append({**row, "repeats": repeats})
        for key, same in sightings.items():
            self._settle(expected, key, same)
        return expected

    def _settle(self, expected: Expected, key: tuple[date, str], same: Sequence[Row]) -> None:
        winner = min(same, key=self.rank)
        expected.stored[key] = {name: value for name, value in winner.items() if name != "repeats"}
        counts = expected.counts[key[0]]
        counts["ids"] += 1
        counts["surplus_rows"] += len(same) - 1
        counts["conflicting_ids"] += len({canonical(row) for row in same}) > 1
        counts["not_attributed_rows"] += winner["client_id"] is None
        counts["negative_values"] += winner["value"] is not None and winner["value"] < 0
        counts["damaged_client_ids"] += damaged(winner["client_id"])
        counts["repeated_keys"] += winner["repeats"]

    def normalised(self, raw: Mapping[str, Any]) -> tuple[Row, bool]:
        """R6-R9: a row as it would be stored, and whether a key of params is there twice."""
        params, repeats = clean_params(raw["params"])
        currency = trimmed(raw["currency"])
        created = raw["created"].astimezone(UTC)
        return {
            "id": trimmed(raw["id"]),
            "client_id": clean_client_id(raw["client_id"]),
            "created": created,
            "value": raw["value"] if raw["value"] != 0 else 0.0,
            "currency": currency.upper() if currency else self.currency,
            "is_qualified": raw["is_qualified"],
            "params": params,
            "user_id": raw["user_id"],
            "day": created.astimezone(self.zone).date(),
        }, repeats

    def refusal(self, row: Row) -> str | None:
        """The rule that refuses a row, R7 before R6."""
        if not row["id"] or len(row["id"]) > 64:
            return "R7"
        value = row["value"]
        wrong_value = value is not None and not math.isfinite(value)
        wrong = wrong_value or row["currency"] not in CODES or row["created"] > self.now + timedelta(minutes=15)
        return "R6" if wrong else None

    def rank(self, row: Row) -> tuple[Any, ...]:
        """R5: the smallest wins."""
        instant = (row["created"] - EPOCH) // timedelta(microseconds=1)
        optional = ("client_id", "value", "is_qualified", "params", "user_id")
        empty = sum(row[name] is None for name in optional)
        first = -instant if self.latest_wins else instant
        return (first, QUALIFIED[row["is_qualified"]], empty, canonical(row).encode())


COUNTS = (
    *("returned_rows", "ids", "quarantined_rows", "surplus_rows", "conflicting_ids", "not_attributed_rows"),
    *("negative_values", "damaged_client_ids", "repeated_keys"),
)


def trimmed(text: str | None) -> str | None:
    """Without white space at both ends."""
    return None if text is None else text.strip(WHITE_SPACE)


def clean_client_id(text: str | None) -> str | None:
    """R8."""
    text = trimmed(text)
    if text is None:
        return None
    text = re.sub(r"\A(GA1\.[0-9]+(-[0-9]+)?\.|FPID2\.2\.)", "", text)
    return None if text in NOTHING else text


def damaged(client_id: str | None) -> bool:
    """R8: whether a number became text."""
    number = r"([0-9]+[.,][0-9]+|[0-9])[eE]\+?[0-9]{1,3}"
    return client_id is not None and re.fullmatch(rf"([0-9]+\.)?{number}(\.{number})?", client_id) is not None


def clean_params(params: Params) -> tuple[tuple[tuple[str, str], ...] | None, bool]:
    """R9: normalised, without empty ones, the first of each key, sorted; and whether a key was there twice."""
    kept: dict[str, str] = {}
    repeats = False
    for key, value in params or ():
        name = (trimmed(key) or "").lower().replace(" ", "_").replace("-", "_")
        if not name or not value:
            continue
        repeats = repeats or name in kept
        kept.setdefault(name, value)
    return (tuple(sorted(kept.items(), key=lambda pair: pair[0].encode())) or None), repeats


def canonical(row: Row) -> str:
    """Keys sorted, UTC ISO times, shortest floats."""
    shown = {name: value for name, value in row.items() if name not in ("day", "repeats")}
    shown["created"] = row["created"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    shown["params"] = row["params"] and [{"key": key, "value": value} for key, value in row["params"]]
    return json.dumps(shown, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

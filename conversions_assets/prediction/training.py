"""The leads that a model learns from, by columns: features, age, and what is known of their targets at the cut-off."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from conversions_assets.contract.conversion import Conversion, PredictedValue
from conversions_assets.prediction.features import Feature, choose_features, only_features, read_features, read_keys
from conversions_assets.prediction.tables import link, reading
from conversions_assets.warehouse.base import Warehouse
from conversions_assets.warehouse.dialect import parse_expression
from conversions_assets.warehouse.script import bind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame

HERE = Path(__file__).parent
AGE = parse_expression("(UNIX_MICROS(@cut_off) - UNIX_MICROS(s.created)) / 86400000000 AS age_days")
"""Days from a lead of `first_seen AS s` to `@cut_off`."""


@dataclass(frozen=True)
class Summary:
    """What is known of the leads before any of them is read.

    Attributes:
        fingerprint: a hash of every lead as it was first seen, with its target.
        in_ledger: leads whose features are those of their first ledger row (R28); the others' are the present ones.
        seen_late: of these, leads first published more than three days after they came in, as a backfill does.
    """

    fingerprint: str
    leads: int
    in_ledger: int
    seen_late: int

    @property
    def sentence(self) -> str:
        """Which state of the leads a model has learnt from."""
        present = self.leads - self.in_ledger
        parts = [
            f"{present:,} as they are now (no ledger yet)" if present else "",
            f"{self.seen_late:,} as a backfill found them, more than 3 days after they came in"
            if self.seen_late
            else "",
            f"{self.in_ledger - self.seen_late:,} as they came in" if self.in_ledger > self.seen_late else "",
        ]
        return f"params of {self.leads:,} leads: {'; '.join(filter(None, parts))}" if self.leads else "no leads"


@dataclass(frozen=True)
class Training:
    """Leads before the cut-off, in order of `created` and id; without those whose user_id nobody knows.

    Attributes:
        X: one column per feature, named by its key; (n, features).
        created: days since 1970 (UTC); (n,).
        age: days at the cut-off; (n,).
        delay: days from lead to its first target, inf where none is known at the cut-off; (n,).
        value: sum of the lead's targets in the project's currency, NaN where none has a value; (n,).
        left_out: key of params -> why it is no feature.
    """

    X: "DataFrame"
    created: "NDArray[np.float64]"
    age: "NDArray[np.float64]"
    delay: "NDArray[np.float64]"
    value: "NDArray[np.float64]"
    features: tuple[Feature, ...]
    left_out: dict[str, str]


def summarise(warehouse: Warehouse, conversion: Conversion, predicted: PredictedValue, until: datetime) -> Summary:
    """Leave `first_seen` and `linked` of all leads in the session, and say what they hold."""
    tables = reading(warehouse, conversion, predicted)
    params = {"latest_wins": conversion.dedup == "latest", "cut_off": until}
    warehouse.execute(bind(HERE / "first_seen.sql", tables, params))
    link(warehouse, conversion, predicted, tables, until)
    [statement] = bind(HERE / "data_fingerprint.sql", {}, params)
    [found] = warehouse.query(statement)
    return Summary(**found)


def read_training(warehouse: Warehouse, predicted: PredictedValue, until: datetime) -> Training:
    """Read what `summarise` left in the session, by columns."""
    import numpy as np

    features, left_out = choose_features(read_keys(warehouse), predicted)
    query = (
        exp.select(AGE.copy(), "l.delay_days", "l.target_value")
        .from_("first_seen AS s")
        .join("linked AS l", on="l.id = s.id", join_type="LEFT")
        .where(parse_expression("s.created < @cut_off AND s.user_id IS NOT NULL"))
        .order_by("s.created", "s.id")
    )
    frame = read_features(warehouse, query, features, {"cut_off": until})
    age, delay, value = (
        frame[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in ("age_days", "delay_days", "target_value")
    )
    return Training(
        X=only_features(frame, features),
        created=until.timestamp() / 86_400 - age,
        age=age,
        delay=np.where(np.isnan(delay), np.inf, delay),
        value=value,
        features=tuple(features),
        left_out=left_out,
    )


def settings_hash(predicted: PredictedValue, currency: str) -> str:
    """A hash of what a model was fitted for: another target or window makes it useless."""
    return _hash(
        predicted.target, predicted.window_days, predicted.link, predicted.include, predicted.exclude, currency
    )


def fit_fingerprint(summary: Summary, settings: str, until: datetime) -> str:
    """What decides about a model: the data, the cut-off, the settings, and the code that fits it."""
    from conversions_assets.prediction.storage import versions

    files = sorted(HERE.glob("*.py")) + sorted(HERE.glob("*.sql"))
    code = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return _hash(summary.fingerprint, settings, until.isoformat(), code, sorted(versions().items()))


def _hash(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

"""The models of a conversion, as rows of `predicted.<name>_models`: the newest one scores (R28)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from conversions_assets.contract.conversion import Conversion
from conversions_assets.prediction.columns import MODELS
from conversions_assets.prediction.features import Feature
from conversions_assets.prediction.training import settings_hash
from conversions_assets.warehouse.base import Statement, Warehouse

if TYPE_CHECKING:
    from conversions_assets.prediction.model import PredictedValueModel

NO_MODEL = "none"
"""Stands for the version where there is no model."""


@dataclass(frozen=True)
class StoredModel:
    """A version of a model.

    Attributes:
        version: the cut-off's local date and eight digits of the fingerprint.
        cut_off: until when it knows targets.
        fingerprint: a hash of its data, cut-off, settings and code.
        level: `fallback`, `low_confidence` or `full` (R29).
    """

    version: str
    fitted_at: datetime
    cut_off: datetime
    fingerprint: str
    level: str
    features: tuple[Feature, ...]
    report: Mapping[str, Any]
    model: bytes

    def load(self) -> "PredictedValueModel":
        """The estimator.

        Raises:
            OtherVersion: it was stored by another version of the libraries; a refit mends that.
        """
        from conversions_assets.prediction.storage import from_bytes

        return from_bytes(self.model)


def newest_version(warehouse: Warehouse, conversion: Conversion) -> str | None:
    """The newest model that was fitted for the present settings; None where there is none. Reads no model."""
    row = _newest(warehouse, conversion, ["version"])
    return None if row is None else str(row["version"])


def newest_model(warehouse: Warehouse, conversion: Conversion) -> StoredModel | None:
    """The same, with all that is stored of it."""
    row = _newest(warehouse, conversion, list(MODELS))
    if row is None:
        return None
    return StoredModel(
        version=row["version"],
        fitted_at=row["fitted_at"],
        cut_off=row["cut_off"],
        fingerprint=row["fingerprint"],
        level=row["level"],
        features=tuple(Feature(**feature) for feature in json.loads(row["features"])),
        report=json.loads(row["report"]),
        model=row["model"],
    )


def store(warehouse: Warehouse, conversion: Conversion, model: StoredModel, run_id: str) -> StoredModel:
    """Add a version. It is the newest one also under a clock that stands still or goes back."""
    newest = exp.select(exp.func("MAX", exp.column("fitted_at")).as_("fitted_at")).from_(conversion.models.expression)
    last: datetime | None = warehouse.query(Statement(newest))[0]["fitted_at"]
    fitted_at = model.fitted_at if last is None else max(model.fitted_at, last + timedelta(microseconds=1))
    values = {
        "version": model.version,
        "fitted_at": fitted_at,
        "cut_off": model.cut_off,
        "settings": _settings(conversion),
        "fingerprint": model.fingerprint,
        "level": model.level,
        "features": json.dumps([{"key": f.key, "kind": f.kind} for f in model.features]),
        "report": json.dumps(model.report, default=str),
        "model": model.model,
        "run_id": run_id,
    }
    row = exp.select(*(exp.Parameter(this=exp.to_identifier(name)) for name in MODELS))
    warehouse.execute([Statement(exp.insert(row, conversion.models.expression, columns=list(MODELS)), values)])
    return model


def _newest(warehouse: Warehouse, conversion: Conversion, columns: list[str]) -> dict[str, Any] | None:
    if warehouse.columns(conversion.models) is None:
        return None
    matches = exp.column("settings").eq(exp.Parameter(this=exp.to_identifier("settings")))
    query = exp.select(*columns).from_(conversion.models.expression).where(matches)
    query = query.order_by(exp.column("fitted_at").desc()).limit(1)
    rows = warehouse.query(Statement(query, {"settings": _settings(conversion)}))
    return rows[0] if rows else None


def _settings(conversion: Conversion) -> str:
    assert conversion.predicted is not None
    return settings_hash(conversion.predicted, conversion.project.currency)

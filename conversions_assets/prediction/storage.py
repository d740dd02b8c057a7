"""Fitted models as bytes for the warehouse; the bytes are as trusted as the warehouse itself."""

import pickle

import sklearn

from conversions_assets.prediction.model import PredictedValueModel

FORMAT = 1  # Raise it when a fitted model gets other attributes.


class OtherVersion(ValueError):
    """The model was stored by another version of a library: fit it again."""


def versions() -> dict[str, str]:
    """The libraries whose versions a stored model depends on."""
    import numpy
    import scipy

    return {
        "format": str(FORMAT),
        "numpy": numpy.__version__,
        "scikit-learn": sklearn.__version__,
        "scipy": scipy.__version__,
    }


def to_bytes(model: PredictedValueModel) -> bytes:
    """A fitted model as bytes, with the versions of the libraries it was fitted with."""
    return pickle.dumps({"versions": versions(), "model": pickle.dumps(model, protocol=5)}, protocol=5)


def from_bytes(stored: bytes) -> PredictedValueModel:
    """The model of `to_bytes`.

    Raises:
        OtherVersion: it was fitted with other versions of the libraries; a refit mends that.
    """
    kept = pickle.loads(stored)
    fitted_with = kept.get("versions") if isinstance(kept, dict) else "another format"
    if fitted_with != versions():
        raise OtherVersion(f"the model was fitted with {fitted_with}, here are {versions()}: fit it again")
    loaded: PredictedValueModel = pickle.loads(kept["model"])
    return loaded

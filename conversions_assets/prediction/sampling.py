"""Fewer rows with the same sums: for data sets whose size would only cost time."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def sample_rows(target: NDArray[np.bool_], cap: int) -> tuple[NDArray[np.int_], Floats]:
    """Rows to fit on and their weights; the weighted counts of leads and of targets stay exactly the same.

    Up to `cap` rows all are kept with weight 1. Above, every target is kept (as long as they fill at most half of the
    cap) and of the others every k-th one: in rows ordered by age the sample is even over time.

    Args:
        target: (n,) whether the lead has a target, rows ordered by age.
        cap: rows to keep.
    """
    if len(target) <= cap:
        return np.arange(len(target)), np.ones(len(target))
    hits, others = np.flatnonzero(target), np.flatnonzero(~target)
    kept_hits = _every_kth(hits, cap - min(len(others), cap // 2))
    kept_others = _every_kth(others, cap - len(kept_hits))
    rows = np.concatenate([kept_hits, kept_others])
    weight = np.concatenate([_weight(hits, kept_hits), _weight(others, kept_others)])
    order = np.argsort(rows)
    return rows[order], weight[order]


def _every_kth(rows: NDArray[np.int_], count: int) -> NDArray[np.int_]:
    if len(rows) <= count:
        return rows
    return np.asarray(rows[((np.arange(count) + 0.5) * len(rows) / count).astype(int)])


def _weight(rows: NDArray[np.int_], kept: NDArray[np.int_]) -> Floats:
    return np.full(len(kept), len(rows) / max(len(kept), 1))

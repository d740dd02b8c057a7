"""The fingerprint of a day's rows: whether a day is still what it was, without looking at its rows again (R23)."""

from datetime import date
from pathlib import Path

from conversions_assets.contract.columns import minor_units
from conversions_assets.contract.conversion import Days
from conversions_assets.warehouse.base import Warehouse
from conversions_assets.warehouse.script import bind

FINGERPRINTS = Path(__file__).with_name("fingerprints.sql")


def fingerprint_staged(warehouse: Warehouse, days: Days, not_before: date) -> None:
    """Leave `fingerprints` (day, fingerprint, row_count) of what is staged in the session.

    Args:
        not_before: days before this one get none: what is frozen is compared by `drift_audit` alone.
    """
    units = minor_units()
    params = {
        "first_day": max(days.first, not_before),
        "last_day": days.last,
        "no_decimals": units.get(0, ()),
        "three_decimals": units.get(3, ()),
        "four_decimals": units.get(4, ()),
    }
    warehouse.execute(bind(FINGERPRINTS, {}, params))

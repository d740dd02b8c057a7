"""The demo's loads, and what HubSpot and the table of orders hold after each."""

from datetime import datetime
from typing import Any

import pytest

from conversions_assets.demo.crm import begin, play
from conversions_assets.demo.fake_crm.hubspot import HubSpot
from conversions_assets.demo.history import Load, apply_load, history

Row = dict[str, Any]
Tables = dict[str, list[Row]]


@pytest.fixture(scope="package")
def loads() -> list[Load]:
    return history()


@pytest.fixture(scope="package")
def states(loads: list[Load]) -> list[Tables]:
    """What HubSpot and the table of orders hold after each load."""
    world, orders, found = begin(), [], []
    hubspot = HubSpot(world)
    for load in loads:
        play(world, load)
        orders = apply_load(orders, load)
        tables = {name: [_shown(row) for row in hubspot.truth(name)] for name in ("contacts", "deals")}
        found.append({**tables, "deals_contacts": list(hubspot.truth("deals_contacts")), "orders": orders})
    return found


def _shown(row: Row) -> Row:
    """A record of HubSpot: its properties, with the times as times."""
    times = {"createdate", "lastmodifieddate", "hs_lastmodifieddate", "closedate"}
    properties = {n: datetime.fromisoformat(v) if n in times and v else v for n, v in row["properties"].items()}
    return {**properties, "id": row["id"], "_deleted": row["_deleted"], "_merged_into": row["_merged_into"]}

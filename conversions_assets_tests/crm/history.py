"""A random history of a CRM: events of all kinds, many in one second."""

from datetime import timedelta
from random import Random
from typing import Any

from conversions_assets.demo.fake_crm.catalogue import STAGES
from conversions_assets.demo.fake_crm.world import World

CHANGES = {
    "contact": lambda rng: {
        "city": rng.choice(["Berlin", "Vienna", "Paris", None]),
        "job_title": f"Title {rng.random():.3f}",
    },
    "lead": lambda rng: {"city": rng.choice(["Graz", "Lyon", None]), "job_title": f"Title {rng.random():.3f}"},
    "company": lambda rng: {"country": rng.choice(["Germany", "Austria", None])},
    "deal": lambda rng: {"amount": round(rng.uniform(1, 9999), 2), "currency": rng.choice(["EUR", "USD"])},
}
OPS = {
    "create": 30,
    "update": 30,
    "stage": 12,
    "delete": 8,
    "restore": 5,
    "erase": 2,
    "merge": 4,
    "associate": 5,
    "dissociate": 2,
}


def happen(world: World, rng: Random, events: int) -> None:
    """Let so many events happen; contacts of deals are neither deleted nor merged."""
    for _ in range(events):
        if rng.random() < 0.2:
            world.move_clock(world.now + timedelta(seconds=rng.randrange(1, 300)))
        event = _event(world, rng)
        if event is not None:
            world.apply([event])


def _event(world: World, rng: Random) -> dict[str, Any] | None:  # noqa: PLR0911
    """An event that can happen now, None where there is none of the kind that was drawn."""
    op, kind = (
        rng.choices(list(OPS), list(OPS.values()))[0],
        rng.choice(["contact", "contact", "company", "deal", "deal", "lead"]),
    )
    table = world.tables[kind]
    if op == "create":
        return {"op": op, "kind": kind, "fields": CHANGES[kind](rng)}
    if op == "restore":
        return {"op": op, "kind": kind, "number": rng.choice(table.deleted.numbers)} if table.deleted.numbers else None
    drawn = rng.sample(table.live.numbers, min(20, len(table.live.numbers)))
    free = [n for n in drawn if kind != "contact" or not world.roles_of("contact", n)]
    deals, contacts = world.tables["deal"].live.numbers, world.tables["contact"].live.numbers
    if len(free) < 2 or not deals or not contacts:
        return None
    if op == "update":
        return {"op": op, "kind": kind, "number": rng.choice(table.live.numbers), "fields": CHANGES[kind](rng)}
    if op == "stage":
        return {"op": op, "number": rng.choice(deals), "stage": rng.choice(list(STAGES))}
    if op == "merge":
        number, other = rng.sample(free, 2)
        return {"op": op, "kind": kind, "number": number, "other": other, "new_record": kind == "deal"}
    if op in ("delete", "erase"):
        return {"op": op, "kind": kind, "number": rng.choice(free)}
    deal = rng.choice(deals)
    linked = [role.fields["contact"] for role in world.roles_of("deal", deal)]
    if op == "dissociate":
        return {"op": op, "deal": deal, "contact": linked[0]} if linked else None
    contact = rng.choice(contacts)
    return None if contact in linked else {"op": op, "deal": deal, "contact": contact}

"""Fill a world: companies, contacts, leads and deals in a mix, the same for the same seed."""

from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any

from conversions_assets.demo.fake_crm.catalogue import STAGES, USERS, stage_ids
from conversions_assets.demo.fake_crm.world import World

_PLACES = (("Germany", "Berlin", "Berlin"), ("Austria", "Vienna", "Vienna"), ("France", "Île-de-France", "Paris"))
_SOURCES = ("Google Ads", "Organic search", "Newsletter", None)


def populate(world: World, objects: int, seed: int = 1) -> None:
    """Create `objects` records after the world's clock, of ten: one company, five contacts, two leads, two deals.

    Every deal belongs to a contact, and half of them are closed. Several records fall on one second.
    """
    world.apply(_events(world, Random(seed), objects))


def _events(world: World, rng: Random, objects: int) -> Iterator[dict[str, Any]]:
    for number in range(objects):
        if rng.random() < 0.3:
            world.move_clock(world.now + timedelta(seconds=rng.randrange(1, 900), milliseconds=rng.randrange(1000)))
        kind = ("company", "contact", "deal", "contact", "lead", "contact", "deal", "contact", "lead", "contact")[
            number % 10
        ]
        company = _newest(world, "company")
        event: dict[str, Any] = {"op": "create", "kind": kind, "fields": _fields(rng, kind, number, company)}
        if kind == "lead":
            event["fields"]["contact"] = _newest(world, "contact")
        yield event
        if kind == "deal":
            deal, contacts = _newest(world, "deal"), world.tables["contact"].live.numbers
            yield {"op": "associate", "deal": deal, "contact": rng.choice(contacts[-50:])}
            if rng.random() < 0.5:
                pipeline = STAGES[event["fields"]["stage"]].pipeline
                closed = [stage for stage in stage_ids(pipeline) if STAGES[stage].closed]
                yield {"op": "stage", "number": deal, "stage": rng.choice(closed)}


def _newest(world: World, kind: str) -> int | None:
    numbers = world.tables[kind].live.numbers
    return numbers[-1] if numbers else None


def _fields(rng: Random, kind: str, number: int, company: int | None) -> dict[str, Any]:
    owner = rng.choice(USERS).number
    if kind == "company":
        return {"name": f"Company {number}", "domain": f"company{number}.example", "country": "Germany", "owner": owner}
    if kind == "deal":
        stage = rng.choice(["appointmentscheduled", "qualifiedtobuy", "190001"])
        money = {"amount": round(rng.lognormvariate(8, 1), 2), "currency": rng.choice(["EUR", "EUR", "USD"])}
        close = f"2026-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
        return {
            "name": f"Deal {number}",
            "stage": stage,
            "company": company,
            "owner": owner,
            "close_date": close,
        } | money
    country, region, city = rng.choice(_PLACES)
    person = {
        "email": f"person{number}@mail.example",
        "first_name": "Person",
        "last_name": f"Number {number}",
        "country": country,
        "region": region,
        "city": city,
        "lead_source": rng.choice(_SOURCES),
        "company": company,
        "owner": owner,
        "ga_client_id": f"{rng.randrange(10**9)}.{rng.randrange(10**9, 2 * 10**9)}" if rng.random() < 0.9 else None,
    }
    return person | ({"title": f"Enquiry {number}"} if kind == "lead" else {})

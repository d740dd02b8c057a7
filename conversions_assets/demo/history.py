"""A small company, made up: a year of its HubSpot and its shop, and three further daily loads with late changes.

Everything comes from the seed: no clock, no database. `history()` gives the loads.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from random import Random
from typing import TypeVar

from conversions_assets.demo.crm import Chronicle
from conversions_assets.demo.instants import FIRST_DAY, LOAD_DAYS, SPECIAL, SPECIAL_IN_HUBSPOT, milliseconds
from conversions_assets.demo.late_changes import Company, Editor
from conversions_assets.demo.truth import (
    ClientId,
    Contact,
    Currency,
    Deal,
    Load,
    Order,
    Place,
    Row,
    Truth,
    Twin,
    apply_load,
    local_day,
    midnight,
    take_load,
)

__all__ = ["FIRST_DAY", "LOAD_DAYS", "Load", "Truth", "apply_load", "history"]

_GERMANY = {("Berlin", "Berlin"): 20, ("Bavaria", "Munich"): 14, ("Saxony", None): 10, (None, None): 4}
_PLACES = {Place("Germany", region, city): weight for (region, city), weight in _GERMANY.items()} | {
    Place("Austria", "Vienna", "Vienna"): 10,
    Place("Switzerland", "Zurich", "Zurich"): 9,
    Place("France", "Île-de-France", "Paris"): 8,
    Place("United Kingdom", "England", "London"): 10,
    Place("United States", "New York", "New York"): 8,
}
_FOREIGN = {"United Kingdom": "GBP", "United States": "USD"}
_WINNING = {"Germany": 1.15, "Austria": 1.05, "Switzerland": 1.3, "United Kingdom": 0.8, "United States": 0.5}
# how frequent each is, and how much it makes a deal likelier and larger: what a model can learn
_SOURCES = {
    "PAID_SEARCH": 35,
    "ORGANIC_SEARCH": 25,
    "PAID_SOCIAL": 15,
    "EMAIL_MARKETING": 12,
    "REFERRALS": 8,
    None: 5,
}
_SOURCE_DEALS: dict[str | None, float] = {"PAID_SOCIAL": 0.4, "EMAIL_MARKETING": 1.3, "REFERRALS": 2.0}
_TITLES = {
    "Purchasing Manager": 20,
    "Engineer": 20,
    "Marketing Lead": 15,
    "Student": 13,
    "Director": 12,
    None: 12,
    "": 8,
}
_TITLE_DEALS: dict[str | None, float] = {"Student": 0.2, "Engineer": 0.7, "Purchasing Manager": 1.3}
_TITLE_DEALS |= {"Marketing Lead": 1.6, "Director": 1.8}
_TITLE_AMOUNT: dict[str | None, float] = {"Student": 0.3, "Director": 1.8}
_STATUSES = {"paid": 66, "confirmed": 19, "cancelled": 8, "new": 7}

K = TypeVar("K")


def history(seed: int = 1) -> list[Load]:
    """The four loads: everything up to 2026-01-01 00:10 in Berlin, then those of the three days after."""
    rng = Random(seed)
    contacts = _contacts(rng)
    company = Company(contacts, _deals(rng, contacts), _orders(rng, contacts))
    editor = Editor(rng, company)
    chronicle = Chronicle()
    loads = []
    for number, day in enumerate(LOAD_DAYS):
        at = midnight(day) + timedelta(minutes=10)
        _close_deals(rng, company.deals, at)
        if number == 0:
            _promote(rng, company.deals)
        else:
            editor.edit(number, day)
        events = chronicle.events(company.contacts, company.deals, at)
        loads.append(take_load(at, company.contacts, company.deals, company.orders, events))
    return loads


# --- what happens by itself ---------------------------------------------------------------------------------------


def _moments(rng: Random, weekday: float, weekend: float, opening: int, closing: int) -> list[datetime]:
    """The special instants and about so many moments a day, between two hours but for a few at any time."""
    found = list(SPECIAL)
    day = FIRST_DAY
    while day < LOAD_DAYS[-1]:
        start, end = midnight(day), midnight(day + timedelta(days=1))
        mean = weekday if day.weekday() < 5 else weekend
        for _ in range(max(1, round(rng.gauss(mean, math.sqrt(mean) * 0.7)))):
            if rng.random() < 0.04:
                offset = rng.randrange(round((end - start).total_seconds()) * 1_000_000)
            else:
                offset = int(rng.triangular(opening, closing) * 3_600_000_000)
            found.append(start + timedelta(microseconds=offset))
        day += timedelta(days=1)
    return sorted(found)


def _pick(rng: Random, weights: Mapping[K, float]) -> K:
    return rng.choices(list(weights), list(weights.values()))[0]


def _contacts(rng: Random) -> list[Contact]:
    found = []
    for number, moment in enumerate(_moments(rng, 25, 10, 7, 19)):
        special = moment in SPECIAL
        found.append(
            Contact(
                id=str(20_100_001 + number),
                created_at=milliseconds(moment),
                client=ClientId.some(rng, moment),
                place=_pick(rng, _PLACES),
                job_title=_pick(rng, _TITLES),
                lead_source=_pick(rng, _SOURCES),
                lifecycle="other" if rng.random() < 0.08 and not special else "lead",
                is_deleted=rng.random() < 0.004 and not special,
                updated_at=moment + timedelta(hours=rng.expovariate(1 / 30)),
            )
        )
    return found


def _deals(rng: Random, contacts: Iterable[Contact]) -> list[Deal]:
    found = []
    for contact in contacts:
        chance = 0.115 * _SOURCE_DEALS.get(contact.lead_source, 1) * _TITLE_DEALS.get(contact.job_title, 0.8)
        if rng.random() < chance * (0.3 if contact.lifecycle == "other" else 1) and not contact.is_deleted:
            found.append(_deal(rng, contact))
            if rng.random() < 0.04:
                found.append(_deal(rng, contact))
    found.sort(key=lambda deal: deal.created_at)
    for number, deal in enumerate(found):
        deal.id = str(9_000_001 + number)
    won = [deal for deal in found if deal.outcome == "won" and not deal.is_deleted]
    typo = next(deal for deal in won if local_day(deal.closes_at).month == 11)
    updated_at, typo.closes_at = typo.closes_at, typo.closes_at.replace(year=2052)
    typo.close(updated_at)
    for moment in SPECIAL_IN_HUBSPOT[1:9]:  # up to the first load's midnight, a deal is won at each special instant
        before = (deal for deal in won if deal.created_at < moment and deal.closes_at not in SPECIAL_IN_HUBSPOT)
        min(before, key=lambda deal: abs(deal.closes_at - moment)).closes_at = moment
    return found


def _deal(rng: Random, contact: Contact) -> Deal:
    country = contact.place.country
    delay = timedelta(days=rng.lognormvariate(math.log(12), 0.9))
    created = milliseconds(contact.created_at + delay * rng.uniform(0.05, 0.4))
    won = 0.4 * _WINNING.get(country, 1)
    code = _FOREIGN[country] if country in _FOREIGN and rng.random() < 0.7 else "EUR"
    blank = code == "EUR" and rng.random() < 0.03
    return Deal(
        id="",
        contact=contact,
        pipeline=_pick(rng, {"default": 80, "enterprise": 20}),
        amount=round(rng.lognormvariate(math.log(3800), 0.8) * _TITLE_AMOUNT.get(contact.job_title, 1), 2),
        currency=Currency(None if blank else code, code),
        created_at=created,
        outcome=_pick(rng, {"won": won, "lost": 0.85 - won, None: 0.15}),
        closes_at=milliseconds(contact.created_at + delay),
        updated_at=created + timedelta(minutes=rng.randrange(1, 600)),
        is_deleted=rng.random() < 0.005,
    )


def _orders(rng: Random, contacts: Sequence[Contact]) -> list[Order]:
    births = [contact.created_at for contact in contacts]
    found = []
    for number, moment in enumerate(_moments(rng, 35, 35, 6, 23)):
        known, special = bisect_right(births, moment), moment in SPECIAL
        contact = contacts[int(known * rng.random() ** 0.5)] if known and rng.random() < 0.9 else None
        place = contact.place if contact else _pick(rng, _PLACES)
        code = _FOREIGN[place.country] if place.country in _FOREIGN and rng.random() < 0.6 else "EUR"
        own = contact is None or rng.random() < 0.4
        found.append(
            Order(
                id=f"SO-{100_001 + number}",
                contact=contact,
                ordered_at=moment,
                status="paid" if special else _pick(rng, _STATUSES),
                total=round(rng.lognormvariate(math.log(85), 0.7), 2),
                currency=Currency(_pick(rng, {code: 99, f" {code.lower()}": 1}), code),
                client=contact.client if contact and not own else ClientId.some(rng, moment),
                place=place,
                is_deleted=rng.random() < 0.002 and not special,
                updated_at=moment + timedelta(hours=1 + rng.expovariate(1 / 40)),
            )
        )
    _spoil(rng, found)
    return found


def _spoil(rng: Random, orders: Sequence[Order]) -> None:
    """Make the deliberate faults: 3 refused rows, 12 ids in two versions (all within a day), 0.3 % identical copies."""
    days: dict[date, list[Order]] = {}
    for order in orders:
        if order.counts and order.ordered_at not in SPECIAL:
            days.setdefault(local_day(order.ordered_at), []).append(order)
    faults: list[tuple[date, Row]] = [
        (date(2025, 5, 12), {"currency": "EURO"}),
        (date(2025, 9, 8), {"id": ""}),
        (date(2025, 12, 8), {"total": math.nan}),
    ]
    for start, fault in faults:
        rng.choice(next(rows for day, rows in days.items() if day >= start and len(rows) >= 25)).broken = fault
    whole = [order for rows in days.values() for order in rows if not order.broken]
    calm = [order for order in whole if 3 <= order.ordered_at.hour <= 20]
    old = [order for order in calm if local_day(order.ordered_at) < date(2025, 11, 1)]
    young = [order for order in calm if date(2025, 12, 12) <= local_day(order.ordered_at) <= date(2025, 12, 16)]
    for number, order in enumerate([rng.choice(young), *rng.sample(old, 11)]):
        _double(rng, order, number)
    rest = [order for order in whole if order.twin is None]
    year = [order for order in rest if local_day(order.ordered_at) < LOAD_DAYS[0]]
    later = [[order for order in rest if local_day(order.ordered_at) == day] for day in LOAD_DAYS[:-1]]
    for order in [*rng.sample(year, round(0.003 * len(orders))), *(rng.choice(rows) for rows in later)]:
        order.copied = True


def _double(rng: Random, order: Order, number: int) -> None:
    """Give an order an older version: an earlier one that wins, a later one, or one whose status does not count yet."""
    kind = ("earlier", "later", "new")[number % 3]
    minutes = timedelta(minutes=rng.randrange(2, 50))
    moment = order.ordered_at + (minutes if kind == "later" else -minutes)
    order.twin = Twin(
        ordered_at=moment,
        status="new" if kind == "new" else "confirmed",
        total=round(order.total * rng.uniform(1.05, 1.3), 2),
        updated_at=moment + timedelta(minutes=5),
        wins=kind == "earlier",
        first=number % 2 == 0,
    )


def _close_deals(rng: Random, deals: Iterable[Deal], at: datetime) -> None:
    for deal in deals:
        gone = deal.is_deleted and not deal.dirty
        if deal.stage == "open" and deal.outcome and deal.closes_at <= at and not gone:
            deal.close(deal.closes_at + timedelta(minutes=rng.randrange(240)))


def _promote(rng: Random, deals: Iterable[Deal]) -> None:
    for deal in deals:
        settled = deal.closed_at and local_day(deal.closed_at) < date(2025, 12, 10)
        if deal.stage == "won" and deal.contact.lifecycle == "lead" and settled and rng.random() < 0.85:
            deal.contact.lifecycle = "customer"
            deal.contact.updated_at = max(deal.contact.updated_at, deal.updated_at)

"""A small company's CRM, made up: a year of history and three further daily loads with late changes.

Everything comes from the seed: no clock, no database. `history()` gives the loads, `apply_load` puts one into tables.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import TypeVar

from conversions_assets.demo.truth import (
    TABLES,
    ClientId,
    Contact,
    Currency,
    Deal,
    Entity,
    Load,
    Order,
    Place,
    Row,
    Truth,
    Twin,
    apply_load,
    instant,
    local_day,
    midnight,
    summary,
    take_load,
)

__all__ = ["FIRST_DAY", "LOAD_DAYS", "TABLES", "Load", "Truth", "apply_load", "history", "summary"]

FIRST_DAY = date(2025, 1, 1)
LOAD_DAYS = tuple(date(2026, 1, day) for day in (1, 2, 3, 4))

_MICRO = timedelta(microseconds=1)
_SPECIAL = sorted(
    [
        midnight(FIRST_DAY),
        instant(datetime(2025, 3, 30, 2)) - _MICRO,  # the last instant before the missing hour: 01:59:59.999999 ...
        instant(datetime(2025, 3, 30, 3)),  # ... and the next one: 03:00
        midnight(date(2025, 6, 15)) - _MICRO,
        midnight(date(2025, 6, 15)),
        instant(datetime(2025, 10, 26, 2, 30)),
        instant(datetime(2025, 10, 26, 2, 30, fold=1)),
        *(midnight(day) - _MICRO for day in LOAD_DAYS),
        *(midnight(day) for day in LOAD_DAYS),
        *(midnight(day) + timedelta(minutes=4, seconds=11) for day in LOAD_DAYS),
    ]
)
"""Instants at which an order and a contact surely exist; those after midnight on a load's day are open-day rows."""

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
_SOURCES = {"Google Ads": 35, "Organic search": 25, "Meta Ads": 15, "Newsletter": 12, "Referral": 8, None: 5}
_SOURCE_DEALS: dict[str | None, float] = {"Meta Ads": 0.4, "Newsletter": 1.3, "Referral": 2.0}
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
T = TypeVar("T", bound=Entity)


@dataclass
class _World:
    contacts: list[Contact]
    deals: list[Deal]
    orders: list[Order]


def history(seed: int = 1) -> list[Load]:
    """The four loads: everything up to 2026-01-01 00:10 in Berlin, then those of the three days after."""
    rng = Random(seed)
    contacts = _contacts(rng)
    world = _World(contacts, _deals(rng, contacts), _orders(rng, contacts))
    editor = _Editor(rng, world)
    loads = []
    for number, day in enumerate(LOAD_DAYS):
        at = midnight(day) + timedelta(minutes=10)
        _close_deals(rng, world.deals, at)
        if number == 0:
            _promote(rng, world.deals)
        else:
            editor.edit(number, day)
        loads.append(take_load(at, world.contacts, world.deals, world.orders))
    return loads


# --- what happens by itself ---------------------------------------------------------------------------------------


def _moments(rng: Random, weekday: float, weekend: float, opening: int, closing: int) -> list[datetime]:
    """The special instants and about so many moments a day, between two hours but for a few at any time."""
    found = list(_SPECIAL)
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
        special = moment in _SPECIAL
        found.append(
            Contact(
                id=str(20_100_001 + number),
                created_at=moment,
                client=ClientId.some(rng, moment),
                place=_pick(rng, _PLACES),
                job_title=_pick(rng, _TITLES),
                lead_source=_pick(rng, _SOURCES),
                lifecycle="junk" if rng.random() < 0.08 and not special else "lead",
                is_deleted=rng.random() < 0.004 and not special,
                updated_at=moment + timedelta(hours=rng.expovariate(1 / 30)),
            )
        )
    return found


def _deals(rng: Random, contacts: Iterable[Contact]) -> list[Deal]:
    found = []
    for contact in contacts:
        chance = 0.115 * _SOURCE_DEALS.get(contact.lead_source, 1) * _TITLE_DEALS.get(contact.job_title, 0.8)
        if rng.random() < chance * (0.3 if contact.lifecycle == "junk" else 1):
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
    for moment in _SPECIAL[1:9]:  # up to the first load's midnight, a deal is won at each special instant
        before = (deal for deal in won if deal.created_at < moment and deal.closes_at not in _SPECIAL)
        min(before, key=lambda deal: abs(deal.closes_at - moment)).closes_at = moment
    return found


def _deal(rng: Random, contact: Contact) -> Deal:
    country = contact.place.country
    delay = timedelta(days=rng.lognormvariate(math.log(12), 0.9))
    created = contact.created_at + delay * rng.uniform(0.05, 0.4)
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
        closes_at=contact.created_at + delay,
        updated_at=created + timedelta(minutes=rng.randrange(1, 600)),
        is_deleted=rng.random() < 0.005,
    )


def _orders(rng: Random, contacts: Sequence[Contact]) -> list[Order]:
    births = [contact.created_at for contact in contacts]
    found = []
    for number, moment in enumerate(_moments(rng, 35, 35, 6, 23)):
        known, special = bisect_right(births, moment), moment in _SPECIAL
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
        if order.counts and order.ordered_at not in _SPECIAL:
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
        if deal.stage == "open" and deal.outcome and deal.closes_at <= at:
            deal.close(deal.closes_at + timedelta(minutes=rng.randrange(240)))


def _promote(rng: Random, deals: Iterable[Deal]) -> None:
    for deal in deals:
        settled = deal.closed_at and local_day(deal.closed_at) < date(2025, 12, 10)
        if deal.stage == "won" and deal.contact.lifecycle == "lead" and settled and rng.random() < 0.85:
            deal.contact.lifecycle = "customer"
            deal.contact.updated_at = max(deal.contact.updated_at, deal.updated_at)


# --- late changes -------------------------------------------------------------------------------------------------


class _Editor:
    """Makes the late changes of a load, for an adjustment window of 30 days: ages are days before the load's day.

    No entity is changed twice, but for the order that is cancelled and returns.
    """

    def __init__(self, rng: Random, world: _World) -> None:
        self.rng = rng
        self.world = world
        self.used: set[str] = set()
        self.day = LOAD_DAYS[0]
        self.returning: Order | None = None

    def edit(self, number: int, day: date) -> None:
        """The changes of the load of this day (number 1, 2 or 3)."""
        self.day = day
        self._statuses(number)
        self._corrections(number)
        self._deals(number)
        self._contacts(number)

    def _age(self, moment: datetime | None) -> int:
        return (self.day - local_day(moment)).days if moment else -1

    def _touch(self, entity: Entity) -> None:
        self.used.add(entity.id)
        entity.dirty = True
        entity.updated_at = self._office_hours(1)

    def _office_hours(self, age: int) -> datetime:
        return midnight(self.day - timedelta(days=age)) + timedelta(seconds=self.rng.randrange(28_800, 61_200))

    def _choose(self, pool: Iterable[T], count: int, fits: Callable[[T], object]) -> list[T]:
        free = [entity for entity in pool if entity.id not in self.used and not entity.is_deleted and fits(entity)]
        chosen = self.rng.sample([entity for entity in free if entity.born not in _SPECIAL], count)
        for entity in chosen:
            self._touch(entity)
        return chosen

    def _orders(self, count: int, statuses: Sequence[str], youngest: int, oldest: int) -> list[Order]:
        def fits(order: Order) -> bool:
            plain = not order.broken and order.twin is None and order.status in statuses
            return plain and youngest <= self._age(order.ordered_at) <= oldest

        chosen = self._choose(self.world.orders, count, fits)
        for order in chosen:
            order.copied = False
        return chosen

    def _statuses(self, number: int) -> None:
        counting = ("confirmed", "paid")
        late = self._orders({1: 4, 2: 3, 3: 3}[number], ["new"], 2, 25)
        if number == 2:
            late += self._orders(1, ["new"], 36, 60)
        for order in late:
            order.status = "confirmed"
        frozen = {1: 45, 3: 60}.get(number)
        cancelled = self._orders(2, counting, 2, 26)
        if frozen:
            cancelled += self._orders(1, counting, frozen, frozen)
        if number == 1:
            (self.returning,) = self._orders(1, ["confirmed"], 5, 20)
            cancelled.append(self.returning)
        for order in cancelled:
            order.status = "cancelled"
        if number == 3 and self.returning:
            self.returning.status = "confirmed"
            self._touch(self.returning)
        for order in self._orders(10, ["confirmed"], 2, 12):
            order.status = "paid"  # changes the raw row, and no conversion

    def _corrections(self, number: int) -> None:
        for order in self._orders({1: 2, 2: 2, 3: 1}[number], ["paid"], 2, 25):
            order.total = round(order.total * self.rng.uniform(0.3, 0.9), 2)
        if number == 1:
            (order,) = self._orders(1, ["paid"], 3, 20)
            order.client = ClientId.known(self.rng, order.ordered_at)
        if number == 2:
            (contact,) = self._choose(self.world.contacts, 1, lambda c: self._lead(c, 3, 20) and not c.client.canonical)
            contact.client = ClientId.known(self.rng, contact.created_at)

    def _lead(self, contact: Contact, youngest: int, oldest: int) -> bool:
        return contact.lifecycle == "lead" and youngest <= self._age(contact.created_at) <= oldest

    def _won(self, youngest: int, oldest: int, oldest_first: bool = False) -> Deal:
        def fits(deal: Deal) -> bool:
            ordinary = deal.stage == "won" and not deal.is_deleted and deal.closed_at not in _SPECIAL
            return ordinary and youngest <= self._age(deal.closed_at) <= oldest

        pool: Iterable[Deal] = self.world.deals
        if oldest_first:
            pool = [next(deal for deal in self.world.deals if deal.id not in self.used and fits(deal))]
        return self._choose(pool, 1, fits)[0]

    def _deals(self, number: int) -> None:
        reopened = self._won(38, 80) if number == 2 else self._won(2, 24)
        reopened.stage, reopened.closed_at, reopened.outcome = "open", None, None
        if number == 1:  # from the window to a frozen day
            self._won(2, 24, oldest_first=True).closed_at = self._office_hours(34)
        elif number == 2:  # inside the window
            self._won(8, 24).closed_at = self._office_hours(4)
        else:  # from a frozen day into the window
            self._won(35, 60).closed_at = self._office_hours(7)

    def _contacts(self, number: int) -> None:
        dealing = {deal.contact.id for deal in self.world.deals}
        young, old = {1: (5, 2), 2: (5, 2), 3: (4, 2)}[number]
        contacts = self.world.contacts
        customers = self._choose(contacts, young, lambda c: c.id in dealing and self._lead(c, 2, 26))
        customers += self._choose(contacts, old, lambda c: c.id in dealing and self._lead(c, 35, 120))
        for contact in customers:
            contact.lifecycle = "customer"
        if number == 2:  # merged into another contact; its deal stays
            (merged,) = self._choose(contacts, 1, lambda c: c.id in dealing and self._lead(c, 3, 24))
            merged.is_deleted = True

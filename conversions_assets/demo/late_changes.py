"""The late changes that the demo's company makes before its second, third and fourth load."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from conversions_assets.demo.instants import LOAD_DAYS, SPECIAL, SPECIAL_IN_HUBSPOT
from conversions_assets.demo.truth import ClientId, Contact, Deal, Entity, Order, T, local_day, midnight

_KEPT = frozenset([*SPECIAL, *SPECIAL_IN_HUBSPOT])


@dataclass
class Company:
    """All entities of the company, in the order of their ids."""

    contacts: list[Contact]
    deals: list[Deal]
    orders: list[Order]


class Editor:
    """Makes the late changes of a load, for an adjustment window of 30 days: ages are days before the load's day.

    No entity is changed twice, but for the order that is cancelled and returns.
    """

    def __init__(self, rng: Random, company: Company) -> None:
        self.rng = rng
        self.company = company
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
        ordinary = [entity for entity in free if entity.born not in _KEPT]
        chosen = self.rng.sample(ordinary, count)
        for entity in chosen:
            self._touch(entity)
        return chosen

    def _orders(self, count: int, statuses: Sequence[str], youngest: int, oldest: int) -> list[Order]:
        def fits(order: Order) -> bool:
            plain = not order.broken and order.twin is None and order.status in statuses
            return plain and youngest <= self._age(order.ordered_at) <= oldest

        chosen = self._choose(self.company.orders, count, fits)
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
            (contact,) = self._choose(
                self.company.contacts, 1, lambda c: self._lead(c, 3, 20) and not c.client.canonical
            )
            contact.client = ClientId.known(self.rng, contact.created_at)

    def _lead(self, contact: Contact, youngest: int, oldest: int) -> bool:
        return contact.lifecycle == "lead" and youngest <= self._age(contact.created_at) <= oldest

    def _won(self, youngest: int, oldest: int, oldest_first: bool = False) -> Deal:
        def fits(deal: Deal) -> bool:
            ordinary = deal.stage == "won" and not deal.is_deleted and deal.closed_at not in SPECIAL_IN_HUBSPOT
            return ordinary and youngest <= self._age(deal.closed_at) <= oldest

        pool: Iterable[Deal] = self.company.deals
        if oldest_first:
            pool = [next(deal for deal in self.company.deals if deal.id not in self.used and fits(deal))]
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
        dealing = {deal.contact.id for deal in self.company.deals}
        young, old = {1: (5, 2), 2: (5, 2), 3: (4, 2)}[number]
        contacts = self.company.contacts
        customers = self._choose(contacts, young, lambda c: c.id in dealing and self._lead(c, 2, 26))
        customers += self._choose(contacts, old, lambda c: c.id in dealing and self._lead(c, 35, 120))
        for contact in customers:
            contact.lifecycle = "customer"
        if number == 2:
            self._merge()

    def _merge(self) -> None:
        """Merge a contact into an older one, to which its won deal then belongs."""
        winning = {deal.contact.id for deal in self.company.deals if deal.stage == "won" and deal.id not in self.used}
        (merged,) = self._choose(self.company.contacts, 1, lambda c: c.id in winning and self._lead(c, 3, 29))
        older = [c for c in self.company.contacts if c.created_at < merged.created_at and c.id not in self.used]
        # HubSpot fills the empty fields of the one that stays: this one has none.
        merged.merged_into = next(c for c in reversed(older) if c.is_whole and self._lead(c, 3, 29))
        merged.is_deleted = True
        self.used.add(merged.merged_into.id)

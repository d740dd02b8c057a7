"""The state of the demo's company: its entities, the orders' raw rows, and the conversions that are true of them.

The truth is read from the entities (the clean currency code, the canonical client id, the winner of two versions are
known when an entity is made), never worked out from raw rows: it can therefore judge the product's SQL and rules.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from random import Random
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")
PROJECT_CURRENCY = "EUR"

ORDER_COLUMNS = {
    "id": "STRING",
    "contact_id": "STRING",
    "ordered_at": "TIMESTAMP",
    "status": "STRING",
    "total": "FLOAT64",
    "currency": "STRING",
    "ga_client_id": "STRING",
    "country": "STRING",
    "region": "STRING",
    "city": "STRING",
    "updated_at": "TIMESTAMP",
    "is_deleted": "BOOL",
    "_load_id": "STRING",
}
"""The columns of `shop.orders` with their BigQuery types. What HubSpot's tables hold its loader decides."""

Row = dict[str, object]
Event = dict[str, Any]


@dataclass(frozen=True)
class Truth:
    """A correct conversion row at one load: what `conversions.<name>` has to hold for this id."""

    id: str
    created: datetime
    day: date
    value: float | None
    currency: str
    client_id: str | None
    is_qualified: bool | None
    user_id: str | None
    params: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ClientId:
    """A Google Analytics client id: as the CRM writes it, and its canonical form (None: not attributed)."""

    raw: str | None
    canonical: str | None

    @classmethod
    def some(cls, rng: Random, moment: datetime) -> "ClientId":
        """A client id as they occur: with GA1 or FPID prefix, plain, or missing (8 %)."""
        chance = rng.random()
        if chance < 0.08:
            return cls(rng.choice(["", None, "(not set)"]), None)
        if chance < 0.13:
            token = "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghkmnpqrstuvwxyz23456789", k=16))
            return cls(f"FPID2.2.{token}", token)
        return cls.known(rng, moment, rng.choices(["GA1.2.", "GA1.1-2.", "", " GA1.3."], [60, 12, 26, 2])[0])

    @classmethod
    def known(cls, rng: Random, moment: datetime, prefix: str = "GA1.2.") -> "ClientId":
        """A client id of the form digits.digits, first seen some time before a moment."""
        seen = int(moment.timestamp()) - rng.randrange(3_000_000)
        canonical = f"{rng.randrange(100_000_000, 2_147_483_647)}.{seen}"
        return cls(prefix + canonical, canonical)


@dataclass(frozen=True)
class Currency:
    """A currency as the CRM writes it, and its ISO code."""

    raw: str | None
    code: str


@dataclass(frozen=True)
class Place:
    """Where somebody is; region and city may be unknown."""

    country: str
    region: str | None
    city: str | None

    def columns(self) -> Row:
        """Its columns in a raw table, its fields in the CRM."""
        return {"country": self.country, "region": self.region, "city": self.city}


@dataclass(kw_only=True, eq=False)
class Entity(ABC):
    """What every entity has. `dirty`: changed since the last load, so the next one brings it."""

    id: str
    updated_at: datetime
    is_deleted: bool = False
    dirty: bool = True

    @property
    @abstractmethod
    def born(self) -> datetime:
        """The moment from which the CRM knows this entity."""


T = TypeVar("T", bound=Entity)


@dataclass(kw_only=True, eq=False)
class Contact(Entity):
    """A HubSpot contact; `other` is the lifecycle stage where the company puts junk.

    One that is deleted has no deals. One that was merged is deleted, and its deals belong to the one that took it over.
    """

    created_at: datetime
    client: ClientId
    place: Place
    job_title: str | None
    lead_source: str | None
    lifecycle: str = "lead"
    merged_into: "Contact | None" = None

    @property
    def born(self) -> datetime:
        return self.created_at

    @property
    def is_whole(self) -> bool:
        """Whether it is there, with a client id and no empty field."""
        fields = (self.client.canonical, self.place.region, self.place.city, self.job_title, self.lead_source)
        return all(fields) and not self.is_deleted

    def truth(self) -> Truth | None:
        """The lead of this contact, if it is one now."""
        if self.is_deleted or self.lifecycle == "other":
            return None
        return Truth(
            id=self.id,
            created=self.created_at,
            day=local_day(self.created_at),
            value=None,
            currency=PROJECT_CURRENCY,
            client_id=self.client.canonical,
            is_qualified=self.lifecycle == "customer",
            user_id=self.id,
            params=_params(country=self.place.country, job_title=self.job_title, lead_source=self.lead_source),
        )


@dataclass(kw_only=True, eq=False)
class Deal(Entity):
    """A HubSpot deal. `outcome` and `closes_at` are its future, `stage` and `closed_at` what the CRM shows now."""

    contact: Contact
    pipeline: str
    amount: float
    currency: Currency
    created_at: datetime
    outcome: str | None
    closes_at: datetime
    stage: str = "open"
    closed_at: datetime | None = None

    @property
    def born(self) -> datetime:
        return self.created_at

    def truth(self) -> Truth | None:
        """The closed deal, if it is won now."""
        if self.is_deleted or self.stage != "won" or self.closed_at is None:
            return None
        contact = self.contact.merged_into or self.contact
        return Truth(
            id=self.id,
            created=self.closed_at,
            day=local_day(self.closed_at),
            value=self.amount,
            currency=self.currency.code,
            client_id=contact.client.canonical,
            is_qualified=None,
            user_id=contact.id,
            params=(),
        )

    def close(self, updated_at: datetime) -> None:
        """Let the outcome happen."""
        if self.outcome:
            self.stage, self.closed_at, self.updated_at, self.dirty = self.outcome, self.closes_at, updated_at, True


@dataclass(frozen=True)
class Twin:
    """An older version of an order that the load carries beside the present one. `wins`: it is the right one by R5."""

    ordered_at: datetime
    status: str
    total: float
    updated_at: datetime
    wins: bool
    first: bool


@dataclass(kw_only=True, eq=False)
class Order(Entity):
    """A shop order. `copied`: its row comes twice; `broken`: the raw field that is refused, so it has no truth."""

    contact: Contact | None
    ordered_at: datetime
    status: str
    total: float
    currency: Currency
    client: ClientId
    place: Place
    copied: bool = False
    twin: Twin | None = None
    broken: dict[str, object] = field(default_factory=dict)

    @property
    def born(self) -> datetime:
        return self.ordered_at

    @property
    def counts(self) -> bool:
        """Whether its status makes it a conversion."""
        return self.status in ("confirmed", "paid") and not self.is_deleted

    def rows(self, load_id: str) -> list[Row]:
        """The raw rows of this order in a load (two where it is duplicated)."""
        row: Row = {
            "id": self.id,
            "contact_id": self.contact.id if self.contact else None,
            "ordered_at": self.ordered_at,
            "status": self.status,
            "total": self.total,
            "currency": self.currency.raw,
            "ga_client_id": self.client.raw,
            **self.place.columns(),
        }
        row |= {"updated_at": self.updated_at, "is_deleted": self.is_deleted, "_load_id": load_id, **self.broken}
        if self.twin is None:
            return [row, dict(row)] if self.copied else [row]
        other = row | {name: getattr(self.twin, name) for name in ("ordered_at", "status", "total", "updated_at")}
        return [other, row] if self.twin.first else [row, other]

    def truth(self) -> Truth | None:
        """The confirmed order, if it is one now."""
        if self.broken or not self.counts:
            return None
        version = self.twin if self.twin and self.twin.wins else self
        return Truth(
            id=self.id,
            created=version.ordered_at,
            day=local_day(version.ordered_at),
            value=version.total,
            currency=self.currency.code,
            client_id=self.client.canonical,
            is_qualified=None,
            user_id=self.contact.id if self.contact else None,
            params=_params(country=self.place.country, region=self.place.region, city=self.place.city),
        )


@dataclass(frozen=True)
class Load:
    """One complete load of HubSpot and the shop, and what is true of the closed days when it has arrived.

    Attributes:
        events: what happened in HubSpot since the load before, in the order of time; each has its `at`.
        orders: the raw rows of new and changed orders.
        truth: conversion -> id -> its row.
    """

    load_id: str
    at: datetime
    events: list[Event]
    orders: list[Row]
    truth: dict[str, dict[str, Truth]]


def take_load(
    at: datetime, contacts: list[Contact], deals: list[Deal], orders: list[Order], events: list[Event]
) -> Load:
    """Load what is new or changed since the last load, and mark it as loaded."""
    load_id = f"{at.astimezone(BERLIN):%Y%m%dT%H%M%S}"
    rows: list[Row] = []
    for order in changed(orders, at):
        order.updated_at = min(order.updated_at, at)
        rows.extend(order.rows(load_id))
    for entity in [*changed(contacts, at), *changed(deals, at), *changed(orders, at)]:
        entity.dirty = False
    truth = {"lead": truths(contacts, at), "deal_closed": truths(deals, at), "order_confirmed": truths(orders, at)}
    return Load(load_id, at, events, rows, truth)


def changed(entities: Iterable[T], at: datetime) -> list[T]:
    """Those that a load brings: born by then, and new or changed since the load before."""
    return [entity for entity in entities if entity.dirty and entity.born <= at]


def apply_load(orders: Sequence[Row], load: Load) -> list[Row]:
    """The table `shop.orders` after a load: all rows of the load's ids are replaced. Nothing is changed in place.

    Duplicates inside a load therefore stay until their id is loaded again.
    """
    loaded = {row["id"] for row in load.orders}
    return [row for row in orders if row["id"] not in loaded] + load.orders


def local_day(moment: datetime) -> date:
    """The day in Berlin of an instant."""
    return moment.astimezone(BERLIN).date()


def instant(local: datetime) -> datetime:
    """The UTC instant of a naive wall-clock time in Berlin (`fold` tells the two passes of a clock change apart)."""
    return local.replace(tzinfo=BERLIN).astimezone(UTC)


def midnight(day: date) -> datetime:
    """The instant at which a local day starts."""
    return instant(datetime(day.year, day.month, day.day))


def truths(entities: Sequence[Contact | Deal | Order], at: datetime) -> dict[str, Truth]:
    """The truth of a conversion at a load: of the days closed by then, in the order of the entities."""
    today = local_day(at)
    rows = (entity.truth() for entity in entities if entity.born <= at)
    return {row.id: row for row in rows if row is not None and row.day < today}


def _params(**values: str | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in values.items() if value))

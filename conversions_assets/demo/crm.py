"""The company's HubSpot: what happens to contacts and deals, as events of the fake CRM.

HubSpot shows a state at each load; the events between two loads are made from what differs between the states.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from conversions_assets.demo.fake_crm.world import World
from conversions_assets.demo.instants import FIRST_DAY
from conversions_assets.demo.truth import Contact, Deal, Entity, Event, Load, changed, local_day, midnight

# (pipeline, what a deal is) -> HubSpot's stage
STAGES = {
    ("default", "open"): "appointmentscheduled",
    ("default", "won"): "closedwon",
    ("default", "lost"): "closedlost",
    ("enterprise", "open"): "190001",
    ("enterprise", "won"): "190003",
    ("enterprise", "lost"): "190004",
}


class Chronicle:
    """Tells what happened to entities; it remembers what it has told of each."""

    def __init__(self) -> None:
        self._told: dict[Entity, Mapping[str, Any]] = {}

    def events(self, contacts: Iterable[Contact], deals: Iterable[Deal], at: datetime) -> list[Event]:
        """What happened since the load before up to the load at a time, in the order of time; each has its `at`."""
        found = [event for contact in changed(contacts, at) for event in self._of_contact(contact)]
        found += [event for deal in changed(deals, at) for event in self._of_deal(deal)]
        # What an entity's last change is dated after the load happens just before it.
        return sorted(({**event, "at": min(event["at"], at)} for event in found), key=lambda event: event["at"])

    def _of_contact(self, contact: Contact) -> Iterator[Event]:
        event = {"kind": "contact", "number": int(contact.id), "at": contact.updated_at}
        fields = {
            **contact.place.columns(),
            "ga_client_id": contact.client.raw,
            "job_title": contact.job_title,
            "lead_source": contact.lead_source,
            "lifecycle": contact.lifecycle,
        }
        if contact not in self._told:
            # Nobody is born a customer.
            self._told[contact] = fields | {"lifecycle": contact.lifecycle.replace("customer", "lead")}
            yield {**event, "op": "create", "fields": self._told[contact], "at": contact.created_at}
        yield from self._update(contact, fields, event)
        if contact.merged_into is not None:
            yield {**event, "op": "merge", "number": int(contact.merged_into.id), "other": event["number"]}
        elif contact.is_deleted:
            yield {**event, "op": "delete"}

    def _of_deal(self, deal: Deal) -> Iterator[Event]:
        number = int(deal.id)
        event = {"kind": "deal", "number": number, "at": deal.updated_at}
        stage = STAGES[deal.pipeline, deal.stage]
        if deal not in self._told:
            opening = STAGES[deal.pipeline, "open"]
            fields = {"name": f"Deal {number}", "amount": deal.amount, "currency": deal.currency.raw, "stage": opening}
            yield {**event, "op": "create", "fields": fields, "at": deal.created_at}
            contact = deal.contact.merged_into or deal.contact
            yield {"op": "associate", "deal": number, "contact": int(contact.id), "at": deal.created_at}
            self._told[deal] = {"stage": opening}
        told_stage = self._told[deal]["stage"]
        closes = {}
        if deal.closed_at is not None:
            # A deal that is opened again keeps its close date.
            closes = {"close_date": local_day(deal.closed_at).isoformat(), "close_time": deal.closed_at.isoformat()}
        yield from self._update(deal, {"stage": told_stage, **closes}, event)
        if stage != told_stage:
            self._told[deal] = {**self._told[deal], "stage": stage}
            yield {**event, "op": "stage", "stage": stage}
        if deal.is_deleted:
            yield {**event, "op": "delete"}

    def _update(self, entity: Entity, fields: Mapping[str, Any], event: Event) -> Iterator[Event]:
        """An update with the fields that differ from what was told."""
        told = self._told[entity]
        self._told[entity] = {**told, **fields}
        different = {name: value for name, value in fields.items() if value != told.get(name)}
        if different:
            yield {**event, "op": "update", "fields": different}


def begin() -> World:
    """HubSpot on the company's first day, empty."""
    return World(midnight(FIRST_DAY))


def play(world: World, load: Load) -> None:
    """Let happen what happened up to a load, and put the clock to the load's time."""
    world.apply(load.events)
    world.move_clock(load.at)

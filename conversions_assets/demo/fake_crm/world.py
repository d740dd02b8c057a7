"""The state behind all four dialects: one log of events and a clock that only the caller moves."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from conversions_assets.demo.fake_crm.catalogue import CUSTOM_KINDS, KINDS, STAGES, TYPES, CustomField, initial_fields
from conversions_assets.demo.fake_crm.index import Index, Record

START = datetime(2025, 1, 1, tzinfo=UTC)

_PERSON = frozenset({"email", "first_name", "last_name", "job_title", "company", "owner"})
_PLACE = frozenset({"country", "region", "city"})
_MONEY = frozenset({"amount", "currency"})

FIELDS: dict[str, frozenset[str]] = {
    "contact": _PERSON | _PLACE | {"lead_source", "lifecycle"},
    "company": frozenset({"name", "domain", "country", "city", "owner"}),
    "deal": _MONEY | {"name", "pipeline", "stage", "close_date", "close_time", "lead_source", "company", "owner"},
    "lead": _PERSON
    | _PLACE
    | _MONEY
    | {"title", "lead_source", "status", "contact", "converted_deal", "converted_contact"},
    "role": frozenset({"deal", "contact"}),
    "stage_change": frozenset({"deal", "stage", "amount", "close_date"}),
}
"""Standard fields by kind; references hold the other record's number, `close_date` an ISO date.

`close_time` is the ISO time of the close, which HubSpot alone has; without it a deal closes at the date's begin in UTC.
"""


class EventError(ValueError):
    """An event that cannot happen: nothing was written."""


@dataclass
class Table:
    """One kind of record in all its states."""

    latest: dict[int, Record] = field(default_factory=dict)
    live: Index = field(default_factory=Index)
    deleted: Index = field(default_factory=Index)
    merged: Index = field(default_factory=Index)
    searchable: Index = field(default_factory=Index)
    waiting: deque[Record] = field(default_factory=deque)
    sequences: list[tuple[int, int]] = field(default_factory=list)
    next_number: int = 1

    def store(self, record: Record) -> None:
        """Put a new version where its state belongs."""
        number = record.number
        self.latest[number] = record
        self.next_number = max(self.next_number, number + 1)
        state = (
            "erased"
            if record.erased
            else "deleted"
            if record.deleted_at
            else "merged"
            if record.merged_into
            else "live"
        )
        for name, index in (("live", self.live), ("deleted", self.deleted), ("merged", self.merged)):
            if name == state:
                index.put(record)
            else:
                index.drop(number)
        self.waiting.append(record)
        # Sequences rise, so the end is the place; a number may stand here more than once, only its last entry counts.
        self.sequences.append((record.sequence, number))

    def settle(self, until: datetime) -> Index:
        """What a search index knows that is behind by the time between `until` and now, for two of three records.

        Every third is there at once: what is newest in the index says nothing of what is missing.
        """
        ready = [record for record in self.waiting if record.updated_at <= until or record.number % 3 == 0]
        self.waiting = deque(record for record in self.waiting if record.updated_at > until and record.number % 3)
        for record in ready:
            if record.alive:
                self.searchable.put(record)
            else:
                self.searchable.drop(record.number)
        return self.searchable


class World:
    """Records, their history and the clock.

    Attributes:
        now: the clock; events move it forward, and so does `move_clock`.
        log: every event that happened, in order, with its time.
        search_lag: how far the search index is behind.
        fields: the custom fields, in the order in which they were added.
        schema: rises with every change of the custom fields.
        merged: which numbers a record has taken over, by kind and number.
    """

    def __init__(self, now: datetime = START) -> None:
        self.now = now
        self.log: list[dict[str, Any]] = []
        self.search_lag = timedelta(0)
        self.tables = {kind: Table() for kind in KINDS}
        self.fields: list[CustomField] = initial_fields()
        self.schema = 0
        self.merged: dict[tuple[str, int], list[int]] = {}
        self._roles: dict[tuple[str, int], set[int]] = {}

    def move_clock(self, to: datetime) -> None:
        """Set the clock; it never goes back."""
        if to < self.now:
            raise EventError(f"the clock stands at {self.now.isoformat()} and does not go back to {to.isoformat()}")
        self.now = to

    def apply(self, events: Iterable[Mapping[str, Any]]) -> list[int | None]:
        """Let events happen, each at its `at` or at the clock; the numbers of the records they are about.

        Raises:
            EventError: one cannot happen; those before it have happened.
        """
        return [self._happen(dict(event)) for event in events]

    def searchable(self, kind: str) -> Index:
        """The live records as the search index shows them now."""
        return self.tables[kind].settle(self.now - self.search_lag)

    def roles_of(self, kind: str, number: int) -> list[Record]:
        """The live roles of a deal or a contact, oldest first."""
        roles = self.tables["role"].live.rows
        found = (roles[role] for role in sorted(self._roles.get((kind, number), ())) if role in roles)
        return [role for role in found if role.fields[kind] == number]

    def custom(self, kind: str) -> list[CustomField]:
        """The custom fields of a kind."""
        return [custom for custom in self.fields if custom.kind == kind]

    # --- events -------------------------------------------------------------------------------------------------------

    def _happen(self, event: dict[str, Any]) -> int | None:
        op, at = event.get("op"), event.get("at", self.now)
        handler: Callable[[dict[str, Any], datetime], int | None] | None = self._handlers().get(str(op))
        if handler is None:
            raise EventError(f"there is no event '{op}': one of {', '.join(self._handlers())}")
        try:
            moment = datetime.fromisoformat(at) if isinstance(at, str) else at
            if moment.tzinfo is None:
                raise EventError(f"'at' has no time zone: {at}")
            self.move_clock(moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000))
            number = handler(event, self.now)
        except KeyError as error:
            raise EventError(f"the event '{op}' lacks {error}") from None
        except (TypeError, AttributeError) as error:
            raise EventError(f"the event '{op}' is malformed: {error}") from None
        self.log.append({**event, "at": self.now.isoformat()})
        self.schema += str(op).endswith("_field")
        return number

    def _handlers(self) -> dict[str, Callable[[dict[str, Any], datetime], int | None]]:
        return {
            "create": self._create,
            "update": self._update,
            "stage": self._stage,
            "delete": self._delete,
            "restore": self._restore,
            "erase": self._erase,
            "archive": lambda event, at: self._archive(event, at, True),
            "unarchive": lambda event, at: self._archive(event, at, False),
            "merge": self._merge,
            "associate": self._associate,
            "dissociate": self._dissociate,
            "add_field": self._add_field,
            "remove_field": self._remove_field,
            "rename_field": self._rename_field,
            "retype_field": self._retype_field,
        }

    def _create(self, event: dict[str, Any], at: datetime) -> int:
        kind = self._kind(event, CUSTOM_KINDS)
        table = self.tables[kind]
        number = int(event.get("number", table.next_number))
        if number in table.latest:
            raise EventError(f"{kind} {number} exists already")
        fields = self._checked(kind, event.get("fields", {}))
        if kind == "deal":
            stage = STAGES.get(fields.setdefault("stage", "appointmentscheduled"))
            if stage is None:
                raise EventError(f"there is no stage '{fields['stage']}': one of {', '.join(STAGES)}")
            fields["pipeline"] = stage.pipeline
        record = Record(kind, number, _merged({}, fields), at, at, 0)
        if kind == "deal":
            self._enter(record, at)
        else:
            self._store(record)
        return number

    def _update(self, event: dict[str, Any], at: datetime) -> int:
        record = self._living(event)
        fields = self._checked(record.kind, event["fields"])
        if "stage" in fields or "pipeline" in fields:
            raise EventError("a deal changes its stage by the event 'stage'")
        self._change(record, at, fields=_merged(record.fields, fields))
        return record.number

    def _stage(self, event: dict[str, Any], at: datetime) -> int:
        record, stage = self._living({**event, "kind": "deal"}), STAGES.get(event["stage"])
        if stage is None:
            raise EventError(f"there is no stage '{event['stage']}': one of {', '.join(STAGES)}")
        self._enter(replace(record, fields={**record.fields, "stage": stage.id, "pipeline": stage.pipeline}), at)
        return record.number

    def _enter(self, deal: Record, at: datetime) -> None:
        self._change(deal, at, stages=(*deal.stages, (deal.fields["stage"], at)))
        self._note_stage(deal, at)

    def _note_stage(self, deal: Record, at: datetime) -> None:
        seen = {name: deal.fields[name] for name in ("stage", "amount", "close_date") if name in deal.fields}
        self._new("stage_change", {"deal": deal.number, **seen}, at)

    def _delete(self, event: dict[str, Any], at: datetime) -> int:
        record = self._living(event)
        for role in self.roles_of(record.kind, record.number):
            self._change(role, at, deleted_at=at)
        self._change(record, at, deleted_at=at)
        return record.number

    def _restore(self, event: dict[str, Any], at: datetime) -> int:
        kind = self._kind(event, CUSTOM_KINDS)
        record = self.tables[kind].deleted.rows.get(event["number"])
        if record is None:
            raise EventError(f"{kind} {event['number']} is not in the recycle bin")
        self._change(record, at, deleted_at=None)
        for number in sorted(self._roles.get((kind, record.number), ())):
            role = self.tables["role"].latest[number]
            both_live = all(role.fields[end] in self.tables[end].live.rows for end in ("deal", "contact"))
            if role.deleted_at == record.deleted_at and both_live:
                self._change(role, at, deleted_at=None)
        return record.number

    def _erase(self, event: dict[str, Any], at: datetime) -> int:
        kind, number = self._kind(event, CUSTOM_KINDS), event["number"]
        record = self.tables[kind].latest.get(number)
        if record is None or record.erased or record.merged_into is not None:
            raise EventError(f"{kind} {number} does not exist")
        for role in self.roles_of(kind, number):
            self._change(role, at, deleted_at=at, erased=True)
        self._change(record, at, deleted_at=record.deleted_at or at, erased=True)
        return int(number)

    def _archive(self, event: dict[str, Any], at: datetime, archived: bool) -> int:
        record = self._living(event)
        if record.kind not in ("deal", "lead"):
            raise EventError("only deals and leads are archived")
        self._change(record, at, archived=archived)
        return record.number

    def _merge(self, event: dict[str, Any], at: datetime) -> int:
        """The record `number` takes over `other`; with `new_record` a third one takes over both, as HubSpot's do."""
        winner, loser = self._living(event), self._living({**event, "number": event["other"]})
        if winner.number == loser.number:
            raise EventError("a record cannot be merged with itself")
        fields, losers = {**loser.fields, **winner.fields}, [loser]
        if event.get("new_record"):
            losers, kind = [winner, loser], winner.kind
            winner = replace(winner, number=self.tables[kind].next_number, created_at=at)
            if kind == "deal":
                self._note_stage(winner, at)
        self._change(winner, at, fields=fields)
        for record in losers:
            for role in self.roles_of(record.kind, record.number):
                self._take_over(role, record.kind, winner.number, at)
            self._change(record, at, merged_into=winner.number)
            earlier = self.merged.pop((record.kind, record.number), [])
            self.merged.setdefault((winner.kind, winner.number), []).extend([*earlier, record.number])
        return winner.number

    def _take_over(self, role: Record, end: str, number: int, at: datetime) -> None:
        fields = {**role.fields, end: number}
        if any(other.fields == fields for other in self.roles_of(end, number)):
            self._change(role, at, deleted_at=at)
        else:
            self._change(role, at, fields=fields)

    def _associate(self, event: dict[str, Any], at: datetime) -> int:
        deal = self._living({"kind": "deal", "number": event["deal"]})
        contact = self._living({"kind": "contact", "number": event["contact"]})
        if any(role.fields["contact"] == contact.number for role in self.roles_of("deal", deal.number)):
            raise EventError(f"contact {contact.number} belongs to deal {deal.number} already")
        number = self._new("role", {"deal": deal.number, "contact": contact.number}, at)
        self._change(deal, at)
        return number

    def _dissociate(self, event: dict[str, Any], at: datetime) -> int:
        deal = self._living({"kind": "deal", "number": event["deal"]})
        for role in self.roles_of("deal", deal.number):
            if role.fields["contact"] == event["contact"]:
                self._change(role, at, deleted_at=at)
                self._change(deal, at)
                return role.number
        raise EventError(f"contact {event['contact']} does not belong to deal {deal.number}")

    # --- custom fields ------------------------------------------------------------------------------------------------

    def _add_field(self, event: dict[str, Any], _at: datetime) -> None:
        kind, name = self._kind(event, CUSTOM_KINDS), event["name"]
        if event.get("type", "string") not in TYPES:
            raise EventError(f"there is no type '{event['type']}': one of {', '.join(TYPES)}")
        if name in FIELDS[kind] or any(custom.name == name for custom in self.custom(kind)):
            raise EventError(f"{kind} has a field '{name}' already")
        self.fields.append(CustomField(kind, name, event.get("label", name), event.get("type", "string")))

    def _remove_field(self, event: dict[str, Any], _at: datetime) -> None:
        self.fields.remove(self._field(event))

    def _rename_field(self, event: dict[str, Any], _at: datetime) -> None:
        custom = self._field(event)
        self.fields[self.fields.index(custom)] = replace(custom, label=event["label"])

    def _retype_field(self, event: dict[str, Any], _at: datetime) -> None:
        custom = self._field(event)
        if event["type"] not in TYPES:
            raise EventError(f"there is no type '{event['type']}': one of {', '.join(TYPES)}")
        self.fields[self.fields.index(custom)] = replace(custom, type=event["type"])

    def _field(self, event: dict[str, Any]) -> CustomField:
        kind = self._kind(event, CUSTOM_KINDS)
        for custom in self.custom(kind):
            if custom.name == event["name"]:
                return custom
        raise EventError(f"{kind} has no custom field '{event['name']}'")

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _kind(self, event: dict[str, Any], allowed: Iterable[str]) -> str:
        kind = str(event["kind"])
        if kind not in allowed:
            raise EventError(f"there is no kind '{kind}': one of {', '.join(allowed)}")
        return kind

    def _living(self, event: dict[str, Any]) -> Record:
        kind = self._kind(event, CUSTOM_KINDS)
        record = self.tables[kind].live.rows.get(event["number"])
        if record is None:
            raise EventError(f"there is no {kind} {event['number']}, or it is deleted")
        return record

    def _checked(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        known = FIELDS[kind] | {custom.name for custom in self.custom(kind)}
        for name in fields:
            if name not in known:
                raise EventError(f"{kind} has no field '{name}': one of {', '.join(sorted(known))}")
        return dict(fields)

    def _new(self, kind: str, fields: dict[str, Any], at: datetime) -> int:
        number = self.tables[kind].next_number
        self._store(Record(kind, number, fields, at, at, 0))
        return number

    def _change(self, record: Record, at: datetime, **changes: Any) -> None:
        self._store(replace(record, updated_at=at, **changes))

    def _store(self, record: Record) -> None:
        self.tables[record.kind].store(replace(record, sequence=len(self.log) + 1))
        if record.kind == "role":
            for end in ("deal", "contact"):
                self._roles.setdefault((end, record.fields[end]), set()).add(record.number)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**old, **new}.items() if value is not None}

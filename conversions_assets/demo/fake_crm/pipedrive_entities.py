"""Pipedrive's entities: their fields, custom ones under keys of 40 characters."""

import hashlib
from datetime import datetime
from typing import Any

from conversions_assets.demo.fake_crm.catalogue import STAGES, CustomField, Stage, coerce
from conversions_assets.demo.fake_crm.dialect import milliseconds, seconds
from conversions_assets.demo.fake_crm.index import Record
from conversions_assets.demo.fake_crm.world import World

KINDS = {"deals": "deal", "persons": "contact", "organizations": "company", "leads": "lead"}
PIPELINE_IDS = {"default": 1, "enterprise": 2}
_TYPES = {"string": "varchar", "number": "double", "bool": "enum", "datetime": "varchar"}
_STANDARD = {
    "deal": ("id", "title", "value", "currency", "add_time", "update_time", "stage_id", "status", "won_time"),
    "contact": ("id", "name", "emails", "add_time", "update_time", "org_id", "owner_id"),
    "company": ("id", "name", "add_time", "update_time", "owner_id"),
}


def custom_key(custom: CustomField) -> str:
    """The key of a custom field: 40 characters that say nothing and stay when it is renamed; leads use the deals'."""
    kind = "deal" if custom.kind == "lead" else custom.kind
    return hashlib.sha1(f"{kind}/{custom.name}".encode(), usedforsecurity=False).hexdigest()


def field_list(world: World, kind: str) -> list[dict[str, Any]]:
    """What dealFields, personFields and organizationFields list."""
    standard = [{"key": key, "name": key, "field_type": "varchar", "edit_flag": False} for key in _STANDARD[kind]]
    own = [
        {"key": custom_key(custom), "name": custom.label, "field_type": _TYPES[custom.type], "edit_flag": True}
        for custom in world.custom(kind)
    ]
    return [{"id": number, **field} for number, field in enumerate([*standard, *own], 1)]


def open_stages() -> list[Stage]:
    """The stages of a pipeline; won and lost are a deal's status and no stage."""
    return [stage for stage in STAGES.values() if not stage.closed]


def status(record: Record) -> str:
    """`open`, `won`, `lost` or `deleted`; a merged deal is deleted."""
    if not record.alive:
        return "deleted"
    stage = STAGES[record.fields["stage"]]
    return "won" if stage.won else "lost" if stage.closed else "open"


def entity(world: World, name: str, record: Record, only: list[str] | None = None) -> dict[str, Any]:
    """One row; `only` limits the custom fields."""
    custom = {
        custom_key(field): coerce(record.fields.get(field.name), field.type)
        for field in world.custom(record.kind)
        if only is None or custom_key(field) in only
    }
    fields = record.fields
    if name == "leads":
        return _lead(record) | {key: value for key, value in custom.items() if value is not None}
    row: dict[str, Any] = {
        "id": record.number,
        "add_time": seconds(record.created_at),
        "update_time": seconds(record.updated_at),
        "owner_id": fields.get("owner"),
        "is_deleted": not record.alive,
    }
    if name == "deals":
        row |= _deal(world, record)
    elif name == "persons":
        names = {"first_name": fields.get("first_name"), "last_name": fields.get("last_name")}
        email = fields.get("email")
        emails = [{"value": email, "primary": True, "label": "work"}] if email else []
        whole_name = " ".join(filter(None, names.values()))
        row |= {"name": whole_name, **names, "emails": emails, "org_id": fields.get("company")}
    else:
        row |= {
            "name": fields.get("name"),
            "address": {"country": fields.get("country"), "locality": fields.get("city")},
        }
    return row | {"custom_fields": custom}


def _deal(world: World, record: Record) -> dict[str, Any]:
    fields, last = record.fields, STAGES[record.fields["stage"]]
    passed = [
        stage for stage, _ in record.stages if not STAGES[stage].closed and STAGES[stage].pipeline == last.pipeline
    ]
    first = next(stage.id for stage in open_stages() if stage.pipeline == last.pipeline)
    at = record.stages[-1][1]
    people = world.roles_of("deal", record.number)
    return {
        "title": fields.get("name"),
        "value": fields.get("amount"),
        "currency": fields.get("currency"),
        "pipeline_id": PIPELINE_IDS[last.pipeline],
        "stage_id": STAGES[passed[-1] if passed else first].number,
        "status": status(record),
        "is_archived": record.archived,
        "person_id": people[0].fields["contact"] if people else None,
        "org_id": fields.get("company"),
        "expected_close_date": fields.get("close_date"),
        "won_time": _time(at, last.won),
        "lost_time": _time(at, last.closed and not last.won),
        "close_time": _time(at, last.closed),
        "stage_change_time": seconds(at),
    }


def _lead(record: Record) -> dict[str, Any]:
    fields = record.fields
    amount = fields.get("amount")
    return {
        "id": f"00000000-0000-4000-8000-{record.number:012x}",
        "title": fields.get("title"),
        "owner_id": fields.get("owner"),
        "person_id": fields.get("contact"),
        "organization_id": fields.get("company"),
        "value": None if amount is None else {"amount": amount, "currency": fields.get("currency")},
        "is_archived": record.archived,
        "add_time": milliseconds(record.created_at),
        "update_time": milliseconds(record.updated_at),
    }


def _time(moment: datetime, happened: bool) -> str | None:
    return seconds(moment) if happened else None

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
_OPTIONS = {True: 1, False: 2}
_STANDARD = {
    "deal": {"id": "int", "title": "varchar", "value": "double", "stage_id": "int", "won_time": "date"},
    "contact": {"id": "int", "name": "varchar", "emails": "varchar", "org_id": "org", "job_title": "varchar"},
    "company": {"id": "int", "name": "varchar", "owner_id": "user", "address": "address"},
}
OPTIONAL = {"first_won_time": "date"}
"""Fields of deals that are shown to those who ask for them."""


def custom_key(custom: CustomField) -> str:
    """The key of a custom field: 40 characters that say nothing and stay when it is renamed; leads use the deals'."""
    kind = "deal" if custom.kind == "lead" else custom.kind
    return hashlib.sha1(f"{kind}/{custom.name}".encode(), usedforsecurity=False).hexdigest()


def field_list(world: World, kind: str) -> list[dict[str, Any]]:
    """What dealFields, personFields and organizationFields of API v2 list."""
    fields = [_field(code, code, type_) for code, type_ in _STANDARD[kind].items()]
    if kind == "deal":
        fields += [_field(code, code, type_, is_optional_response_field=True) for code, type_ in OPTIONAL.items()]
    for custom in world.custom(kind):
        field = _field(custom_key(custom), custom.label, _TYPES[custom.type], is_custom_field=True)
        if custom.type == "bool":
            field["options"] = [{"id": _OPTIONS[True], "label": "Yes"}, {"id": _OPTIONS[False], "label": "No"}]
        fields.append(field)
    return fields


def _field(code: str, name: str, type_: str, **more: Any) -> dict[str, Any]:
    flags = {"is_custom_field": False, "is_optional_response_field": False, "options": None, "subfields": None}
    return {"field_code": code, "field_name": name, "field_type": type_, **flags, **more}


def open_stages() -> list[Stage]:
    """The stages of a pipeline; won and lost are a deal's status and no stage."""
    return [stage for stage in STAGES.values() if not stage.closed]


def status(record: Record) -> str:
    """`open`, `won`, `lost` or `deleted`; a merged deal is deleted."""
    if not record.alive:
        return "deleted"
    stage = STAGES[record.fields["stage"]]
    return "won" if stage.won else "lost" if stage.closed else "open"


def converted(lead: Record) -> bool:
    """Whether a lead became a deal; Pipedrive then marks it as deleted, and the deal names it."""
    return lead.fields.get("converted_deal") is not None


def lead_id(number: int) -> str:
    """The UUID of a lead."""
    return f"00000000-0000-4000-8000-{number:012x}"


def entity(world: World, name: str, record: Record, only: list[str] | None = None) -> dict[str, Any]:
    """One row; `only` limits the custom fields."""
    custom = {
        custom_key(field): _custom(record.fields.get(field.name), field.type)
        for field in world.custom(record.kind)
        if only is None or custom_key(field) in only
    }
    fields = record.fields
    if name == "leads":
        # As API v1 has it: flat, and an option's id as text.
        flat = {key: str(value) if isinstance(value, int) else value for key, value in custom.items()}
        return _lead(record) | {key: value for key, value in flat.items() if value is not None}
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
        row |= {"job_title": fields.get("job_title"), "postal_address": _address(record)}
    else:
        row |= {"name": fields.get("name"), "address": _address(record)}
    return row | {"custom_fields": custom}


def _address(record: Record) -> dict[str, Any]:
    place = record.fields
    region = place.get("region")
    return {"country": place.get("country"), "admin_area_level_1": region, "locality": place.get("city")}


def _custom(value: Any, kind: str) -> Any:
    """A value as API v2 has it: the id of an option for a choice."""
    found = coerce(value, kind)
    return _OPTIONS[found] if isinstance(found, bool) else found


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
        "archive_time": _time(record.updated_at, record.archived),
        "person_id": people[0].fields["contact"] if people else None,
        "org_id": fields.get("company"),
        "expected_close_date": fields.get("close_date"),
        "won_time": _time(at, last.won),
        "lost_time": _time(at, last.closed and not last.won),
        "close_time": _time(at, last.closed),
        "stage_change_time": seconds(at),
        "first_won_time": next((seconds(moment) for stage, moment in record.stages if STAGES[stage].won), None),
    }


def _lead(record: Record) -> dict[str, Any]:
    fields = record.fields
    amount = fields.get("amount")
    return {
        "id": lead_id(record.number),
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

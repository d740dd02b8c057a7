"""HubSpot's properties: every value is a string or null."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from conversions_assets.demo.fake_crm.catalogue import STAGES, coerce
from conversions_assets.demo.fake_crm.dialect import milliseconds
from conversions_assets.demo.fake_crm.index import Record
from conversions_assets.demo.fake_crm.world import World

KINDS = {"contacts": "contact", "companies": "company", "deals": "deal"}
Getter = Callable[[Record], str | None]

# property -> (neutral field, type)
_STANDARD: dict[str, dict[str, tuple[str, str]]] = {
    "contact": {
        "email": ("email", "string"),
        "firstname": ("first_name", "string"),
        "lastname": ("last_name", "string"),
        "country": ("country", "string"),
        "state": ("region", "string"),
        "city": ("city", "string"),
        "jobtitle": ("job_title", "string"),
        "hs_analytics_source": ("lead_source", "enumeration"),
        "lifecyclestage": ("lifecycle", "enumeration"),
        "hubspot_owner_id": ("owner", "enumeration"),
    },
    "company": {
        "name": ("name", "string"),
        "domain": ("domain", "string"),
        "country": ("country", "string"),
        "city": ("city", "string"),
        "hubspot_owner_id": ("owner", "enumeration"),
    },
    "deal": {
        "dealname": ("name", "string"),
        "amount": ("amount", "number"),
        "deal_currency_code": ("currency", "enumeration"),
        "pipeline": ("pipeline", "enumeration"),
        "dealstage": ("stage", "enumeration"),
        "hs_analytics_source": ("lead_source", "enumeration"),
        "hubspot_owner_id": ("owner", "enumeration"),
    },
}
_DEFAULTS = {
    "contact": ["createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"],
    "company": ["createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"],
    "deal": ["amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate", "hs_object_id"],
}
_CUSTOM_TYPES = {"string": "string", "number": "number", "bool": "bool", "datetime": "datetime"}


class Properties:
    """What properties an object has now, and their values of a record."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[str, tuple[int, dict[str, str]]] = {}

    def names(self, kind: str) -> list[str]:
        """All properties of a kind."""
        return list(self._types(kind))

    def type(self, kind: str, name: str) -> str | None:
        """The property's type, None where there is no such property."""
        return self._types(kind).get(name)

    def described(self, kind: str) -> list[dict[str, Any]]:
        """Answer of /crm/v3/properties."""
        labels = {custom.name: custom.label for custom in self._world.custom(kind)}
        return [
            {
                "name": name,
                "label": labels.get(name, name),
                "type": kind_of_value,
                "fieldType": "text",
                "groupName": f"{kind}information",
                "hubspotDefined": name not in labels,
                "archived": False,
            }
            for name, kind_of_value in self._types(kind).items()
        ]

    def values(self, record: Record, wanted: list[str]) -> dict[str, str | None]:
        """The wanted properties that exist, the default ones where none is named; unknown names are left out."""
        types = self._types(record.kind)
        names = dict.fromkeys([*(wanted or _DEFAULTS[record.kind]), "hs_object_id"])
        return {name: self.value(record, name) for name in names if name in types}

    def value(self, record: Record, name: str) -> str | None:
        """One property as text."""
        computed = _COMPUTED.get(name)
        if computed is not None:
            return computed(record)
        if name == "hs_merged_object_ids":
            return ";".join(map(str, self._world.merged.get((record.kind, record.number), []))) or None
        moment = _entered(record, name)
        if moment is not None or name.startswith("hs_v2_date_"):
            return moment
        field, kind = _STANDARD[record.kind].get(name, (name, ""))
        value = record.fields.get(field)
        if not kind:
            value = coerce(value, next(c.type for c in self._world.custom(record.kind) if c.name == name))
        return _text(value)

    def _types(self, kind: str) -> dict[str, str]:
        schema, types = self._known.get(kind, (-1, {}))
        if schema != self._world.schema:
            types = self._all_types(kind)
            self._known[kind] = self._world.schema, types
        return types

    def _all_types(self, kind: str) -> dict[str, str]:
        modified = "lastmodifieddate" if kind == "contact" else "hs_lastmodifieddate"
        types = {"hs_object_id": "number", "createdate": "datetime", modified: "datetime"}
        types["hs_merged_object_ids"] = "enumeration"
        types |= {name: kind_of_value for name, (_, kind_of_value) in _STANDARD[kind].items()}
        if kind == "deal":
            types |= {"closedate": "datetime", "hs_is_closed": "bool", "hs_is_closed_won": "bool"}
            for stage in STAGES:
                types |= {f"hs_v2_date_entered_{stage}": "datetime", f"hs_v2_date_exited_{stage}": "datetime"}
        return types | {custom.name: _CUSTOM_TYPES[custom.type] for custom in self._world.custom(kind)}


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value)


def _entered(record: Record, name: str) -> str | None:
    """The last time the deal entered or left a stage."""
    for prefix, shift in (("hs_v2_date_entered_", 0), ("hs_v2_date_exited_", 1)):
        if name.startswith(prefix):
            stage = name.removeprefix(prefix)
            positions = [position for position, (entered, _) in enumerate(record.stages) if entered == stage]
            if positions and positions[-1] + shift < len(record.stages):
                return milliseconds(record.stages[positions[-1] + shift][1])
    return None


def _closes(deal: Record) -> str | None:
    """The close date, which has a time of day in HubSpot."""
    text = deal.fields.get("close_time") or deal.fields.get("close_date")
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return milliseconds(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))


_COMPUTED: dict[str, Getter] = {
    "closedate": _closes,
    "hs_object_id": lambda record: str(record.number),
    "createdate": lambda record: milliseconds(record.created_at),
    "lastmodifieddate": lambda record: milliseconds(record.updated_at),
    "hs_lastmodifieddate": lambda record: milliseconds(record.updated_at),
    "hs_is_closed": lambda record: str(STAGES[record.fields["stage"]].closed).lower(),
    "hs_is_closed_won": lambda record: str(STAGES[record.fields["stage"]].won).lower(),
}

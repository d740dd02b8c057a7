"""Dataverse's tables: entity sets, columns and rows."""

from collections.abc import Callable, Iterator
from typing import Any

from conversions_assets.demo.fake_crm.catalogue import STAGES, USERS, CustomField, coerce
from conversions_assets.demo.fake_crm.dialect import seconds
from conversions_assets.demo.fake_crm.index import Record
from conversions_assets.demo.fake_crm.world import START, World

# entity set -> logical name of its table
KINDS = {"leads": "lead", "contacts": "contact", "accounts": "account", "opportunities": "opportunity"}
# entity set -> kind of record, None where the company's set-up never changes
SETS: dict[str, str | None] = {"leads": "lead", "contacts": "contact", "accounts": "company", "opportunities": "deal"}
SETS |= {"transactioncurrencies": None, "systemusers": None}
CURRENCIES = {"EUR": 1, "USD": 2, "GBP": 3}
SOURCES = {"Google Ads": 1, "Organic search": 2, "Newsletter": 3, "Meta Ads": 4, "Referral": 5}
_CODES = {"lead": 0x10, "contact": 0x11, "company": 0x12, "deal": 0x13, "currency": 0x14, "user": 0x15}
_ENTITIES = {"lead": "lead", "contact": "contact", "company": "account", "deal": "opportunity"}

# column -> (neutral field, kind that a lookup points to)
_PERSON = {
    "firstname": ("first_name", ""),
    "lastname": ("last_name", ""),
    "emailaddress1": ("email", ""),
    "jobtitle": ("job_title", ""),
    "address1_country": ("country", ""),
    "address1_stateorprovince": ("region", ""),
    "address1_city": ("city", ""),
    "_ownerid_value": ("owner", "user"),
}
_FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "lead": _PERSON
    | {
        "subject": ("title", ""),
        "estimatedamount": ("amount", ""),
        "_parentcontactid_value": ("contact", "contact"),
        "_parentaccountid_value": ("company", "company"),
        "_qualifyingopportunityid_value": ("converted_deal", "deal"),
    },
    "contact": _PERSON | {"_parentcustomerid_value": ("company", "company")},
    "company": {
        "name": ("name", ""),
        "websiteurl": ("domain", ""),
        "address1_country": ("country", ""),
        "address1_city": ("city", ""),
        "_ownerid_value": ("owner", "user"),
    },
    "deal": {
        "name": ("name", ""),
        "estimatedvalue": ("amount", ""),
        "estimatedclosedate": ("close_date", ""),
        "_parentaccountid_value": ("company", "company"),
        "_ownerid_value": ("owner", "user"),
    },
}
_COMMON = ("createdon", "modifiedon", "versionnumber", "statecode")
_MERGED = ("merged", "_masterid_value")
_COMPUTED: dict[str, tuple[str, ...]] = {
    "lead": ("leadsourcecode", "_transactioncurrencyid_value", *_MERGED),
    "contact": ("leadsourcecode", *_MERGED),
    "company": _MERGED,
    "deal": ("stepname", "actualvalue", "actualclosedate", "_transactioncurrencyid_value", "_parentcontactid_value"),
}
# AttributeType of standard columns; of all others String.
_TYPES = {
    "createdon": "DateTime",
    "modifiedon": "DateTime",
    "versionnumber": "BigInt",
    "statecode": "State",
    "leadsourcecode": "Picklist",
    "merged": "Boolean",
    "estimatedamount": "Money",
    "estimatedvalue": "Money",
    "actualvalue": "Money",
    "estimatedclosedate": "DateTime",
    "actualclosedate": "DateTime",
    "_ownerid_value": "Owner",
    "_parentcustomerid_value": "Customer",
}
_DATES = ("estimatedclosedate", "actualclosedate")
_STATIC_KEYS = {"transactioncurrencies": "transactioncurrencyid", "systemusers": "systemuserid"}


def guid(kind: str, number: int) -> str:
    """The id of a row."""
    return f"{_CODES[kind]:08x}-0000-4000-8000-{number:012x}"


def custom_name(custom: CustomField) -> str:
    """The logical name with the publisher's prefix; renaming the label leaves it."""
    return "new_" + custom.name.replace("_", "").lower()


class Tables:
    """What the tables hold now."""

    def __init__(self, world: World) -> None:
        self._world = world

    def key(self, name: str) -> str:
        """The primary key's column."""
        return _STATIC_KEYS.get(name) or KINDS[name] + "id"

    def columns(self, name: str) -> list[str]:
        """All columns of an entity set."""
        kind = SETS[name]
        if kind is None:
            return list(next(iter(self.static(name))))
        own = [custom_name(custom) for custom in self._world.custom(kind)]
        return [self.key(name), *_COMMON, *_FIELDS[kind], *_COMPUTED[kind], *own]

    def attributes(self, name: str) -> list[dict[str, Any]]:
        """The columns as EntityDefinitions describe them: lookups under their own names, with one for their labels."""
        kinds = {"number": "Double", "bool": "Boolean", "datetime": "DateTime", "string": "String"}
        custom = {custom_name(custom): custom for custom in self._world.custom(SETS[name] or "")}
        found = []
        for column in self.columns(name):
            own = custom.get(column)
            lookup = column.startswith("_")
            kind = "Uniqueidentifier" if column == self.key(name) else "Lookup" if lookup else "String"
            logical = column.removeprefix("_").removesuffix("_value") if lookup else column
            found.append(_attribute(logical, kinds[own.type] if own else _TYPES.get(column, kind), own))
            if lookup:
                found.append(_attribute(logical + "name", "String", None, of=logical))
        return found

    def times(self, name: str) -> list[dict[str, Any]]:
        """The columns of times and dates, as a cast to DateTimeAttributeMetadata shows them."""
        described = [entry for entry in self.attributes(name) if entry["AttributeType"] == "DateTime"]
        behaviours = ["DateOnly" if entry["LogicalName"] in _DATES else "UserLocal" for entry in described]
        return [
            {**entry, "DateTimeBehavior": {"Value": behaviour}}
            for entry, behaviour in zip(described, behaviours, strict=True)
        ]

    def row(self, record: Record, columns: list[str] | None = None) -> dict[str, Any]:
        """One row with the wanted columns, all where none are named."""
        kind, custom = record.kind, {custom_name(custom): custom for custom in self._world.custom(record.kind)}
        name = next(found for found, of in SETS.items() if of == kind)
        row: dict[str, Any] = {"@odata.etag": f'W/"{record.sequence}"'}
        for column in columns or self.columns(name):
            if column == self.key(name):
                row[column] = guid(kind, record.number)
            elif column in _FIELDS[kind]:
                field, target = _FIELDS[kind][column]
                value = record.fields.get(field)
                row[column] = guid(target, value) if target and value is not None else value
            elif column in custom:
                row[column] = coerce(record.fields.get(custom[column].name), custom[column].type)
            else:
                row[column] = _COMPUTE[column](self._world, record)
        return row

    def static(self, name: str) -> Iterator[dict[str, Any]]:
        """Currencies and users."""
        times = dict.fromkeys(("createdon", "modifiedon"), seconds(START))
        if name == "transactioncurrencies":
            for code, number in CURRENCIES.items():
                names = {"isocurrencycode": code, "currencyname": code}
                yield {"transactioncurrencyid": guid("currency", number), **names, **times}
            return
        for user in USERS:
            names = {"fullname": user.name, "internalemailaddress": user.email}
            yield {"systemuserid": guid("user", user.number), **names, "isdisabled": False, **times}


def _attribute(logical: str, kind: str, custom: CustomField | None, of: str | None = None) -> dict[str, Any]:
    """A column's description; one that is `of` another is not exposed by the Web API."""
    return {
        "LogicalName": logical,
        "AttributeType": kind,
        "AttributeTypeName": {"Value": f"{kind}Type"},
        "AttributeOf": of,
        "IsCustomAttribute": custom is not None,
        "IsValidForRead": True,
        "IsValidODataAttribute": of is None,
        "DisplayName": {"UserLocalizedLabel": {"Label": custom.label if custom else logical}},
    }


def _state(_world: World, record: Record) -> int:
    """0 open or active; opportunities: 1 won, 2 lost; leads: 1 qualified; a merged record is inactive."""
    if record.kind == "deal":
        stage = STAGES[record.fields["stage"]]
        return 1 if stage.won else 2 if stage.closed else 0
    if record.merged_into is not None:
        return 2 if record.kind == "lead" else 1
    return int(record.kind == "lead" and record.fields.get("converted_deal") is not None)


def _closed(record: Record) -> bool:
    return STAGES[record.fields["stage"]].closed


def _contact(world: World, record: Record) -> str | None:
    roles = world.roles_of("deal", record.number)
    return guid("contact", roles[0].fields["contact"]) if roles else None


def _currency(_world: World, record: Record) -> str | None:
    code = record.fields.get("currency")
    return guid("currency", CURRENCIES[code]) if code in CURRENCIES else None


_COMPUTE: dict[str, Callable[[World, Record], Any]] = {
    "createdon": lambda _, record: seconds(record.created_at),
    "modifiedon": lambda _, record: seconds(record.updated_at),
    "versionnumber": lambda _, record: record.sequence,
    "statecode": _state,
    "leadsourcecode": lambda _, record: SOURCES.get(record.fields.get("lead_source", "")),
    "merged": lambda _, record: record.merged_into is not None,
    "_masterid_value": lambda _, record: guid(record.kind, record.merged_into) if record.merged_into else None,
    "_transactioncurrencyid_value": _currency,
    "_parentcontactid_value": _contact,
    "stepname": lambda _, record: STAGES[record.fields["stage"]].label,
    "actualvalue": lambda _, record: record.fields.get("amount") if _closed(record) else None,
    "actualclosedate": lambda _, record: record.stages[-1][1].date().isoformat() if _closed(record) else None,
}

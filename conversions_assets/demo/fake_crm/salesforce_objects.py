"""Salesforce's objects: their fields, and rows of raw values (times stay datetimes until they are written)."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from conversions_assets.demo.fake_crm.catalogue import STAGES, USERS, CustomField, coerce
from conversions_assets.demo.fake_crm.index import Record
from conversions_assets.demo.fake_crm.soql import Row
from conversions_assets.demo.fake_crm.world import START, World

RECYCLE_BIN = timedelta(days=15)
KINDS = {
    "Lead": "lead",
    "Contact": "contact",
    "Account": "company",
    "Opportunity": "deal",
    "OpportunityContactRole": "role",
    "OpportunityHistory": "stage_change",
}
STATIC = ("OpportunityStage", "User")
OBJECTS = (*KINDS, *STATIC)
_PREFIXES = {
    "lead": "00Q",
    "contact": "003",
    "company": "001",
    "deal": "006",
    "role": "00K",
    "stage_change": "008",
    "stage": "01J",
    "user": "005",
}
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# field -> (neutral field, type); a reference's type names the kind it points to
_PERSON = {
    "FirstName": ("first_name", "string"),
    "LastName": ("last_name", "string"),
    "Email": ("email", "email"),
    "Title": ("job_title", "string"),
    "LeadSource": ("lead_source", "picklist"),
    "OwnerId": ("owner", "user"),
}
_FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "Lead": _PERSON
    | {
        "Country": ("country", "string"),
        "State": ("region", "string"),
        "City": ("city", "string"),
        "Status": ("status", "picklist"),
        "ConvertedOpportunityId": ("converted_deal", "deal"),
        "ConvertedContactId": ("converted_contact", "contact"),
    },
    "Contact": _PERSON
    | {
        "MailingCountry": ("country", "string"),
        "MailingState": ("region", "string"),
        "MailingCity": ("city", "string"),
        "AccountId": ("company", "company"),
    },
    "Account": {
        "Name": ("name", "string"),
        "Website": ("domain", "url"),
        "BillingCountry": ("country", "string"),
        "BillingCity": ("city", "string"),
        "OwnerId": ("owner", "user"),
    },
    "Opportunity": {
        "Name": ("name", "string"),
        "Amount": ("amount", "currency"),
        "CurrencyIsoCode": ("currency", "picklist"),
        "CloseDate": ("close_date", "date"),
        "LeadSource": ("lead_source", "picklist"),
        "AccountId": ("company", "company"),
        "OwnerId": ("owner", "user"),
    },
    "OpportunityContactRole": {"OpportunityId": ("deal", "deal"), "ContactId": ("contact", "contact")},
    "OpportunityHistory": {
        "OpportunityId": ("deal", "deal"),
        "Amount": ("amount", "currency"),
        "CloseDate": ("close_date", "date"),
    },
}
_COMMON = {"Id": "id", "CreatedDate": "datetime", "LastModifiedDate": "datetime", "SystemModstamp": "datetime"}
_COMMON |= {"IsDeleted": "boolean"}
_COMPUTED: dict[str, dict[str, str]] = {
    "Lead": {"IsConverted": "boolean", "MasterRecordId": "reference"},
    "Contact": {"MasterRecordId": "reference"},
    "Account": {"MasterRecordId": "reference"},
    "Opportunity": {"StageName": "picklist", "IsClosed": "boolean", "IsWon": "boolean"},
    "OpportunityContactRole": {"IsPrimary": "boolean"},
    "OpportunityHistory": {"StageName": "picklist"},
}
_STATIC: dict[str, dict[str, str]] = {
    "OpportunityStage": {
        "MasterLabel": "string",
        "ApiName": "string",
        "IsActive": "boolean",
        "IsClosed": "boolean",
        "IsWon": "boolean",
        "DefaultProbability": "double",
        "SortOrder": "int",
    },
    "User": {"Name": "string", "Email": "email", "IsActive": "boolean"},
}
_CUSTOM_TYPES = {"string": "string", "number": "double", "bool": "boolean", "datetime": "string"}


def salesforce_id(kind: str, number: int) -> str:
    """An id of 18 characters: 15 that tell upper from lower case, and 3 that say which are upper."""
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    short = f"{_PREFIXES[kind]}5e0000{digits}"
    suffix = ""
    for block in (short[0:5], short[5:10], short[10:15]):
        flags = sum(1 << position for position, letter in enumerate(block) if letter.isupper())
        suffix += "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[flags]
    return short + suffix


def custom_name(custom: CustomField) -> str:
    """The API name that Salesforce makes of a label: "GA Client ID" -> `GA_Client_ID__c`."""
    return re.sub(r"\W+", "_", custom.label).strip("_") + "__c"


class Objects:
    """What the objects hold now."""

    def __init__(self, world: World) -> None:
        self._world = world

    def types(self, name: str) -> dict[str, str]:
        """An object's fields and their Salesforce types."""
        if name in STATIC:
            return {key: value for key, value in _COMMON.items() if key != "IsDeleted"} | _STATIC[name]
        types = dict(_COMMON)
        for field, (_, kind) in _FIELDS[name].items():
            types[field] = "reference" if kind in _PREFIXES else kind
        types |= _COMPUTED[name]
        return types | {custom_name(c): _CUSTOM_TYPES[c.type] for c in self._world.custom(KINDS[name])}

    def labels(self, name: str) -> dict[str, str]:
        """The labels of an object's custom fields."""
        return {custom_name(custom): custom.label for custom in self._world.custom(KINDS.get(name, ""))}

    def rows(self, name: str, everything: bool, since: datetime | None = None) -> Iterator[Row]:
        """Live rows, or with `everything` those of the recycle bin too, changed at or after `since`."""
        if name in STATIC:
            yield from self._static(name)
            return
        for record in self._world.tables[KINDS[name]].latest.values():
            if since is not None and record.changed[0] < since:
                continue
            if record.alive or (everything and self.binned(record)):
                yield self.row(name, record)

    def binned(self, record: Record) -> bool:
        """Whether it is deleted or merged, and still in the recycle bin."""
        gone = not record.alive and not record.erased
        return gone and record.updated_at > self._world.now - RECYCLE_BIN

    def row(self, name: str, record: Record) -> Row:
        """One record with all its fields."""
        changed = record.changed[0]
        row: Row = {
            "Id": salesforce_id(record.kind, record.number),
            "CreatedDate": record.created_at.replace(microsecond=0),
            "LastModifiedDate": changed,
            "SystemModstamp": changed,
            "IsDeleted": not record.alive,
        }
        for field, (neutral, kind) in _FIELDS[name].items():
            value = record.fields.get(neutral)
            row[field] = salesforce_id(kind, value) if kind in _PREFIXES and value is not None else value
        if name in ("Opportunity", "OpportunityHistory"):
            stage = STAGES[record.fields["stage"]]
            row["StageName"] = stage.label
            if name == "Opportunity":
                row |= {"IsClosed": stage.closed, "IsWon": stage.won}
                # Salesforce asks for one.
                row["CloseDate"] = row["CloseDate"] or record.created_at.date().isoformat()
        elif "MasterRecordId" in _COMPUTED[name]:
            merged = record.merged_into
            row["MasterRecordId"] = None if merged is None else salesforce_id(record.kind, merged)
        if name == "OpportunityContactRole":
            # Nobody here ticks it.
            row["IsPrimary"] = False
        if name == "Lead":
            row["IsConverted"] = record.fields.get("converted_deal") is not None
        for custom in self._world.custom(record.kind):
            row[custom_name(custom)] = coerce(record.fields.get(custom.name), custom.type)
        return row

    def _static(self, name: str) -> Iterator[Row]:
        times = dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), START)
        if name == "User":
            for user in USERS:
                row: Row = {"Id": salesforce_id("user", user.number), "Name": user.name, "Email": user.email}
                yield {**row, **times, "IsActive": True}
            return
        for stage in STAGES.values():
            facts: dict[str, Any] = {"IsActive": True, "IsClosed": stage.closed, "IsWon": stage.won}
            facts |= {"DefaultProbability": stage.probability * 100, "SortOrder": stage.number}
            names = {"MasterLabel": stage.label, "ApiName": stage.label}
            yield {"Id": salesforce_id("stage", stage.number), **times, **names, **facts}

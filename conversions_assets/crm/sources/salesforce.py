"""Salesforce: leads, contacts, accounts, opportunities with their contact roles, stages and stage history; users.

Everything and what changed come by SOQL on SystemModstamp, which shows the recycle bin too; large results and long
queries by bulk jobs. What was purged is told by the log of deletions, for 15 days; what the log no longer covers, and
what nothing tells (records that the user may no longer see), is found by the comparison of all ids.
Sources (developer.salesforce.com): REST API Developer Guide "Query", "QueryAll", "sObject Describe", "sObject Get
Deleted", "Status Codes and Error Responses"; SOAP API Developer Guide "getDeleted()"; Bulk API 2.0 Developer Guide
"Query"; SOQL and SOSL Reference "COUNT()"; Object Reference. help.salesforce.com: "OAuth 2.0 Client Credentials Flow".
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from conversions_assets.crm.client import Client, CrmBudgetError, CrmError, GrantedToken, Patience
from conversions_assets.crm.known import Known
from conversions_assets.crm.source import Crm, Declared, check_client_id, check_properties
from conversions_assets.crm.tables import STAMPS, Row, SourceTable, chunks

if TYPE_CHECKING:
    from requests import Response, Session

DATA = "/services/data/v62.0"
JOBS = f"{DATA}/jobs/query"
# More rows than this come by a bulk job; so do queries that are too long for an address (16,384 bytes with headers).
BULK_FROM, LONGEST_QUERY = 2000, 8000
BULK_PAGE, ID_PAGE = 50_000, 200
# An hour and a half with the default patience.
POLLS = 100


@dataclass(frozen=True)
class Kind:
    """An object of Salesforce.

    Attributes:
        name: its API name.
        fields: those that are loaded unless the configuration adds more, beside all custom ones.
        of: the objects without which its table is not loaded.
    """

    name: str
    fields: tuple[str, ...]
    of: tuple[str, ...] = ()


OBJECTS = {
    "leads": Kind(
        "Lead",
        (
            "Status",
            "LeadSource",
            "Country",
            "State",
            "City",
            "Title",
            "IsConverted",
            "ConvertedDate",
            "ConvertedContactId",
            "ConvertedAccountId",
            "ConvertedOpportunityId",
            "OwnerId",
        ),
    ),
    "contacts": Kind(
        "Contact", ("LeadSource", "MailingCountry", "MailingState", "MailingCity", "Title", "AccountId", "OwnerId")
    ),
    "accounts": Kind("Account", ("Website", "Type", "Industry", "BillingCountry", "BillingCity", "OwnerId")),
    "opportunities": Kind(
        "Opportunity",
        (
            "StageName",
            "Amount",
            "CurrencyIsoCode",
            "CloseDate",
            "IsClosed",
            "IsWon",
            "Type",
            "LeadSource",
            "AccountId",
            "OwnerId",
        ),
    ),
}
"""No names: those of accounts and opportunities are persons' in many a company."""
FURTHER = {
    "opportunity_contact_roles": Kind(
        "OpportunityContactRole", ("OpportunityId", "ContactId", "Role", "IsPrimary"), ("opportunities", "contacts")
    ),
    "opportunity_history": Kind(
        "OpportunityHistory", ("OpportunityId", "StageName", "Amount", "CloseDate"), ("opportunities",)
    ),
}
REPLACED = {
    "opportunity_stages": Kind(
        "OpportunityStage",
        ("ApiName", "MasterLabel", "IsActive", "IsClosed", "IsWon", "DefaultProbability", "SortOrder"),
        ("opportunities",),
    ),
    "users": Kind("User", ("Email", "IsActive")),
}
_STAMPS = ("Id", "CreatedDate", "SystemModstamp", "IsDeleted", "MasterRecordId")
_TYPES = {"boolean": "bool", "datetime": "timestamp", "date": "date", "int": "bigint", "long": "bigint"}
_TYPES |= dict.fromkeys(("double", "currency", "percent"), "double")
# Bulk jobs refuse these; the parts of an address or a place are fields of their own.
_COMPOUND = frozenset({"address", "location", "base64", "complexvalue"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CRM(Crm):
    """Salesforce, by the client credentials of an app that the company has set up."""

    title = "Salesforce"
    all_objects = tuple(OBJECTS)
    secrets = (("client_id", "client_secret"),)
    needs_address = True

    def declared(self) -> list[Declared]:
        """The objects, contact roles and stage history; stages and users."""
        kept = [Declared(name, ("id",), versioned=True) for name in self._kept()]
        return [*kept, *(Declared(name) for name in self._replaced())]

    def client(self, secrets: Mapping[str, str], patience: Patience, session: "Session | None" = None) -> Client:
        """A client of the account at the address of its My Domain."""
        address = _my_domain(self.settings.address or "")
        form = {"grant_type": "client_credentials", **secrets}
        token = GrantedToken(f"{address}/services/oauth2/token", form, self.title, session)
        return Client(address, token, _explain, _spent, patience, session)

    def tables(self, client: Client) -> list[SourceTable]:
        """The tables with the fields that are chosen."""
        kinds = self._kept() | self._replaced()
        described = {name: _describe(client, kind.name) for name, kind in kinds.items()}
        there = {name: list(described[name]) for name in self.objects}
        check_properties(self.title, self.settings.properties, there)
        check_client_id(self.title, self.settings.client_id, there)
        tables: list[SourceTable] = []
        for name, kind in kinds.items():
            extra = (*self.settings.properties.get(name, ()), self.settings.client_id or "")
            types = _chosen(described[name], (*kind.fields, *extra))
            columns = {field.lower(): dlt_type for field, dlt_type in types.items()}
            if name in REPLACED:
                read = _Replaced(client, kind.name, types).read
                tables.append(SourceTable(name, {"id": "text"} | columns, (), read))
            else:
                stamps = [field for field in _STAMPS if field in described[name]]
                reader = _Reader(client, kind.name, stamps, types, self.settings.lag)
                tables.append(SourceTable(name, STAMPS | columns, ("id",), reader.read, versioned=True))
        return tables

    def _kept(self) -> dict[str, Kind]:
        further = {name: kind for name, kind in FURTHER.items() if set(kind.of) <= set(self.objects)}
        return {name: OBJECTS[name] for name in self.objects} | further

    def _replaced(self) -> dict[str, Kind]:
        return {name: kind for name, kind in REPLACED.items() if set(kind.of) <= set(self.objects)}


class _Reader:
    """Rows of one object, the deleted among them."""

    def __init__(
        self, client: Client, name: str, stamps: Iterable[str], types: Mapping[str, str], lag: timedelta
    ) -> None:
        self._client, self._name, self._types, self._lag = client, name, types, lag
        self._fields = [*stamps, *types]

    def read(self, state: dict[str, Any], known: Known) -> Iterator[list[Row]]:
        """Everything at first, then what changed; each record once, the state moved at the end."""
        since = state.get("changed")
        # Before the changes: what was restored in the meantime is then among them.
        gone, covered, whole = self._purged(state, known)
        newest = datetime.fromisoformat(since) if since else _EPOCH
        changed = f"SystemModstamp >= {_literal(newest - self._lag)}" if since else ""
        seen: set[str] = set()
        for rows in self._rows(changed):
            seen |= {row["id"] for row in rows}
            newest = max(newest, *(row["updated_at"] for row in rows))
            yield rows
        if known.compare or not whole:
            held, live = known.live_ids(), self._live_ids()
            gone |= held - live
            # Restored or shown again without a change.
            for part in chunks(sorted(live - held - seen), ID_PAGE):
                ids = ",".join(f"'{text}'" for text in part)
                yield from self._rows(f"Id IN ({ids})")
        yield from known.deleted(dict.fromkeys(gone - seen))
        state["changed"], state["deleted"] = newest.isoformat(), covered

    def _purged(self, state: Mapping[str, Any], known: Known) -> tuple[set[str], str, bool]:
        """Ids of the log of deletions, until when it tells them, and whether it told all since the last load."""
        if "deleted" not in state:
            return set(), known.now.isoformat(), True
        start = datetime.fromisoformat(state["deleted"]) - self._lag
        span = {"start": _literal(start), "end": _literal(known.now)}
        try:
            log = self._client.call("GET", f"{DATA}/sobjects/{self._name}/deleted/", params=span)
        except _Refused as refusal:
            if refusal.code not in ("INVALID_REPLICATION_DATE", "EXCEEDED_ID_LIMIT"):
                raise
            return set(), known.now.isoformat(), False
        whole = datetime.fromisoformat(log["earliestDateAvailable"]) <= start
        covered = datetime.fromisoformat(log["latestDateCovered"]).isoformat()
        return {record["id"] for record in log["deletedRecords"]}, covered, whole

    def _rows(self, where: str) -> Iterator[list[Row]]:
        for records in _records(self._client, "queryAll", self._fields, self._name, where):
            yield [self._row(record) for record in records]

    def _live_ids(self) -> set[str]:
        pages = _records(self._client, "query", ["Id"], self._name)
        return {record["Id"] for records in pages for record in records}

    def _row(self, record: Mapping[str, Any]) -> Row:
        updated, deleted = _typed(record["SystemModstamp"], "timestamp"), _typed(record["IsDeleted"], "bool")
        row: Row = {
            "id": record["Id"],
            "created_at": _typed(record["CreatedDate"], "timestamp"),
            "updated_at": updated,
            "archived_at": updated if deleted else None,
            "_deleted": deleted,
            "_merged_into": record.get("MasterRecordId") or None,
        }
        return row | {field.lower(): _typed(record[field], kind) for field, kind in self._types.items()}


class _Replaced:
    """All rows of an object that is small and told whole each time."""

    def __init__(self, client: Client, name: str, types: Mapping[str, str]) -> None:
        self._client, self._name, self._types = client, name, types

    def read(self, _state: dict[str, Any], _known: Known) -> Iterator[list[Row]]:
        """Rows by their last change."""
        for records in _records(self._client, "query", ["Id", *self._types], self._name):
            yield [
                {"id": record["Id"]} | {name.lower(): _typed(record[name], kind) for name, kind in self._types.items()}
                for record in records
            ]


def _describe(client: Client, name: str) -> dict[str, Mapping[str, Any]]:
    """The fields of an object that can be loaded; those that the user may not see are not told."""
    fields = client.call("GET", f"{DATA}/sobjects/{name}/describe")["fields"]
    return {field["name"]: field for field in fields if field["type"] not in _COMPOUND}


def _chosen(described: Mapping[str, Mapping[str, Any]], wanted: Iterable[str]) -> dict[str, str]:
    """The fields to load beside the stamps, and dlt's types of them: those that are wanted, and the custom ones."""
    custom = [name for name, field in described.items() if field["custom"]]
    names = [name for name in dict.fromkeys([*wanted, *custom]) if name in described and name not in _STAMPS]
    return {name: _TYPES.get(described[name]["type"], "text") for name in names}


def _records(
    client: Client, operation: str, fields: Iterable[str], name: str, where: str = ""
) -> Iterator[list[dict[str, Any]]]:
    """The records of a query, in no certain order; `operation` is query or, with the recycle bin, queryAll."""
    source = f"{name} WHERE {where}" if where else name
    query = f"SELECT {','.join(fields)} FROM {source}"  # noqa: S608
    url = f"{DATA}/{operation}"
    count = client.call("GET", url, params={"q": f"SELECT COUNT() FROM {source}"})["totalSize"]  # noqa: S608
    if count > BULK_FROM or (count and len(query) > LONGEST_QUERY):
        yield from _bulk_records(client, operation, query)
    elif count:
        page = client.call("GET", url, params={"q": f"{query} ORDER BY SystemModstamp, Id"})
        yield page["records"]
        while not page["done"]:
            page = client.call("GET", page["nextRecordsUrl"])
            yield page["records"]


def _bulk_records(client: Client, operation: str, query: str) -> Iterator[list[dict[str, Any]]]:
    """The records of a bulk job, all values as text; Salesforce keeps its result for a week."""
    job = client.call("POST", JOBS, json={"operation": operation, "query": query})["id"]
    _finish(client, job)
    more: dict[str, str] = {}
    while True:
        given = {"maxRecords": str(BULK_PAGE), **more}
        part = client.response("GET", f"{JOBS}/{job}/results", params=given)
        # A field may hold line ends; the header may name no encoding.
        yield list(csv.DictReader(io.StringIO(part.content.decode(), newline="")))
        locator = part.headers.get("Sforce-Locator", "null")
        if locator == "null":
            return
        more = {"locator": locator}


def _finish(client: Client, job: str) -> None:
    """Wait until a bulk job is done."""
    for attempt in range(1, POLLS + 1):
        state = client.call("GET", f"{JOBS}/{job}")["state"]
        if state == "JobComplete":
            return
        if state in ("Failed", "Aborted"):
            raise CrmError(f"Salesforce: the bulk job {job} is {state.lower()}: see Setup, Bulk Data Load Jobs")
        client.pause(attempt)
    raise CrmError(f"Salesforce: the bulk job {job} is not done: load again when Salesforce has less to do")


def _typed(value: Any, kind: str) -> Any:
    """A value of JSON or CSV as its field's type says; text that does not fit gets a column of its own."""
    if value is None or value == "":
        return None
    try:
        return _READ[kind](value) if kind in _READ else value
    except (ValueError, KeyError):
        return value


_READ: dict[str, Callable[[Any], Any]] = {
    "double": float,
    "bigint": int,
    "bool": lambda value: value if isinstance(value, bool) else {"true": True, "false": False}[value],
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
}


def _literal(moment: datetime) -> str:
    """A time as SOQL and addresses take it, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _my_domain(address: str) -> str:
    host = urlsplit(address).hostname or ""
    if host in ("login.salesforce.com", "test.salesforce.com") or host.endswith(".force.com"):
        raise CrmError(
            f"Salesforce: {host} is not the address of an account's API: write the one of Setup, My Domain, such as "
            "`address: https://acme.my.salesforce.com`"
        )
    return address.rstrip("/")


class _Refused(CrmError):
    """A refusal by Salesforce's code of it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _spent(response: "Response") -> bool:
    """Whether the calls of 24 hours are used up; too many long calls at once have the same code."""
    code, message = _error(response)
    return code == "REQUEST_LIMIT_EXCEEDED" and "Concurrent" not in message


def _explain(response: "Response") -> CrmError:
    # Salesforce's message may repeat a value that was sent.
    (code, _), status = _error(response), response.status_code
    path = response.request.path_url.split("?")[0]
    named = re.search(r"/sobjects/(\w+)/", path)
    if _spent(response):
        return CrmBudgetError("Salesforce: the calls of 24 hours are used up; they come back within the next day")
    if code == "REQUEST_LIMIT_EXCEEDED":
        text = "Salesforce: too many long calls run at once: load again when other integrations are done"
    elif status == 401:
        text = "Salesforce refuses the token: check the secrets in the environment, and the app's run-as user"
    elif named and code in ("INVALID_TYPE", "NOT_FOUND"):
        text = f"Salesforce: the app's run-as user may not read {named[1]}: grant Read and View All Records on it"
    elif status == 403:
        lacks = f"a right ({code or 'no code'})"
        text = f"Salesforce: the app's run-as user lacks {lacks}: grant API Enabled, and Read on the objects"
    elif not code:
        text = f"Salesforce answers {status} without a code to {path}: check that the address is the API's"
    else:
        text = f"Salesforce answers {status} ({code}) to {response.request.method} {path}"
    return _Refused(code, text)


def _error(response: "Response") -> tuple[str, str]:
    """Salesforce's code and message; empty where the answer is not one of its own."""
    try:
        body = response.json()
    except ValueError:
        return "", ""
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, dict):
        return "", ""
    return str(first.get("errorCode", "")), str(first.get("message", ""))

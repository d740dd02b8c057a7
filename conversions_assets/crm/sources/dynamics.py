"""Microsoft Dynamics 365 on Dataverse: leads, contacts, accounts, opportunities by change tracking; currencies, users.

The first load lists a table and ends with a link; the link tells what changed since, and of deleted records the ids.
The link is good for the columns it was made for and for 7 days, unless an administrator changed that; where there is
none that is good, the table is listed whole, and what the warehouse holds beyond that is deleted. A merged record stays
in the list, inactive, and names its master.
Sources (learn.microsoft.com, Power Apps developer guide of Dataverse): "Use change tracking to synchronize data with
external systems", "Query data using the Web API", "Query table definitions using the Web API", "Merge table rows using
the Web API", "Service protection API limits"; Microsoft Entra: "OAuth 2.0 client credentials flow", "National clouds".
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from conversions_assets.crm.client import Client, CrmBudgetError, CrmError, GrantedToken, Patience
from conversions_assets.crm.known import Known
from conversions_assets.crm.source import Crm, Declared, check_client_id, check_properties
from conversions_assets.crm.tables import STAMPS, Row, SourceTable

if TYPE_CHECKING:
    from requests import Response, Session

API = "/api/data/v9.2"
PAGE = 5000
LOGINS = {
    ".dynamics.com": "https://login.microsoftonline.com",
    ".microsoftdynamics.us": "https://login.microsoftonline.us",
    ".appsplatform.us": "https://login.microsoftonline.us",
    ".dynamics.cn": "https://login.partner.microsoftonline.cn",
}
"""The end of an environment's host -> where its tokens are granted."""
ENTITIES = {"leads": "lead", "contacts": "contact", "accounts": "account", "opportunities": "opportunity"}
_PLACE = ("address1_country", "address1_stateorprovince", "address1_city")
_STATE = ("statecode", "statuscode", "_ownerid_value")
PROPERTIES: dict[str, tuple[str, ...]] = {
    "leads": (
        "jobtitle",
        *_PLACE,
        "leadsourcecode",
        "leadqualitycode",
        "estimatedamount",
        "_transactioncurrencyid_value",
        "_parentcontactid_value",
        "_parentaccountid_value",
        "_qualifyingopportunityid_value",
        "_campaignid_value",
        *_STATE,
    ),
    "contacts": ("jobtitle", *_PLACE, "leadsourcecode", "_parentcustomerid_value", "_originatingleadid_value", *_STATE),
    "accounts": ("name", "websiteurl", *_PLACE, "_originatingleadid_value", *_STATE),
    "opportunities": (
        "name",
        "estimatedvalue",
        "estimatedclosedate",
        "actualvalue",
        "actualclosedate",
        "stepname",
        "_transactioncurrencyid_value",
        "_parentcontactid_value",
        "_parentaccountid_value",
        "_customerid_value",
        "_originatingleadid_value",
        "_campaignid_value",
        *_STATE,
    ),
}
"""Loaded unless the configuration adds more; no names or addresses of persons. All columns of one's own are as well."""
LISTS: dict[str, dict[str, str]] = {
    "transactioncurrencies": {"isocurrencycode": "text", "currencyname": "text"},
    "systemusers": {"internalemailaddress": "text", "isdisabled": "bool"},
}
_LIST_KEYS = {"transactioncurrencies": "transactioncurrencyid", "systemusers": "systemuserid"}
# Columns of Microsoft's own solutions count as custom ones.
_MICROSOFT = ("msdyn", "msa_", "msgdpr", "adx_")
_MASTER = ("merged", "_masterid_value")
_LOOKUPS = ("LookupType", "CustomerType", "OwnerType")
_TYPES = {
    "BooleanType": "bool",
    "DateTimeType": "timestamp",
    **dict.fromkeys(("BigIntType", "IntegerType", "PicklistType", "StateType", "StatusType"), "bigint"),
    **dict.fromkeys(("DecimalType", "DoubleType", "MoneyType"), "double"),
    **dict.fromkeys(("EntityNameType", "MemoType", "MultiSelectPicklistType", "StringType"), "text"),
    **dict.fromkeys(("UniqueidentifierType", *_LOOKUPS), "text"),
}
"""Types of columns that have a value in a row; images, files and lists of parties have none."""
_DESCRIBED = ("LogicalName", "AttributeTypeName", "AttributeOf", "IsCustomAttribute", "IsValidForRead")
_NEXT, _DELTA = "@odata.nextLink", "@odata.deltaLink"
# The windows of service protection are 5 minutes; what asks for an hour is a limit of the day.
_LONG_WAIT = 3600


class CRM(Crm):
    """Dynamics 365, by an app that is registered in Microsoft Entra and is an application user of the environment."""

    title = "Dynamics 365"
    all_objects = tuple(PROPERTIES)
    secrets = (("tenant_id", "client_id", "client_secret"),)
    needs_address = True

    def declared(self) -> list[Declared]:
        """The objects, currencies and users."""
        return [*(Declared(name, ("id",), versioned=True) for name in self.objects), *map(Declared, LISTS)]

    def client(self, secrets: Mapping[str, str], patience: Patience, session: "Session | None" = None) -> Client:
        """A client of the environment at the address.

        Raises:
            CrmError: the address is none of Dynamics 365.
        """
        address = _origin(self.settings.address or "")
        form = {"grant_type": "client_credentials", "scope": f"{address}/.default"}
        form |= {name: secrets[name] for name in ("client_id", "client_secret")}
        url = f"{login_of(address)}/{quote(secrets['tenant_id'], safe='')}/oauth2/v2.0/token"
        return Client(address, GrantedToken(url, form, self.title, session), _explain, _spent, patience, session)

    def tables(self, client: Client) -> list[SourceTable]:
        """The tables with the columns that are chosen."""
        pages = _Pages(client, _origin(self.settings.address or ""))
        query = "$select=LogicalName&$filter=ChangeTrackingEnabled eq true"
        tracked = {entry["LogicalName"] for entry in client.call("GET", f"{API}/EntityDefinitions?{query}")["value"]}
        for name in self.objects:
            if ENTITIES[name] not in tracked:
                raise CrmError(
                    f"Dynamics 365 does not track changes of the table '{ENTITIES[name]}': switch on its property "
                    "'Track changes' in Power Apps, or leave it out of `objects`"
                )
        described = {name: _described(client, ENTITIES[name]) for name in self.objects}
        there = {name: list(types) for name, (types, _) in described.items()}
        check_properties(self.title, self.settings.properties, there)
        check_client_id(self.title, self.settings.client_id, there)
        tables: list[SourceTable] = []
        for name, (types, own) in described.items():
            extra = [*self.settings.properties.get(name, ()), self.settings.client_id]
            chosen = dict.fromkeys(column for column in (*PROPERTIES[name], *own, *extra) if column in types)
            columns = {column: types[column] for column in chosen}
            master = [column for column in _MASTER if column in types]
            reader = _Reader(pages, name, columns, master)
            tables.append(SourceTable(name, STAMPS | columns, ("id",), reader.read, versioned=True))
        return tables + [_list(pages, name) for name in LISTS]


class _Pages:
    """Pages of rows of one environment."""

    def __init__(self, client: Client, address: str) -> None:
        self._client, self._address = client, address

    def read(self, url: str, tracked: bool = False) -> Iterator[dict[str, Any]]:
        """All pages from a path or a link on; the last one of a tracked table holds the link of its changes."""
        preferences = f"odata.maxpagesize={PAGE}" + (",odata.track-changes" if tracked else "")
        while True:
            page = self._client.call("GET", url, headers={"Prefer": preferences, "OData-Version": "4.0"})
            yield page
            if _NEXT not in page:
                return
            url = self.own(page[_NEXT])

    def own(self, link: str) -> str:
        """A link of this environment; the token goes nowhere else.

        Raises:
            CrmError: it leads to another host.
        """
        if _origin(link) != self._address:
            raise CrmError(f"Dynamics 365 answers with links to {_origin(link)}: write this as the address")
        return link

    def after(self, link: str) -> Iterator[dict[str, Any]] | None:
        """The pages of what changed since a link was given; None where it is good no more."""
        if _origin(link) != self._address:
            return None
        pages = self.read(link, tracked=True)
        try:
            return chain([next(pages)], pages)
        except _OldLinkError:
            return None


class _Reader:
    """Rows of one table."""

    def __init__(self, pages: _Pages, name: str, types: Mapping[str, str], master: Sequence[str]) -> None:
        self._pages, self._types = pages, types
        self._key = f"{ENTITIES[name]}id"
        self._url = f"{API}/{name}?$select="
        # Sorted: the order in which columns are described or configured makes no other link.
        self._select = ",".join(sorted({self._key, "createdon", "modifiedon", *master, *types}))

    def read(self, state: dict[str, Any], known: Known) -> Iterator[list[Row]]:
        """Everything at first, then what changed; each record once, the state moved at the end."""
        # A link is good for the columns that it was made for.
        changes = self._pages.after(state["link"]) if state.get("select") == self._select else None
        listed: set[str] = set()
        removed: set[str] = set()
        page: dict[str, Any] = {}
        for page in changes or self._pages.read(self._url + self._select, tracked=True):
            removed |= {record["id"] for record in page["value"] if _is_deleted(record)}
            records = {record[self._key]: record for record in page["value"] if not _is_deleted(record)}
            yield [self._row(record) for key, record in records.items() if key not in listed]
            listed |= records.keys()
        if changes is None:
            removed |= known.live_ids()
        elif known.compare:
            removed |= known.live_ids() - self._all_ids()
        # What is removed and listed was restored, or is gone since its page: the next changes tell.
        yield from known.deleted(dict.fromkeys(removed - listed))
        state["link"], state["select"] = self._pages.own(page[_DELTA]), self._select

    def _all_ids(self) -> set[str]:
        return {record[self._key] for page in self._pages.read(self._url + self._key) for record in page["value"]}

    def _row(self, record: Mapping[str, Any]) -> Row:
        merged = bool(record.get("merged"))
        row: Row = {
            "id": record[self._key],
            "created_at": _typed(record["createdon"], "timestamp"),
            "updated_at": _typed(record["modifiedon"], "timestamp"),
            "archived_at": None,
            "_deleted": merged,
            "_merged_into": record.get("_masterid_value") if merged else None,
        }
        return row | {name: _typed(record.get(name), kind) for name, kind in self._types.items()}


def login_of(address: str) -> str:
    """Where tokens for an environment are granted.

    An address without TLS is the fake CRM's, which grants them itself; a secret goes to no other unknown host.

    Raises:
        CrmError: it is no address of Dynamics 365.
    """
    parts = urlsplit(address)
    login = next((login for end, login in LOGINS.items() if (parts.hostname or "").endswith(end)), None)
    if parts.scheme == "https" and login is not None:
        return login
    if parts.scheme == "http" and parts.hostname and login is None:
        return address
    raise CrmError(f"'{address}' is no address of Dynamics 365: write https://<environment>.crm4.dynamics.com or alike")


def _described(client: Client, entity: str) -> tuple[dict[str, str], list[str]]:
    """The columns of a table with dlt's types, and those of them that are the company's own."""
    url = f"{API}/EntityDefinitions(LogicalName='{entity}')/Attributes"
    described = client.call("GET", f"{url}?$select={','.join(_DESCRIBED)},IsValidODataAttribute")["value"]
    cast = f"{url}/Microsoft.Dynamics.CRM.DateTimeAttributeMetadata?$select=LogicalName,DateTimeBehavior"
    dates = {
        entry["LogicalName"]
        for entry in client.call("GET", cast)["value"]
        if (entry["DateTimeBehavior"] or {}).get("Value") == "DateOnly"
    }
    types: dict[str, str] = {}
    own: list[str] = []
    for entry in described:
        kind, name = (entry["AttributeTypeName"] or {}).get("Value"), entry["LogicalName"]
        shown = entry["IsValidForRead"] and entry["IsValidODataAttribute"] and entry["AttributeOf"] is None
        if not shown or kind not in _TYPES:
            continue
        column = f"_{name}_value" if kind in _LOOKUPS else name
        types[column] = "date" if name in dates else _TYPES[kind]
        if entry["IsCustomAttribute"] and not name.startswith(_MICROSOFT):
            own.append(column)
    return types, own


def _list(pages: _Pages, name: str) -> SourceTable:
    """A table that is replaced whole."""
    types, key = LISTS[name], _LIST_KEYS[name]

    def read(_state: dict[str, Any], _known: Known) -> Iterator[list[Row]]:
        for page in pages.read(f"{API}/{name}?$select={','.join([key, *types])}"):
            yield [{"id": record[key], **{column: record[column] for column in types}} for record in page["value"]]

    return SourceTable(name, {"id": "text", **types}, (), read)


def _is_deleted(record: Mapping[str, Any]) -> bool:
    return str(record.get("@odata.context", "")).endswith("/$deletedEntity")


def _typed(value: Any, kind: str) -> Any:
    """A value as its column's type says; one that does not fit stays as it is, and gets a column of its own."""
    if value is None:
        return None
    try:
        return _READ[kind](value)
    except (TypeError, ValueError):
        return value


_READ: dict[str, Callable[[Any], Any]] = {
    "text": lambda value: value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False),
    "double": float,
    "bigint": int,
    "bool": bool,
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
}


def _origin(url: str) -> str:
    """Scheme and host of an address, without what a browser shows behind them."""
    parts = urlsplit(url.strip())
    return f"{parts.scheme}://{parts.netloc}".lower()


# --- refusals ---------------------------------------------------------------------------------------------------------


class _OldLinkError(CrmError):
    """The link of the changes is not good any more; which error says so is documented nowhere."""


def _spent(response: "Response") -> bool:
    wait = response.headers.get("Retry-After", "")
    return response.status_code == 429 and wait.isdecimal() and int(wait) >= _LONG_WAIT


def _explain(response: "Response") -> CrmError:
    code, message = _error(response)
    status, path = response.status_code, response.request.path_url.split("?")[0]
    if status in (400, 410) and "$deltatoken=" in response.request.path_url:
        return _OldLinkError("Dynamics 365: the link of the changes is too old")
    if status == 401:
        return CrmError(
            "Dynamics 365 refuses the token: check the secrets in the environment, and that they are of the tenant "
            "that this address belongs to"
        )
    if status == 403:
        return _forbidden(code, message, path)
    if status == 404:
        return CrmError(
            f"Dynamics 365 knows no {path}: check the address, and leave out of `objects` what the environment has not"
        )
    if status == 429:
        return CrmBudgetError("Dynamics 365 limits this user's calls (429): a later run can go on")
    return CrmError(f"Dynamics 365 answers {status} ({code}) to {response.request.method} {path}")


def _forbidden(code: str, message: str, path: str) -> CrmError:
    if code == "0x80072560":
        return CrmError("Dynamics 365: the environment has no application user for this app: add it in its settings")
    # Of Microsoft's message only the privilege's name: it also holds ids.
    named = re.search(r"prv[A-Z]\w+", message)
    privilege = named[0] if named else "to read this table"
    return CrmError(
        f"Dynamics 365: the application user lacks the privilege {privilege} ({path}): give it a security role that "
        "has it for the whole organization"
    )


def _error(response: "Response") -> tuple[str, str]:
    """The code and the message of OData's error object."""
    try:
        error = response.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "no code", ""
    return (code if re.fullmatch(r"0x[0-9A-Fa-f]{8}", code) else "no code"), message

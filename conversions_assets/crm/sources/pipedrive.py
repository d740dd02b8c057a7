"""Pipedrive: deals, persons, organizations and leads with changes and deletions; stages, pipelines and users.

The first load lists. Changes come by `updated_since`. Archived deals and leads have lists of their own, and so have the
deals that were deleted in the last 30 days. What Pipedrive tells nowhere (deleted persons, organizations and leads,
deals that were deleted earlier, what a merge took away) is found by the comparison of all ids; as no list can be cut
down to ids, everything is read again then. Which record took a merged one over is told nowhere.
Custom fields have keys of 40 characters; a column is called as people call its field (`names.py`).
Sources (developers.pipedrive.com, pipedrive.readme.io): API v2 deals, archived deals, persons, organizations, stages,
pipelines and fields; API v1 leads, archived leads and users; "API v2 migration guide", "Custom fields",
"Authentication", "OAuth authorization", "Scopes and permission explanations", "Rate limiting".
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from conversions_assets.crm.client import Client, CrmBudgetError, CrmError, GrantedToken, Patience, StaticToken, Token
from conversions_assets.crm.known import Known
from conversions_assets.crm.source import Crm, Declared, check_client_id, check_properties
from conversions_assets.crm.tables import STAMPS, Row, SourceTable

if TYPE_CHECKING:
    from requests import Response, Session

API, OAUTH = "https://api.pipedrive.com", "https://oauth.pipedrive.com"
PAGE = 500
FIELDS: dict[str, dict[str, Sequence[str]]] = {
    "deals": {
        "double": ("value", "probability"),
        "varchar": ("currency", "status", "source_lead_id", "origin", "channel", "channel_id"),
        "id": ("pipeline_id", "stage_id", "person_id", "org_id", "owner_id"),
        "datetime": ("won_time", "lost_time", "close_time", "stage_change_time"),
        "date": ("expected_close_date",),
        "set": ("label_ids",),
        "boolean": ("is_archived",),
    },
    "persons": {
        "id": ("org_id", "owner_id"),
        "varchar": (
            "job_title",
            "postal_address.country",
            "postal_address.admin_area_level_1",
            "postal_address.locality",
        ),
        "set": ("label_ids",),
    },
    "organizations": {
        "id": ("owner_id",),
        "varchar": ("name", "website", "address.country", "address.admin_area_level_1", "address.locality"),
        "set": ("label_ids",),
    },
    "leads": {
        "double": ("value.amount",),
        "varchar": ("value.currency", "source_name", "origin", "channel", "channel_id"),
        "id": ("person_id", "organization_id", "owner_id"),
        "date": ("expected_close_date",),
        "set": ("label_ids",),
        "boolean": ("was_seen", "is_archived"),
    },
}
"""Type, as Pipedrive names types -> what is loaded unless the configuration adds more: no names, e-mail addresses or
phone numbers of persons, no titles, which are made of names. A part of a nested value has a column of its own, such as
`address_country`. All custom fields are loaded as well."""
MORE_OF_LEADS = {"title": "varchar", "creator_id": "user", "origin_id": "varchar", "visible_to": "varchar"}
"""What else a lead has: its own fields are described nowhere, its custom ones are those of deals."""
FIELD_LISTS = {
    "deals": "/api/v2/dealFields",
    "persons": "/api/v2/personFields",
    "organizations": "/api/v2/organizationFields",
    "leads": "/api/v2/dealFields",
}
LISTS: dict[str, Sequence[tuple[str, dict[str, str]]]] = {
    "deals": (
        ("/api/v2/deals", {}),
        ("/api/v2/deals/archived", {}),
        ("/api/v2/deals", {"status": "deleted"}),
    ),
    "persons": (("/api/v2/persons", {}),),
    "organizations": (("/api/v2/organizations", {}),),
}
LEADS, ARCHIVED_LEADS, USERS = "/api/v1/leads", "/api/v1/leads/archived", "/api/v1/users"
SET_UP: dict[str, dict[str, Sequence[str]]] = {
    "stages": {"id": ("id", "pipeline_id"), "varchar": ("name",), "int": ("order_nr", "deal_probability")},
    "pipelines": {"id": ("id",), "varchar": ("name",), "int": ("order_nr",), "boolean": ("is_deleted",)},
    "users": {"id": ("id",), "varchar": ("email",), "boolean": ("active_flag",)},
}
"""Tables that are replaced whole, as `FIELDS`."""
_TYPES = {"monetary": "double", "int": "bigint", "boolean": "bool", "datetime": "timestamp"}
_SCOPES = {"person": "contacts:read", "organization": "contacts:read", "lead": "leads:read", "user": "users:read"}


class CRM(Crm):
    """Pipedrive, by a user's API token or by OAuth."""

    title = "Pipedrive"
    all_objects = tuple(FIELDS)
    secrets = (("api_token",), ("client_id", "client_secret", "refresh_token"))

    def declared(self) -> list[Declared]:
        """The objects, stages and pipelines of deals, users."""
        objects = [Declared(name, ("id",), versioned=True) for name in self.objects]
        return [*objects, *(Declared(name) for name in self._set_up())]

    def client(self, secrets: Mapping[str, str], patience: Patience, session: "Session | None" = None) -> Client:
        """A client of Pipedrive."""
        address = (self.settings.address or API).rstrip("/")
        token: Token
        if "api_token" in secrets:
            token = StaticToken(secrets["api_token"], own_header="x-api-token")
        else:
            # Accounts are at pipedrive.com, where one address grants the tokens of all; another server grants its own.
            url = f"{OAUTH if address.endswith('.pipedrive.com') else address}/oauth/token"
            form = {"grant_type": "refresh_token", "refresh_token": secrets["refresh_token"]}
            basic = (secrets["client_id"], secrets["client_secret"])
            token = GrantedToken(url, form, self.title, session, basic)
        return Client(address, token, _explain, _spent, patience, session)

    def tables(self, client: Client) -> list[SourceTable]:
        """The tables with the fields that are chosen; those of custom fields are known by the fields' keys."""
        lists = {url: [entry for page in _pages(client, url) for entry in page] for url in self._field_lists()}
        described = {name: _described(name, lists[FIELD_LISTS[name]]) for name in self.objects}
        codes = {name: [entry["field_code"] for entry in entries] for name, entries in described.items()}
        own = {name: _own(entries) for name, entries in described.items()}
        named = {name: [*own[name].values(), *own[name]] for name in own}
        check_properties(self.title, self.settings.properties, {name: [*codes[name], *named[name]] for name in codes})
        check_client_id(self.title, self.settings.client_id, named)
        tables: list[SourceTable] = []
        for name in self.objects:
            extra = _extra(name, described[name], self.settings.properties.get(name, ()))
            fields = _listed(FIELDS[name]) | _chosen(name, described[name], extra)
            optional = [e["field_code"] for e in described[name] if e.get("is_optional_response_field")]
            reader = _Reader(
                client, name, fields, self.settings.lag, [code for code in optional if code in extra.values()]
            )
            columns = STAMPS | {column: found.type for column, found in fields.items()}
            names = {**extra, **own[name]}
            tables.append(SourceTable(name, columns, ("id",), reader.read, versioned=True, names=names))
        return [*tables, *(_whole(client, name) for name in self._set_up())]

    def _field_lists(self) -> list[str]:
        return list(dict.fromkeys(FIELD_LISTS[name] for name in self.objects))

    def _set_up(self) -> list[str]:
        return list(SET_UP) if "deals" in self.objects else ["users"]


@dataclass(frozen=True)
class Field:
    """A value of a record: where it stands, its type as Pipedrive names it, and the labels of its options by id."""

    path: Sequence[str]
    kind: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The column's type."""
        return _TYPES.get(self.kind, self.kind if self.kind in ("double", "date") else "text")

    def value(self, record: Any) -> Any:
        """The value in the column's type; one that does not fit stays text, and gets a column of its own."""
        for part in self.path:
            record = record.get(part) if isinstance(record, dict) else None
        if record is None or record in ("", []):
            return None
        if self.options:
            return self._labels(record)
        if self.kind in ("monetary", "user", "org", "people") and isinstance(record, dict):
            # API v1 shows the name and the address of whom it refers to.
            record = record.get("value", record.get("id"))
        try:
            return _READ[self.kind](record) if self.kind in _READ else _text(record)
        except (ValueError, TypeError, KeyError):
            return _text(record)

    def _labels(self, found: Any) -> str:
        """The labels of the options that are chosen, a list of them for a set; API v1 has the ids as text."""
        if self.kind != "set":
            return self.options.get(str(found), _text(found))
        ids = found if isinstance(found, list) else str(found).split(",")
        return _text([self.options.get(str(text), str(text)) for text in ids])


class _Reader:
    """Rows of one object."""

    def __init__(
        self, client: Client, name: str, fields: Mapping[str, Field], lag: timedelta, optional: Sequence[str]
    ) -> None:
        self._client, self._name, self._fields, self._lag = client, name, fields, lag
        self._asked = {"include_fields": ",".join(optional)} if optional else {}

    def read(self, state: dict[str, Any], known: Known) -> Iterator[list[Row]]:
        """Everything at first and to compare, else what changed; each record once, the state moved at the end."""
        since = state.get("changed")
        start = None if since is None or known.compare else datetime.fromisoformat(since) - self._lag
        newest = None if since is None else datetime.fromisoformat(since)
        seen: set[str] = set()
        for page in self._lead_pages(start) if self._name == "leads" else self._list_pages(start):
            fresh = {row["id"]: row for row in map(self._row, page) if row["id"] not in seen}
            seen |= fresh.keys()
            newest = max([row["updated_at"] for row in fresh.values()] + ([newest] if newest else []), default=None)
            yield list(fresh.values())
        if known.compare:
            yield from known.deleted(dict.fromkeys(known.live_ids() - seen))
        if newest is not None:
            # What changes while the lists are read may be in none of them, or be seen as it was: the next load reads
            # all that is later than the beginning of this one.
            state["changed"] = min(newest, known.now).isoformat()

    def _list_pages(self, start: datetime | None) -> Iterator[list[dict[str, Any]]]:
        for url, more in LISTS[self._name]:
            yield from _pages(self._client, url, {"sort_by": "update_time", **more, **_since(start), **self._asked})

    def _lead_pages(self, start: datetime | None) -> Iterator[list[dict[str, Any]]]:
        yield from _offset_pages(self._client, LEADS, {"sort": "id", **_since(start)})
        if start is None:
            yield from _offset_pages(self._client, ARCHIVED_LEADS, {"sort": "id"})
            return
        # The archived ones cannot be asked for changes: the newest come first.
        for page in _offset_pages(self._client, ARCHIVED_LEADS, {"sort": "update_time DESC"}):
            changed = [record for record in page if _updated(record) >= start]
            yield changed
            if len(changed) < len(page):
                return

    def _row(self, record: dict[str, Any]) -> Row:
        archived = record.get("archive_time")
        row: Row = {
            "id": str(record["id"]),
            "created_at": _moment(record["add_time"]),
            "updated_at": _updated(record),
            "archived_at": _moment(archived) if archived else None,
            "_deleted": bool(record.get("is_deleted")) or record.get("status") == "deleted",
            "_merged_into": None,
        }
        return row | {column: found.value(record) for column, found in self._fields.items()}


def _pages(client: Client, url: str, parameters: Mapping[str, str] | None = None) -> Iterator[list[dict[str, Any]]]:
    """Pages of a list of API v2."""
    more: dict[str, str] = {}
    while True:
        page = client.call("GET", url, params={"limit": str(PAGE), **(parameters or {}), **more})
        yield _data(page)
        cursor = (page.get("additional_data") or {}).get("next_cursor")
        if not cursor:
            return
        more = {"cursor": cursor}


def _offset_pages(client: Client, url: str, parameters: Mapping[str, str]) -> Iterator[list[dict[str, Any]]]:
    """Pages of a list of API v1, each beginning with the last record of the one before.

    Where it does not, a record before it has gone and those after it have moved forward: all is read again.
    """
    start, last = 0, None
    while True:
        page = client.call("GET", url, params={"start": str(start), "limit": str(PAGE), **parameters})
        records = _data(page)
        if last is not None and (not records or records[0]["id"] != last):
            start, last = 0, None
            continue
        yield records
        if not records or not page["additional_data"]["pagination"]["more_items_in_collection"]:
            return
        start, last = start + len(records) - 1, records[-1]["id"]


def _whole(client: Client, name: str) -> SourceTable:
    """A table that is replaced whole."""
    fields = _listed(SET_UP[name])

    def read(_state: dict[str, Any], _known: Known) -> Iterator[list[Row]]:
        pages = iter([_data(client.call("GET", USERS))]) if name == "users" else _pages(client, f"/api/v2/{name}")
        for page in pages:
            yield [{column: found.value(record) for column, found in fields.items()} for record in page]

    return SourceTable(name, {column: found.type for column, found in fields.items()}, (), read)


def _listed(kinds: Mapping[str, Sequence[str]]) -> dict[str, Field]:
    """Column -> field of such as `FIELDS` lists."""
    return {path.replace(".", "_"): Field(path.split("."), kind) for kind, paths in kinds.items() for path in paths}


def _described(name: str, entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fields of an object as Pipedrive describes them."""
    if name != "leads":
        return list(entries)
    more = [{"field_code": code, "field_type": kind, "is_custom_field": False} for code, kind in MORE_OF_LEADS.items()]
    return [*more, *(entry for entry in entries if entry["is_custom_field"])]


def _own(described: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Key -> name of a column for each custom field, and for the currency of an amount."""
    names: dict[str, str] = {}
    for entry in described:
        if entry["is_custom_field"]:
            key = entry["field_code"]
            names[key] = _snake_case(entry["field_name"]) or f"field_{key[:8]}"
            if entry["field_type"] == "monetary":
                names[f"{key}_currency"] = f"{names[key]}_currency"
    return names


def _extra(name: str, described: Sequence[Mapping[str, Any]], properties: Sequence[str]) -> dict[str, str]:
    """Key -> name of a column for each configured field; a custom field may have the name, so it has a key as well."""
    there = {*STAMPS, *_listed(FIELDS[name])}
    codes = [entry["field_code"] for entry in described if not entry["is_custom_field"]]
    return {f"field.{code}": code for code in codes if code in properties and code not in there}


def _chosen(name: str, described: Sequence[Mapping[str, Any]], extra: Mapping[str, str]) -> dict[str, Field]:
    """Custom and configured fields by their keys."""
    fields: dict[str, Field] = {}
    for entry in described:
        code, kind = str(entry["field_code"]), str(entry["field_type"])
        options = {str(option["id"]): str(option["label"]) for option in entry.get("options") or ()}
        if entry["is_custom_field"]:
            fields[code] = Field([code] if name == "leads" else ["custom_fields", code], kind, options)
            if kind == "monetary":
                place = [f"{code}_currency"] if name == "leads" else ["custom_fields", code, "currency"]
                fields[f"{code}_currency"] = Field(place, "varchar")
        elif f"field.{code}" in extra:
            fields[f"field.{code}"] = Field([code], "datetime" if code.endswith("_time") else kind, options)
    return fields


def _snake_case(name: str) -> str:
    """Lower-case ASCII letters, digits and single underscores; a letter first."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", plain).lower()
    found = re.sub(r"[^a-z0-9]+", "_", words)[:60].strip("_")
    return f"field_{found}" if found[:1].isdigit() else found


def _since(start: datetime | None) -> dict[str, str]:
    return {} if start is None else {"updated_since": start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _updated(record: Mapping[str, Any]) -> datetime:
    return _moment(record.get("update_time") or record["add_time"])


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


_READ: dict[str, Callable[[Any], Any]] = {
    "double": float,
    "monetary": float,
    "int": int,
    "boolean": lambda value: {True: True, False: False}[value],
    "date": date.fromisoformat,
    "datetime": _moment,
}


def _data(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "data" not in answer:
        raise CrmError("Pipedrive: an answer has no data: check the address")
    return answer["data"] or []


def _spent(response: "Response") -> bool:
    """The header is on no page of the documentation; without it the attempts go on until `_explain` says the same."""
    return response.status_code == 429 and response.headers.get("x-daily-ratelimit-token-remaining") == "0"


def _explain(response: "Response") -> CrmError:
    # Pipedrive's message may repeat a value that was sent.
    status, path = response.status_code, response.request.path_url.split("?")[0]
    if status == 429:
        # The limit of 2 seconds has passed with the attempts.
        return CrmBudgetError("Pipedrive: the day's API tokens are used up; the next day brings new ones")
    if status == 401:
        return CrmError(
            "Pipedrive refuses the token: check the environment variable that the configuration names, and the address"
        )
    if status == 403 and "json" not in response.headers.get("Content-Type", ""):
        return CrmError("Pipedrive blocks this token for calls beyond its limits: wait, and load less often")
    if status == 403:
        name = path.split("/")[3]
        scope = next((scope for start, scope in _SCOPES.items() if name.startswith(start)), "deals:read")
        return CrmError(f"Pipedrive: {name} need the scope {scope}, or a user who may see them: grant it to the token")
    hint = ": check the address" if status == 404 else ""
    return CrmError(f"Pipedrive answers {status} to {response.request.method} {path}{hint}")

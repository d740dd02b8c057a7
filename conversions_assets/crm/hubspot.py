"""HubSpot: contacts, companies and deals with changes, deletions, merges and associations; stages and owners.

The first load lists. Changes come by search, whose index is behind and ends at the 10,000th result: it is asked for ids
alone, in the order of ids, again above the last one; the values come from batch reads, which show the database. The
archived have a list of their own. Merged records are told by the record that took them over. What HubSpot tells of
nowhere (erased records) is found by the comparison of all ids.
Sources (HubSpot developer documentation): guides of search, objects, associations v4, properties, pipelines, owners.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from conversions_assets.crm.client import Client, CrmBudgetError, CrmError, Patience, StaticToken, Token
from conversions_assets.crm.known import Known
from conversions_assets.crm.tables import Row, SourceTable, chunks

if TYPE_CHECKING:
    from requests import Response, Session

API = "https://api.hubapi.com"
LIST_PAGE, SEARCH_PAGE, BATCH, ASSOCIATION_BATCH = 100, 200, 100, 1000
# Longer addresses are refused on the way; then a page of the list is read as a batch.
LONGEST_LIST = 4000
MODIFIED = {"contacts": "lastmodifieddate", "companies": "hs_lastmodifieddate", "deals": "hs_lastmodifieddate"}
MERGED = "hs_merged_object_ids"
PROPERTIES: dict[str, tuple[str, ...]] = {
    "contacts": ("country", "state", "city", "jobtitle", "hs_analytics_source", "lifecyclestage", "hubspot_owner_id"),
    "companies": ("name", "domain", "country", "city", "hubspot_owner_id"),
    "deals": (
        "dealname",
        "amount",
        "deal_currency_code",
        "pipeline",
        "dealstage",
        "closedate",
        "hs_analytics_source",
        "hubspot_owner_id",
        "hs_is_closed",
        "hs_is_closed_won",
    ),
}
"""Loaded unless the configuration adds more; no names, no addresses. All properties of one's own are loaded as well."""
ASSOCIATIONS = {"deals_contacts": ("deals", "contacts"), "deals_companies": ("deals", "companies")}
_TYPES = {"number": "double", "bool": "bool", "datetime": "timestamp", "date": "date"}
_EPOCH = "1970-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class HubSpotSettings:
    """What a user configures.

    Attributes:
        objects: of contacts, companies, deals.
        properties: object -> properties beside the default ones and those of one's own.
        lag: how far the search index may be behind; so much is read again each time.
        base_url: another address, for tests.
    """

    objects: Sequence[str] = ("contacts", "companies", "deals")
    properties: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lag: timedelta = timedelta(minutes=10)
    base_url: str = API

    def __post_init__(self) -> None:
        for name in (*self.objects, *self.properties):
            if name not in PROPERTIES:
                raise CrmError(f"HubSpot: there is no object '{name}'; write one of {', '.join(PROPERTIES)}")


class RefreshedToken(Token):
    """OAuth: an access token of 30 minutes for a refresh token."""

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        base_url: str = API,
        session: "Session | None" = None,
    ) -> None:
        self._grant = {
            "grant_type": "refresh_token",
            "client_id": client_id,
            "client_secret": client_secret,
            "refresh_token": refresh_token,
        }
        self._base_url, self._session, self._text = base_url, session, ""

    def value(self, renew: bool) -> str:
        """The last token, or a new one."""
        if renew or not self._text:
            from conversions_assets.crm.client import anonymous

            response = anonymous(f"{self._base_url}/oauth/v1/token", self._grant, self._session)
            if not response.ok:
                raise CrmError("HubSpot refuses the refresh token or the client's secret: check the environment")
            self._text = response.json()["access_token"]
        return self._text


def hubspot_client(
    settings: HubSpotSettings, token: Token | str, patience: Patience | None = None, session: "Session | None" = None
) -> Client:
    """A client with HubSpot's words for refusals."""
    given = StaticToken(token) if isinstance(token, str) else token
    return Client(settings.base_url, given, _explain, _spent, patience or Patience(), session)


def hubspot_tables(client: Client, settings: HubSpotSettings, compare: bool = False) -> list[SourceTable]:
    """The tables of a load; `compare` looks for erased records by listing all ids.

    Raises:
        CrmError: a configured property does not exist, or HubSpot refuses.
    """
    tables: list[SourceTable] = []
    stages = list(_stages(client)) if "deals" in settings.objects else []
    for name in settings.objects:
        types = _chosen(client, settings, name, [row["id"] for row in stages])
        reader = _Reader(client, name, types, settings.lag, compare)
        columns = {
            "id": "text",
            "created_at": "timestamp",
            "updated_at": "timestamp",
            "archived_at": "timestamp",
            "_deleted": "bool",
            "_merged_into": "text",
        }
        columns |= {prop: _TYPES.get(kind, "text") for prop, kind in types.items()}
        tables.append(SourceTable(name, columns, ("id",), reader.read, versioned=True))
    for name, (start, end) in ASSOCIATIONS.items():
        if start in settings.objects and end in settings.objects:
            keys = {f"{_singular(start)}_id": "text", f"{_singular(end)}_id": "text", "_deleted": "bool"}
            links = _Links(client, start, end)
            tables.append(SourceTable(name, keys, (f"{_singular(start)}_id",), links.read, of=start))
    if stages:
        stage_columns = {"id": "text", "label": "text", "pipeline": "text", "pipeline_label": "text"}
        stage_columns |= {"is_closed": "bool", "probability": "double"}
        tables.append(SourceTable("deal_stages", stage_columns, (), lambda _state, _known: iter([stages])))
    owners = {"id": "text", "email": "text", "archived": "bool"}
    tables.append(SourceTable("owners", owners, (), lambda _state, _known: _owners(client)))
    return tables


class _Reader:
    """Rows of one object."""

    def __init__(self, client: Client, name: str, types: Mapping[str, str], lag: timedelta, compare: bool) -> None:
        self._client, self._name, self._types, self._lag, self._compare = client, name, types, lag, compare
        self._url = f"/crm/v3/objects/{name}"

    def read(self, state: dict[str, Any], known: Known) -> Iterator[list[Row]]:
        """Everything at first, then what changed; each record once, the state moved at the end."""
        since = state.get("changed")
        newest = self._newest()
        archived = {row["id"]: row for row in self._archived(state.get("archived"))}
        newest_archived = max((row["archived_at"].isoformat() for row in archived.values()), default=None)
        merged: dict[str, str] = {}
        pages = self._listed() if since is None else self._changed(since)
        for rows in pages:
            for row in rows:
                # Restored since the archived were listed.
                archived.pop(row["id"], None)
            merged |= _taken_over(rows)
            yield rows
        merged |= _taken_over(archived.values())
        yield list(archived.values())
        gone: dict[str, str | None] = {**merged}
        if self._compare and since is not None:
            gone |= dict.fromkeys(known.live_ids() - self._all_ids() - gone.keys())
        yield from known.deleted(gone)
        state["changed"] = max(filter(None, (since, newest)), default=_EPOCH)
        state["archived"] = max(filter(None, (state.get("archived"), newest_archived)), default=None)

    def _newest(self) -> str | None:
        """The newest change that the search index knows: what it learns later lies in the next load."""
        sort = {"propertyName": MODIFIED[self._name], "direction": "DESCENDING"}
        rows = self._search({"sorts": [sort], "limit": 1, "properties": [MODIFIED[self._name]]})
        return rows[0]["properties"][MODIFIED[self._name]] if rows else None

    def _listed(self) -> Iterator[list[Row]]:
        names = ",".join(self._types)
        if len(names) < LONGEST_LIST:
            for page in self._pages({"properties": names}):
                yield [self._row(record) for record in page]
        else:
            for page in self._pages({"properties": MODIFIED[self._name]}):
                yield self._batch([record["id"] for record in page])

    def _archived(self, since: str | None) -> Iterator[Row]:
        """Those of the recycle bin that were put there since the last load, which HubSpot cannot filter."""
        start = None if since is None else datetime.fromisoformat(since) - self._lag
        for page in self._pages({"properties": MODIFIED[self._name], "archived": "true"}):
            fresh = [record["id"] for record in page if start is None or _moment(record["archivedAt"]) >= start]
            if fresh:
                yield from self._batch(fresh, {"archived": "true"})

    def _changed(self, since: str) -> Iterator[list[Row]]:
        start = int((_moment(since) - self._lag).timestamp() * 1000)
        seen: set[str] = set()
        last = 0
        while True:
            filters = [
                {"propertyName": MODIFIED[self._name], "operator": "GTE", "value": str(start)},
                {"propertyName": "hs_object_id", "operator": "GT", "value": str(last)},
            ]
            sorts = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
            body = {"filterGroups": [{"filters": filters}], "sorts": sorts, "limit": SEARCH_PAGE}
            found = self._search({**body, "properties": [MODIFIED[self._name]]})
            if not found:
                return
            last = int(found[-1]["id"])
            # The id of a merged record answers with the record that took it over.
            rows = [row for part in chunks(found, BATCH) for row in self._batch([record["id"] for record in part])]
            fresh = {row["id"]: row for row in rows if row["id"] not in seen}
            seen |= fresh.keys()
            yield list(fresh.values())

    def _batch(self, ids: Sequence[str], parameters: dict[str, str] | None = None) -> list[Row]:
        body = {"inputs": [{"id": text} for text in ids], "properties": list(self._types)}
        answer = self._client.call("POST", f"{self._url}/batch/read", json=body, params=parameters)
        return [self._row(record) for record in answer["results"]]

    def _search(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = self._client.call("POST", f"{self._url}/search", json=body)["results"]
        return results

    def _pages(self, parameters: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
        more: dict[str, str] = {}
        while True:
            given = {"limit": str(LIST_PAGE), **parameters, **more}
            page = self._client.call("GET", self._url, params=given)
            yield page["results"]
            after = page.get("paging", {}).get("next", {}).get("after")
            if after is None:
                return
            more = {"after": after}

    def _all_ids(self) -> set[str]:
        found: set[str] = set()
        for archived in ("false", "true"):
            for page in self._pages({"archived": archived, "properties": MODIFIED[self._name]}):
                found |= {record["id"] for record in page}
        return found

    def _row(self, record: dict[str, Any]) -> Row:
        archived = record.get("archivedAt")
        row: Row = {
            "id": record["id"],
            "created_at": _moment(record["createdAt"]),
            "updated_at": _moment(record["updatedAt"]),
            "archived_at": _moment(archived) if archived else None,
            "_deleted": bool(record["archived"]),
            "_merged_into": None,
        }
        return row | {name: _typed(record["properties"].get(name), kind) for name, kind in self._types.items()}


def _taken_over(rows: Iterable[Row]) -> dict[str, str]:
    """The ids of merged records and of those that took them over."""
    return {merged: row["id"] for row in rows for merged in (row.get(MERGED) or "").split(";") if merged}


class _Links:
    """Associations of the records of a load, replaced whole for each of them."""

    def __init__(self, client: Client, start: str, end: str) -> None:
        self._client, self._start, self._end = client, start, end
        self._url = f"/crm/v4/associations/{start}/{end}/batch/read"

    def read(self, rows: Iterable[Row]) -> Iterator[list[Row]]:
        """One row for each pair; for a record without any one row that is deleted."""
        start, end = f"{_singular(self._start)}_id", f"{_singular(self._end)}_id"
        for part in chunks(list(rows), ASSOCIATION_BATCH):
            live = [row["id"] for row in part if not row["_deleted"]]
            found: dict[str, list[str]] = {}
            if live:
                answer = self._client.call("POST", self._url, json={"inputs": [{"id": text} for text in live]})
                for entry in answer["results"]:
                    found[str(entry["from"]["id"])] = [str(other["toObjectId"]) for other in entry["to"]]
            links: list[Row] = []
            for row in part:
                partners = found.get(row["id"], [])
                links += [{start: row["id"], end: partner, "_deleted": False} for partner in partners]
                if not partners:
                    links.append({start: row["id"], end: None, "_deleted": True})
            yield links


def _chosen(client: Client, settings: HubSpotSettings, name: str, stages: Sequence[str]) -> dict[str, str]:
    """The properties to load and their types: default ones, one's own, configured ones, the times of the stages."""
    described = client.call("GET", f"/crm/v3/properties/{name}")["results"]
    types = {entry["name"]: str(entry["type"]) for entry in described}
    own = [entry["name"] for entry in described if not entry["hubspotDefined"]]
    for wanted in settings.properties.get(name, ()):
        if wanted not in types:
            near = difflib.get_close_matches(wanted, types, 1)
            hint = f"; write {near[0]}" if near else ""
            raise CrmError(f"HubSpot: {name} have no property '{wanted}'{hint}")
    times = [f"hs_v2_date_entered_{stage}" for stage in stages] if name == "deals" else []
    chosen = [*PROPERTIES[name], *own, *settings.properties.get(name, ()), *times, MERGED]
    return {prop: types[prop] for prop in dict.fromkeys(chosen) if prop in types}


def _stages(client: Client) -> Iterator[Row]:
    for pipeline in client.call("GET", "/crm/v3/pipelines/deals")["results"]:
        for stage in pipeline["stages"]:
            facts = {
                "is_closed": stage["metadata"]["isClosed"] == "true",
                "probability": float(stage["metadata"]["probability"]),
            }
            place = {"pipeline": pipeline["id"], "pipeline_label": pipeline["label"]}
            yield {"id": stage["id"], "label": stage["label"], **place, **facts}


def _owners(client: Client) -> Iterator[list[Row]]:
    more: dict[str, str] = {}
    while True:
        page = client.call("GET", "/crm/v3/owners", params={"limit": "100", **more})
        yield [
            {"id": row["id"], "email": row.get("email"), "archived": bool(row["archived"])} for row in page["results"]
        ]
        after = page.get("paging", {}).get("next", {}).get("after")
        if after is None:
            return
        more = {"after": after}


def _typed(text: str | None, kind: str) -> Any:
    """A value as its property's type says; text that does not fit stays text, and gets a column of its own."""
    if text is None or text == "":
        return None
    try:
        return _READ[kind](text) if kind in _READ else text
    except (ValueError, KeyError):
        return text


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


_READ: dict[str, Callable[[str], Any]] = {
    "number": float,
    "bool": lambda text: {"true": True, "false": False}[text],
    "datetime": _moment,
    "date": date.fromisoformat,
}


def _singular(name: str) -> str:
    return {"contacts": "contact", "companies": "company", "deals": "deal"}[name]


def _spent(response: "Response") -> bool:
    return response.status_code == 429 and _body(response).get("policyName") == "DAILY"


def _explain(response: "Response") -> CrmError:
    body, status = _body(response), response.status_code
    if _spent(response):
        return CrmBudgetError("HubSpot: the day's calls are used up; the next day brings new ones")
    if status == 401:
        return CrmError("HubSpot refuses the token: check the environment variable that the configuration names")
    if status == 403:
        scopes = [scope for error in body.get("errors", []) for scope in error.get("context", {}).get("scopes", [])]
        named = ", ".join(scopes) or "one for these records"
        return CrmError(f"HubSpot: the app lacks a scope ({named}): grant it in the app's settings")
    # HubSpot's message may repeat a value that was sent.
    category = body.get("category", "no category")
    path = response.request.path_url.split("?")[0]
    return CrmError(f"HubSpot answers {status} ({category}) to {response.request.method} {path}")


def _body(response: "Response") -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}

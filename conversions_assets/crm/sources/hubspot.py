"""HubSpot: contacts, companies and deals with changes, deletions, merges and associations; stages and owners.

The first load lists. Changes come by search, whose index is behind and ends at the 10,000th result: it is asked for ids
alone, in the order of ids, again above the last one; the values come from batch reads, which show the database. The
archived have a list of their own. Merged records are told by the record that took them over. What HubSpot tells of
nowhere (erased records) is found by the comparison of all ids.
Sources (HubSpot developer documentation): guides of search, objects, associations v4, properties, pipelines, owners.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from conversions_assets.crm.client import Client, CrmBudgetError, CrmError, GrantedToken, Patience, StaticToken, Token
from conversions_assets.crm.known import Known
from conversions_assets.crm.source import Crm, Declared, check_client_id, check_properties
from conversions_assets.crm.tables import STAMPS, Row, SourceTable, chunks

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


class CRM(Crm):
    """HubSpot, by a private app's token or by OAuth."""

    title = "HubSpot"
    all_objects = tuple(PROPERTIES)
    secrets = (("token",), ("client_id", "client_secret", "refresh_token"))

    def declared(self) -> list[Declared]:
        """The objects, what is associated with what, stages and owners."""
        found = [Declared(name, ("id",), versioned=True) for name in self.objects]
        for name, (start, end) in self._associations().items():
            found.append(Declared(name, (f"{_singular(start)}_id", f"{_singular(end)}_id")))
        return [*found, *([Declared("deal_stages")] if "deals" in self.objects else []), Declared("owners")]

    def client(self, secrets: Mapping[str, str], patience: Patience, session: "Session | None" = None) -> Client:
        """A client of HubSpot."""
        address = self.settings.address or API
        token: Token
        if "token" in secrets:
            token = StaticToken(secrets["token"])
        else:
            form = {"grant_type": "refresh_token", **secrets}
            token = GrantedToken(f"{address}/oauth/v1/token", form, self.title, session)
        return Client(address, token, _explain, _spent, patience, session)

    def tables(self, client: Client) -> list[SourceTable]:
        """The tables with the properties that are chosen."""
        tables: list[SourceTable] = []
        stages = list(_stages(client)) if "deals" in self.objects else []
        described = {name: client.call("GET", f"/crm/v3/properties/{name}")["results"] for name in self.objects}
        there = {name: [entry["name"] for entry in entries] for name, entries in described.items()}
        check_properties(self.title, self.settings.properties, there)
        check_client_id(self.title, self.settings.client_id, there)
        for name in self.objects:
            extra = [*self.settings.properties.get(name, ()), self.settings.client_id]
            types = _chosen(described[name], name, extra, [row["id"] for row in stages])
            reader = _Reader(client, name, types, self.settings.lag)
            columns = STAMPS | {prop: _TYPES.get(kind, "text") for prop, kind in types.items()}
            tables.append(SourceTable(name, columns, ("id",), reader.read, versioned=True))
        for name, (start, end) in self._associations().items():
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

    def _associations(self) -> dict[str, tuple[str, str]]:
        return {name: pair for name, pair in ASSOCIATIONS.items() if set(pair) <= set(self.objects)}


class _Reader:
    """Rows of one object."""

    def __init__(self, client: Client, name: str, types: Mapping[str, str], lag: timedelta) -> None:
        self._client, self._name, self._types, self._lag = client, name, types, lag
        self._url = f"/crm/v3/objects/{name}"

    def read(self, state: dict[str, Any], known: Known) -> Iterator[list[Row]]:
        """All at first and for a new property, else what changed; each record once, the state moved at the end."""
        since = state.get("changed")
        # A property that was not read before has values in records that have not changed.
        known_properties = set(state.get("properties", ()))
        newest = self._newest()
        archived = {row["id"]: row for row in self._archived(state.get("archived"))}
        newest_archived = max((row["archived_at"].isoformat() for row in archived.values()), default=None)
        merged: dict[str, str] = {}
        pages = self._changed(since) if since is not None and known_properties >= self._types.keys() else self._listed()
        for rows in pages:
            for row in rows:
                # Restored since the archived were listed.
                archived.pop(row["id"], None)
            merged |= _taken_over(rows)
            yield rows
        merged |= _taken_over(archived.values())
        yield list(archived.values())
        gone: dict[str, str | None] = {**merged}
        if known.compare:
            gone |= dict.fromkeys(known.live_ids() - self._all_ids() - gone.keys())
        yield from known.deleted(gone)
        state["properties"] = sorted(self._types)
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


def _chosen(
    described: Iterable[Mapping[str, Any]], name: str, extra: Sequence[str | None], stages: Sequence[str]
) -> dict[str, str]:
    """The properties to load and their types: default ones, one's own, configured ones, the times of the stages."""
    types = {entry["name"]: str(entry["type"]) for entry in described}
    own = [entry["name"] for entry in described if not entry["hubspotDefined"]]
    times = [f"hs_v2_date_entered_{stage}" for stage in stages] if name == "deals" else []
    chosen = [*PROPERTIES[name], *own, *extra, *times, MERGED]
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

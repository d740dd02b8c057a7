"""Dynamics 365 on Dataverse: the Web API with change tracking.

Sources (learn.microsoft.com, Power Apps developer documentation): "Use change tracking to synchronize data with
external systems" (odata.track-changes, deltaLink, $deletedEntity), "Query data using the Web API" (maxpagesize to
5,000, nextLink), "Query table definitions using the Web API" (Attributes, casts), "Service protection API limits"
(429), "Merge table rows using the Web API" (which tables), "Web service error codes" (AccessTokenExpired 0x8005F101,
ExpiredVersionStamp 0x80044352), "OAuth 2.0 client credentials flow on the Microsoft identity platform".
"""

import heapq
import re
from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from conversions_assets.demo.fake_crm.cursors import seal, unseal
from conversions_assets.demo.fake_crm.dialect import Dialect, Problem, form
from conversions_assets.demo.fake_crm.dynamics_tables import KINDS, SETS, Tables, guid
from conversions_assets.demo.fake_crm.index import Record

# Organization.ExpireChangeTrackingInDays, 7 unless an administrator changes it.
TOKENS_LAST = timedelta(days=7)
MOST = 5000
_API = "/api/data/v9.2"
_DEFINITION = _API + "/EntityDefinitions(LogicalName='{entity}')"
_PROBLEMS: dict[Problem, tuple[int, str, str]] = {
    "unauthorised": (401, "0x8005F101", "The requested resource requires authentication."),
    "expired": (401, "0x8005F101", "The requested resource requires authentication."),
    "forbidden": (403, "0x80040220", "Principal user is missing a privilege"),
    "rate": (429, "0x80072322", "Number of requests exceeded the limit of 6000 over time window of 300 seconds."),
    "budget": (429, "0x80072322", "Number of requests exceeded the limit of the day."),
    "server": (500, "0x80040216", "An unexpected error occurred."),
    "gateway": (502, "0x80040216", "bad gateway"),
    "invalid": (400, "0x80060888", "Bad request"),
    "missing": (404, "0x80060888", "Resource not found for the segment"),
}


class Dynamics(Dialect):
    """A list of everything, then deltas from its link; of a deleted row only the id is left.

    Attributes:
        untracked: entity sets whose change tracking is switched off.
    """

    name = "dynamics"
    credentials = {
        "tenant_id": "11111111-2222-3333-4444-555555555555",
        "client_id": "fake-dynamics-client",
        "client_secret": "fake-dynamics-secret",
    }
    objects = SETS

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.settings.token_seconds = 3600
        self.untracked: frozenset[str] = frozenset()
        self._tables = Tables(world)

    def owns(self, path: str) -> bool:
        """/api/data and the tenant's token endpoint."""
        return path.startswith("/api/data/") or path.endswith("/oauth2/v2.0/token")

    def routes(self) -> list[Route]:
        """Tokens, tables, attributes."""
        return [
            Route("/{tenant}/oauth2/v2.0/token", self.token, methods=["POST"]),
            Route(_API + "/EntityDefinitions", self.guarded(self.tracked)),
            Route(_DEFINITION + "/Attributes", self.guarded(self.attributes)),
            Route(_DEFINITION + "/Attributes/Microsoft.Dynamics.CRM.{cast}", self.guarded(self.attributes)),
            Route(_API + "/{set}", self.guarded(self.list_rows)),
        ]

    def problem(self, problem: Problem, detail: str = "") -> Response:
        """OData's error object."""
        status, code, text = _PROBLEMS[problem]
        if problem == "forbidden" and detail:
            detail = f"{text}: prvRead{(KINDS.get(detail) or detail).capitalize()}"
        headers = {"Retry-After": "86400"} if problem == "budget" else {}
        return JSONResponse({"error": {"code": code, "message": detail or text}}, status, headers)

    async def token(self, request: Request) -> Response:
        """Client credentials of the tenant, for the scope `<org>/.default`."""
        given = await form(request)
        base = str(request.base_url).rstrip("/")
        if request.path_params["tenant"] != self.credentials["tenant_id"]:
            return _aad("invalid_request", 90002, "Tenant not found")
        if given.pop("grant_type", "") != "client_credentials":
            return _aad("unsupported_grant_type", 70003, "The app requested an unsupported grant type")
        if given.pop("scope", "") != f"{base}/.default":
            return _aad("invalid_scope", 70011, "The provided value for scope is not valid; write <org>/.default")
        known = {name: self.credentials[name] for name in ("client_id", "client_secret")}
        if given != known:
            return _aad("invalid_client", 7000215, "Invalid client secret provided", 401)
        lifetime = self.settings.token_seconds
        return JSONResponse({"token_type": "Bearer", "expires_in": lifetime, "access_token": self.tokens.issue()})

    async def list_rows(self, request: Request) -> Response:
        """Rows of a table: the first page, one of a nextLink, or the changes of a deltaLink."""
        name = request.path_params["set"]
        if name not in SETS:
            raise self.refuse(f"Resource not found for the segment '{name}'.", "missing")
        self.permit(name)
        given = self.parameters(request, ("$select", "$skiptoken", "$deltatoken"))
        size, tracked = self._preferences(request)
        columns = self._columns(name, given.get("$select"))
        select = given.get("$select", "")
        if "$deltatoken" in given:
            start, issued = self._opened(given["$deltatoken"], "delta", name, select)
            if self.world.now - datetime.fromisoformat(issued) > TOKENS_LAST:
                message = "Version stamp associated with the client has expired. Please perform a full sync."
                return JSONResponse({"error": {"code": "0x80044352", "message": message}}, 400)
            position = bisect_right(self._sequences(name), (start, float("inf")))
            return self._delta(request, name, columns, position, len(self.world.log), size)
        if "$skiptoken" not in given:
            return self._rows(request, name, columns, 0, len(self.world.log) if tracked else None, size)
        kind, position, until = self._opened(given["$skiptoken"], None, name, select)
        if kind == "changes":
            return self._delta(request, name, columns, position, until, size)
        return self._rows(request, name, columns, position, until, size)

    async def tracked(self, request: Request) -> Response:
        """The tables whose changes are tracked, as the documentation asks for them."""
        if self.parameters(request, ("$select", "$filter")) != {
            "$select": "LogicalName",
            "$filter": "ChangeTrackingEnabled eq true",
        }:
            raise self.refuse("this query of EntityDefinitions is not known here")
        found = [entity for name, entity in KINDS.items() if name not in self.untracked]
        return JSONResponse({"value": [{"LogicalName": entity} for entity in found]})

    async def attributes(self, request: Request) -> Response:
        """The columns of a table: what all types have, or with a cast what one has."""
        entity, cast = request.path_params["entity"], request.path_params.get("cast")
        name = next((found for found, kind in KINDS.items() if kind == entity), None)
        if name is None:
            raise self.refuse(f"Entity '{entity}' was not found", "missing")
        if cast not in (None, "DateTimeAttributeMetadata"):
            raise self.refuse(f"the cast to '{cast}' is not known here", "missing")
        self.permit(name)
        select = self.parameters(request, ("$select",)).get("$select")
        found = self._tables.attributes(name) if cast is None else self._tables.times(name)
        for wanted in select.split(",") if select else ():
            if found and wanted not in found[0]:
                raise self.refuse(f"Could not find a property named '{wanted}' on type 'AttributeMetadata'.")
        return JSONResponse({"value": found})

    def truth(self, name: str) -> Iterator[dict[str, Any]]:
        """Every row of a table with all its columns."""
        kind = SETS[name]
        if kind is None:
            for row in self._tables.static(name):
                yield {**row, "_deleted": False, "_merged_into": None}
            return
        for record in self.world.tables[kind].latest.values():
            into = None if _gone(record) or record.merged_into is None else guid(kind, record.merged_into)
            yield {**self._tables.row(record), "_deleted": not record.alive, "_merged_into": into}

    # --- pages --------------------------------------------------------------------------------------------------------

    def _rows(
        self, request: Request, name: str, columns: list[str], start: int, anchor: int | None, size: int
    ) -> Response:
        kind = SETS[name]
        if kind is None:
            rows = [{column: row[column] for column in columns} for row in self._tables.static(name)]
            return self._answer(request, name, columns, rows, None, anchor)
        table = self.world.tables[kind]
        # A merged record stays, deactivated.
        merged = table.merged.after(start, lambda record: not _gone(record))
        found = heapq.merge(table.live.after(start), merged, key=lambda record: record.number)
        page = list(islice(found, size + 1))
        rows = [self._tables.row(record, columns) for record in page[:size]]
        skip = ("rows", page[size - 1].number, anchor) if len(page) > size else None
        return self._answer(request, name, columns, rows, skip, anchor)

    def _delta(self, request: Request, name: str, columns: list[str], position: int, until: int, size: int) -> Response:
        """Changes from a position in the table's sequences up to the event `until`, each record once."""
        sequences = self._sequences(name)
        rows: list[dict[str, Any]] = []
        seen: set[int] = set()
        while position < len(sequences) and sequences[position][0] <= until and len(rows) < size:
            sequence, number = sequences[position]
            position += 1
            record = self.world.tables[SETS[name] or ""].latest[number]
            # A later version has an entry of its own, in this delta or in the next.
            if record.sequence == sequence and number not in seen:
                seen.add(number)
                rows.append(self._changed(request, name, record, columns))
        more = position < len(sequences) and sequences[position][0] <= until
        skip = ("changes", position, until) if more else None
        return self._answer(request, name, columns, rows, skip, until, "/$delta")

    def _changed(self, request: Request, name: str, record: Record, columns: list[str]) -> dict[str, Any]:
        if not _gone(record):
            return self._tables.row(record, columns)
        context = f"{_base(request)}/$metadata#{name}/$deletedEntity"
        return {"@odata.context": context, "id": guid(record.kind, record.number), "reason": "deleted"}

    def _answer(
        self,
        request: Request,
        name: str,
        columns: list[str],
        rows: list[dict[str, Any]],
        skip: tuple[str, int, int | None] | None,
        anchor: int | None,
        suffix: str = "",
    ) -> Response:
        select = request.query_params.get("$select", "")
        listed = f"({','.join(columns)})" if select else ""
        body: dict[str, Any] = {"@odata.context": f"{_base(request)}/$metadata#{name}{listed}{suffix}", "value": rows}
        link = f"{_base(request)}/{name}?" + (f"$select={quote(select, safe=',')}&" if select else "")
        if skip is not None:
            body["@odata.nextLink"] = f"{link}$skiptoken={seal(name, select, *skip)}"
        elif anchor is not None:
            token = seal(name, select, "delta", anchor, self.world.now.isoformat())
            body["@odata.deltaLink"] = f"{link}$deltatoken={token}"
        return JSONResponse(body)

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _sequences(self, name: str) -> list[tuple[int, int]]:
        kind = SETS[name]
        return [] if kind is None else self.world.tables[kind].sequences

    def _preferences(self, request: Request) -> tuple[int, bool]:
        size, tracked = MOST, False
        for part in filter(None, (part.strip() for part in request.headers.get("prefer", "").split(","))):
            match = re.fullmatch(r"odata\.maxpagesize=(\d+)", part)
            if match is not None:
                size = int(match[1])
                if not 1 <= size <= MOST:
                    raise self.refuse(f"maxpagesize is between 1 and {MOST}")
            elif part == "odata.track-changes":
                if request.path_params["set"] in self.untracked:
                    raise self.refuse("Change tracking is not enabled")
                tracked = True
            elif not part.startswith("odata.include-annotations="):
                raise self.refuse(f"unknown preference '{part}'")
        return size, tracked

    def _columns(self, name: str, select: str | None) -> list[str]:
        known = self._tables.columns(name)
        columns = select.split(",") if select else known
        for column in columns:
            if column not in known:
                raise self.refuse(
                    f"Could not find a property named '{column}' on type 'Microsoft.Dynamics.CRM.{name}'."
                )
        key = self._tables.key(name)
        return columns if key in columns else [*columns, key]

    def _opened(self, token: str, kind: str | None, name: str, select: str) -> list[Any]:
        """What a token holds behind its table and columns; `kind` is that of a delta token."""
        try:
            of_name, of_select, of_kind, *rest = unseal(token)
        except ValueError:
            of_name = of_select = of_kind = None
            rest = []
        if (of_name, of_select) != (name, select) or (kind or of_kind) != of_kind:
            raise self.refuse("The token of the link is malformed, or the link was changed.")
        return rest if kind else [of_kind, *rest]


def _gone(record: Record) -> bool:
    """Whether no list shows a record. Opportunities cannot be merged: what a merge took over is deleted here."""
    return record.deleted_at is not None or record.erased or (record.kind == "deal" and record.merged_into is not None)


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/") + _API


def _aad(error: str, code: int, text: str, status: int = 400) -> Response:
    return JSONResponse({"error": error, "error_description": f"AADSTS{code}: {text}.", "error_codes": [code]}, status)

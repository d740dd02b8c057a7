"""HubSpot's CRM v3 and associations v4.

Sources (HubSpot developer documentation): docs/api-reference/search/guide (limits, 10,000 results, lag),
docs/api-reference/crm-deals-v3, changelog "Bug fix: batch read limit for HubSpot associations API" (1,000 inputs),
changelog "Announcement: deals now support merging" (a third deal takes over both), changelog "Upcoming: expiration of
OAuth access tokens is changing" (30 minutes), docs/api/usage-details (429).
"""

import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from conversions_assets.demo.fake_crm.catalogue import PIPELINES, STAGES, USERS, stage_ids
from conversions_assets.demo.fake_crm.cursors import seal, unseal
from conversions_assets.demo.fake_crm.dialect import Dialect, Problem, form, milliseconds
from conversions_assets.demo.fake_crm.hubspot_properties import KINDS, Properties
from conversions_assets.demo.fake_crm.hubspot_search import Matches, Search, SearchError
from conversions_assets.demo.fake_crm.index import Record

RECYCLE_BIN = timedelta(days=90)
ASSOCIATION_TYPES = {
    ("deals", "contacts"): 3,
    ("contacts", "deals"): 4,
    ("deals", "companies"): 341,
    ("companies", "deals"): 342,
    ("contacts", "companies"): 279,
    ("companies", "contacts"): 280,
}
_PROBLEMS: dict[Problem, tuple[int, str, str]] = {
    "unauthorised": (401, "INVALID_AUTHENTICATION", "Authentication credentials not found or not valid."),
    "expired": (401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired."),
    "rate": (429, "RATE_LIMITS", "You have reached your secondly limit."),
    "budget": (429, "RATE_LIMITS", "You have reached your daily limit."),
    "server": (500, "INTERNAL_ERROR", "internal error"),
    "gateway": (502, "BAD_GATEWAY", "bad gateway"),
    "invalid": (400, "VALIDATION_ERROR", "Invalid input"),
    "missing": (404, "OBJECT_NOT_FOUND", "resource not found"),
}


class HubSpot(Dialect):
    """Lists show the database, searches an index that is behind and hides the archived."""

    name = "hubspot"
    credentials = {
        "token": "fake-hubspot-private-app",
        "client_id": "fake-hubspot-client",
        "client_secret": "fake-hubspot-secret",
        "refresh_token": "fake-hubspot-refresh",
    }
    objects = (*KINDS, "deals_contacts")

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.properties = Properties(world)
        self._matches: OrderedDict[Any, Matches] = OrderedDict()

    def owns(self, path: str) -> bool:
        """/crm and the token endpoints."""
        return path.startswith("/crm/") or bool(re.fullmatch(r"/oauth/v\d/token", path))

    def paced(self, path: str) -> bool:
        """Five searches a second; the rest is not limited here."""
        return path.endswith("/search")

    def routes(self) -> list[Route]:
        """Objects, search, associations, properties, pipelines, owners, tokens."""
        objects = "/crm/v3/objects/{object}"
        return [
            Route("/oauth/v1/token", self.token, methods=["POST"]),
            Route("/oauth/v3/token", self.token, methods=["POST"]),
            Route(objects, self.guarded(self.list_objects), methods=["GET"]),
            Route(objects + "/search", self.guarded(self.search), methods=["POST"]),
            Route(objects + "/batch/read", self.guarded(self.batch_read), methods=["POST"]),
            Route(objects + "/{id}", self.guarded(self.read), methods=["GET"]),
            Route("/crm/v3/properties/{object}", self.guarded(self.list_properties), methods=["GET"]),
            Route("/crm/v3/pipelines/deals", self.guarded(self.pipelines), methods=["GET"]),
            Route("/crm/v3/owners", self.guarded(self.owners), methods=["GET"]),
            Route("/crm/v3/owners/", self.guarded(self.owners), methods=["GET"]),
            Route("/crm/v4/associations/{start}/{end}/batch/read", self.guarded(self.associations), methods=["POST"]),
        ]

    def problem(self, problem: Problem, detail: str = "") -> Response:
        """HubSpot's error body: status, message, correlationId, category."""
        if problem == "forbidden":
            scope = f"crm.objects.{detail or 'deals'}.read"
            text = "This app hasn't been granted all required scopes to make this call."
            errors = [{"message": "One or more of the following scopes are required.", "context": {"scopes": [scope]}}]
            body: dict[str, Any] = {"category": "MISSING_SCOPES", "message": text, "errors": errors}
            return JSONResponse({"status": "error", "correlationId": "fake", **body}, 403)
        status, category, text = _PROBLEMS[problem]
        body = {"status": "error", "message": detail or text, "correlationId": "fake", "category": category}
        if status == 429:
            body |= {"errorType": "RATE_LIMIT", "policyName": "DAILY" if problem == "budget" else "SECONDLY"}
        return JSONResponse(body, status)

    async def token(self, request: Request) -> Response:
        """A refresh token for an access token of 30 minutes."""
        given = await form(request)
        known = {name: self.credentials[name] for name in ("client_id", "client_secret", "refresh_token")}
        if given != {"grant_type": "refresh_token", **known}:
            return JSONResponse({"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}, 400)
        lifetime = self.settings.token_seconds
        return JSONResponse(
            {
                "access_token": self.tokens.issue(),
                "refresh_token": known["refresh_token"],
                "expires_in": lifetime,
                "token_type": "bearer",
            }
        )

    async def list_objects(self, request: Request) -> Response:
        """Live or archived records by id, at most 100 a page (50 with a property's history)."""
        name, kind = self._object(request)
        known = ("limit", "after", "properties", "propertiesWithHistory", "associations", "archived")
        given = self.parameters(request, known)
        histories = self._names(request, "propertiesWithHistory")
        limit = self.whole(given, "limit", 10, 50 if histories else 100)
        archived = given.get("archived", "false")
        if archived not in ("true", "false"):
            raise self.refuse("'archived' is true or false")
        start = self._position(given["after"], name, archived) if "after" in given else 0
        table = self.world.tables[kind]
        found = self._binned(kind, start) if archived == "true" else table.live.after(start)
        page = list(islice(found, limit + 1))
        wanted = self._names(request, "properties")
        results = [self._shown(record, wanted, histories) for record in page[:limit]]
        for end in self._names(request, "associations"):
            for record, result in zip(page, results, strict=False):
                self._add_associations(result, record, name, end)
        body: dict[str, Any] = {"results": results}
        if len(page) > limit:
            after = seal(name, archived, page[limit - 1].number)
            body["paging"] = {"next": {"after": after, "link": str(request.url.include_query_params(after=after))}}
        return JSONResponse(body)

    async def read(self, request: Request) -> Response:
        """One record; the id of a merged one answers with the record that took it over."""
        _, kind = self._object(request)
        self.parameters(request, ("properties", "archived"))
        record = self._find(kind, request.path_params["id"])
        if record is None:
            raise self.refuse("", "missing")
        return JSONResponse(self._shown(record, self._names(request, "properties"), []))

    async def batch_read(self, request: Request) -> Response:
        """Records by id, at most 100, live or archived ones; other ids are left out (207)."""
        _, kind = self._object(request)
        archived = self.parameters(request, ("archived",)).get("archived") == "true"
        body = await self._json(request, {"inputs", "properties", "propertiesWithHistory"})
        inputs = self._ids(body, 100)
        bin_of_kind = {str(record.number): record for record in self._binned(kind, 0)} if archived else {}
        found = [bin_of_kind.get(text) if archived else self._find(kind, text) for text in inputs]
        results = [self._shown(record, body.get("properties", []), []) for record in found if record is not None]
        return JSONResponse({"status": "COMPLETE", "results": results}, 200 if None not in found else 207)

    async def search(self, request: Request) -> Response:
        """Records as the index knows them: no archived ones, nothing of the last moments, 10,000 results at most."""
        _, kind = self._object(request)
        self.parameters(request, ())
        if len(await request.body()) > 3000:
            raise self.refuse("the body of a search has 3,000 characters at most")
        body = await self._json(request, {"filterGroups", "sorts", "properties", "limit", "after"})
        index = self.world.searchable(kind)
        try:
            search = Search.parse(body, kind, self.properties)
            key = (kind, index.generation, search.key)
            matches = self._matches.get(key) or search.matches(index)
        except SearchError as error:
            raise self.refuse(str(error)) from None
        self._matches[key] = matches
        while len(self._matches) > 8:
            self._matches.popitem(last=False)
        total, numbers = search.page(matches)
        page = [index.rows[number] for number in numbers]
        result: dict[str, Any] = {
            "total": total,
            "results": [self._shown(record, body.get("properties", []), []) for record in page],
        }
        if search.after + search.limit < total:
            result["paging"] = {"next": {"after": str(search.after + search.limit)}}
        return JSONResponse(result)

    async def associations(self, request: Request) -> Response:
        """Which records belong to up to 1,000 others; those without any stand under `errors` (207)."""
        start, end = request.path_params["start"], request.path_params["end"]
        if (start, end) not in ASSOCIATION_TYPES:
            raise self.refuse(f"no associations from '{start}' to '{end}'", "missing")
        self.permit(start)
        self.permit(end)
        inputs = self._ids(await self._json(request, {"inputs"}), 1000)
        label = {"category": "HUBSPOT_DEFINED", "typeId": ASSOCIATION_TYPES[start, end], "label": None}
        results, errors = [], []
        for text in inputs:
            found = self._partners(KINDS[start], int(text), KINDS[end])
            if found:
                ends = [{"toObjectId": number, "associationTypes": [label]} for number in found]
                results.append({"from": {"id": text}, "to": ends})
            else:
                message = f"No {KINDS[start]} with ID {text} has an association to {end}"
                sub = "crm.associations.NO_ASSOCIATIONS_FOUND"
                error = {"status": "error", "category": "OBJECT_NOT_FOUND", "subCategory": sub, "message": message}
                errors.append(error)
        body: dict[str, Any] = {"status": "COMPLETE", "results": results}
        if errors:
            body |= {"numErrors": len(errors), "errors": errors}
        return JSONResponse(body, 207 if errors else 200)

    async def list_properties(self, request: Request) -> Response:
        """Standard and custom properties with label and type."""
        _, kind = self._object(request)
        self.parameters(request, ("archived",))
        return JSONResponse({"results": self.properties.described(kind)})

    async def pipelines(self, request: Request) -> Response:
        """Pipelines of deals with their stages; numbers are strings in `metadata`."""
        self.permit("deals")
        self.parameters(request, ())
        results = []
        for position, (name, label) in enumerate(PIPELINES.items()):
            stages = [
                {
                    "id": stage.id,
                    "label": stage.label,
                    "displayOrder": stage.number,
                    "metadata": {"isClosed": str(stage.closed).lower(), "probability": str(float(stage.probability))},
                    "archived": False,
                }
                for stage in map(STAGES.__getitem__, stage_ids(name))
            ]
            results.append({"id": name, "label": label, "displayOrder": position, "archived": False, "stages": stages})
        return JSONResponse({"results": results})

    async def owners(self, request: Request) -> Response:
        """The company's users."""
        self.permit("owners")
        given = self.parameters(request, ("limit", "after", "archived"))
        self.whole(given, "limit", 100, 500)
        people = [] if given.get("archived") == "true" else USERS
        results = [
            {"id": str(user.number), "email": user.email, "firstName": user.name.split()[0], "archived": False}
            for user in people
        ]
        return JSONResponse({"results": results})

    def truth(self, name: str) -> Iterator[dict[str, Any]]:
        """Objects with all properties, and `deals_contacts` with both ids."""
        if name == "deals_contacts":
            for role in self.world.tables["role"].live.rows.values():
                yield {"deal_id": str(role.fields["deal"]), "contact_id": str(role.fields["contact"])}
            return
        kind = KINDS[name]
        wanted = self.properties.names(kind)
        for record in self.world.tables[kind].latest.values():
            merged = None if record.merged_into is None else str(record.merged_into)
            yield {**self._shown(record, wanted, []), "_deleted": not record.alive, "_merged_into": merged}

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _object(self, request: Request) -> tuple[str, str]:
        name = {"0-1": "contacts", "0-2": "companies", "0-3": "deals"}.get(
            request.path_params["object"], request.path_params["object"]
        )
        if name not in KINDS:
            raise self.refuse(f"Unable to infer object type from: {name}")
        self.permit(name)
        return name, KINDS[name]

    def _names(self, request: Request, parameter: str) -> list[str]:
        given = request.query_params.getlist(parameter)
        return [name for text in given for name in text.split(",") if name]

    async def _json(self, request: Request, known: set[str]) -> dict[str, Any]:
        try:
            body = json.loads(await request.body() or b"{}")
        except json.JSONDecodeError:
            raise self.refuse("Invalid input JSON") from None
        if not isinstance(body, dict) or set(body) - known:
            raise self.refuse(f"the body has these fields and no others: {', '.join(sorted(known))}")
        return body

    def _ids(self, body: dict[str, Any], most: int) -> list[str]:
        inputs = body.get("inputs")
        if not isinstance(inputs, list) or not 1 <= len(inputs) <= most:
            raise self.refuse(f"'inputs' has between 1 and {most} ids")
        ids = [str(entry.get("id")) if isinstance(entry, dict) else "" for entry in inputs]
        if not all(text.isdecimal() for text in ids):
            raise self.refuse("every input is an object with an 'id' of digits")
        return ids

    def _position(self, cursor: str, name: str, archived: str) -> int:
        try:
            object_name, was_archived, number = unseal(cursor)
        except ValueError:
            object_name = was_archived = number = None
        if (object_name, was_archived) != (name, archived):
            raise self.refuse("'after' is no cursor of this list")
        return int(number)

    def _binned(self, kind: str, start: int) -> Iterator[Record]:
        oldest = self.world.now - RECYCLE_BIN
        return self.world.tables[kind].deleted.after(
            start, lambda record: record.deleted_at is not None and record.deleted_at > oldest
        )

    def _find(self, kind: str, text: str) -> Record | None:
        latest = self.world.tables[kind].latest
        record = latest.get(int(text)) if text.isdecimal() else None
        while record is not None and record.merged_into is not None:
            record = latest.get(record.merged_into)
        return record if record is not None and record.alive else None

    def _partners(self, start: str, number: int, end: str) -> list[int]:
        live = self.world.tables[end].live.rows
        record = self.world.tables[start].live.rows.get(number)
        if record is None:
            return []
        if "company" not in (start, end):
            return [role.fields[end] for role in self.world.roles_of(start, number)]
        if end == "company":
            company = record.fields.get("company")
            return [company] if company in live else []
        return [other.number for other in live.values() if other.fields.get("company") == number]

    def _add_associations(self, result: dict[str, Any], record: Record, start: str, end: str) -> None:
        if (start, end) not in ASSOCIATION_TYPES:
            raise self.refuse(f"no associations from '{start}' to '{end}'")
        kind = f"{KINDS[start]}_to_{KINDS[end]}"
        ids = [{"id": str(n), "type": kind} for n in self._partners(KINDS[start], record.number, KINDS[end])]
        if ids:
            result.setdefault("associations", {})[end] = {"results": ids}

    def _shown(self, record: Record, wanted: list[str], histories: list[str]) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": str(record.number),
            "properties": self.properties.values(record, wanted),
            "createdAt": milliseconds(record.created_at),
            "updatedAt": milliseconds(record.updated_at),
            "archived": record.deleted_at is not None,
        }
        if record.deleted_at is not None:
            shown["archivedAt"] = milliseconds(record.deleted_at)
        if histories:
            if histories != ["dealstage"] or record.kind != "deal":
                raise self.refuse("this fake keeps the history of 'dealstage' alone")
            entries = [{"value": stage, "timestamp": milliseconds(at)} for stage, at in reversed(record.stages)]
            shown["propertiesWithHistory"] = {"dealstage": entries}
        return shown

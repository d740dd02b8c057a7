"""Pipedrive's API v2 for deals, persons, organizations, stages, pipelines and fields, v1 for leads and users.

Sources (developers.pipedrive.com, pipedrive.readme.io): "Get all deals" (parameters, deleted ones of 30 days, 500 a
page), "Get all leads" (`updated_since`, `sort`), "Convert a lead to a deal" (the lead is marked as deleted), changelog
"Archived deals and leads will not be returned in existing endpoints", "Pipedrive API v2 migration guide" (RFC 3339,
`custom_fields`), "Custom fields" (keys of 40 characters; leads inherit those of deals), "Authentication" (`x-api-token`
alone), "Rate limiting" (429 for both the daily budget of tokens and bursts; lists cost 20, in v2 10), "OAuth
authorization". `x-daily-ratelimit-token-remaining` is on no page; users report it.
"""

import base64
import heapq
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from conversions_assets.demo.fake_crm.catalogue import PIPELINES, USERS
from conversions_assets.demo.fake_crm.cursors import seal, unseal
from conversions_assets.demo.fake_crm.dialect import Dialect, Problem, form
from conversions_assets.demo.fake_crm.index import Index, Record
from conversions_assets.demo.fake_crm.pipedrive_entities import (
    KINDS,
    OPTIONAL,
    PIPELINE_IDS,
    converted,
    entity,
    field_list,
    lead_id,
    open_stages,
    status,
)

REMEMBERED = timedelta(days=30)
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_PROBLEMS: dict[Problem, tuple[int, str]] = {
    "unauthorised": (401, "unauthorized access"),
    "expired": (401, "unauthorized access"),
    "forbidden": (403, "Scope and URL mismatch"),
    "rate": (429, "request over limit"),
    "budget": (429, "daily API token budget exceeded"),
    "server": (500, "internal server error"),
    "gateway": (502, "bad gateway"),
    "invalid": (400, "Bad request"),
    "missing": (404, "not found"),
}


class Pipedrive(Dialect):
    """Lists hide deleted and archived deals; the deleted can be asked for during 30 days, archived ones elsewhere."""

    name = "pipedrive"
    credentials = {
        "token": "fake-pipedrive-api-token",
        "client_id": "fake-pipedrive-client",
        "client_secret": "fake-pipedrive-secret",
        "refresh_token": "fake-pipedrive-refresh",
    }
    objects = (*KINDS, "stages", "pipelines", "users")

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.settings.token_seconds = 3600
        self._origins: tuple[int, dict[int, str]] = (-1, {})

    def owns(self, path: str) -> bool:
        """/api/v1, /api/v2 and the token endpoint."""
        return path.startswith(("/api/v1/", "/api/v2/")) or path == "/oauth/token"

    def cost(self, path: str) -> int:
        """Tokens of a call: 10 for a list of v2, 20 for one of v1."""
        return 0 if path == "/oauth/token" else 10 if path.startswith("/api/v2/") else 20

    def token_of(self, request: Request) -> str | None:
        """An API token in its own header, or an OAuth token."""
        bearer = super().token_of(request)
        return request.headers.get("x-api-token") or (None if bearer == self.credentials["token"] else bearer)

    def routes(self) -> list[Route]:
        """Tokens, entities, set-up, fields."""
        return [
            Route("/oauth/token", self.token, methods=["POST"]),
            Route("/api/v2/deals", self.guarded(self.deals)),
            Route("/api/v2/deals/archived", self.guarded(self.archived_deals)),
            Route("/api/v2/persons", self.guarded(self.entities)),
            Route("/api/v2/organizations", self.guarded(self.entities)),
            Route("/api/v2/stages", self.guarded(self.set_up)),
            Route("/api/v2/pipelines", self.guarded(self.set_up)),
            Route("/api/v1/leads", self.guarded(self.leads)),
            Route("/api/v1/leads/archived", self.guarded(self.leads)),
            Route("/api/v1/users", self.guarded(self.set_up)),
            Route("/api/v2/dealFields", self.guarded(self.fields)),
            Route("/api/v2/personFields", self.guarded(self.fields)),
            Route("/api/v2/organizationFields", self.guarded(self.fields)),
        ]

    def problem(self, problem: Problem, detail: str = "") -> Response:
        """Pipedrive's `success: false`."""
        code, text = _PROBLEMS[problem]
        text = f"{text}: {detail}" if problem == "forbidden" and detail else detail or text
        left = {"budget": {"x-daily-ratelimit-token-remaining": "0"}, "rate": {"x-ratelimit-reset": "2"}}
        return JSONResponse({"success": False, "error": text, "errorCode": code}, code, left.get(problem))

    async def token(self, request: Request) -> Response:
        """A refresh token for an access token of an hour; the client stands in the Basic header."""
        pair = f"{self.credentials['client_id']}:{self.credentials['client_secret']}"
        if request.headers.get("authorization") != "Basic " + base64.b64encode(pair.encode()).decode():
            return JSONResponse({"success": False, "error": "invalid_client"}, 401)
        given = await form(request)
        if given != {"grant_type": "refresh_token", "refresh_token": self.credentials["refresh_token"]}:
            return JSONResponse({"success": False, "error": "invalid_grant"}, 400)
        return JSONResponse(
            {
                "access_token": self.tokens.issue(),
                "refresh_token": self.credentials["refresh_token"],
                "token_type": "Bearer",
                "expires_in": self.settings.token_seconds,
                "api_domain": str(request.base_url).rstrip("/"),
            }
        )

    async def deals(self, request: Request) -> Response:
        """Deals that are not archived, by id or by time of change."""
        self.permit("deals")
        given = self._given(request, ("status", "include_fields"))
        wanted = set(filter(None, given.get("status", "open,won,lost").split(",")))
        if not wanted <= {"open", "won", "lost", "deleted"}:
            raise self.refuse("'status' is a list of open, won, lost, deleted")
        table, oldest = self.world.tables["deal"], self.world.now - REMEMBERED
        sources: list[tuple[Index, Callable[[Record], bool]]] = []
        if wanted - {"deleted"}:
            sources.append((table.live, lambda record: not record.archived and status(record) in wanted))
        if "deleted" in wanted:
            sources += [(index, lambda record: record.updated_at > oldest) for index in (table.deleted, table.merged)]
        return self._page(request, given, "deals", sources)

    async def archived_deals(self, request: Request) -> Response:
        """Archived deals, which are in no other list."""
        self.permit("deals")
        given = self._given(request, ("status", "include_fields"))
        wanted = set(filter(None, given.get("status", "open,won,lost").split(",")))
        source = (self.world.tables["deal"].live, lambda record: record.archived and status(record) in wanted)
        return self._page(request, given, "deals", [source])

    async def entities(self, request: Request) -> Response:
        """Persons or organizations; a deleted one is nowhere."""
        name = request.url.path.rpartition("/")[2]
        self.permit(name)
        given = self._given(request, ())
        return self._page(request, given, name, [(self.world.tables[KINDS[name]].live, lambda _record: True)])

    async def leads(self, request: Request) -> Response:
        """Leads of the inbox or the archived ones, by offset; converted ones are gone."""
        self.permit("leads")
        archived = request.url.path.endswith("/archived")
        given = request.query_params
        since = self.instant(given["updated_since"], "updated_since") if "updated_since" in given else _BEGINNING
        found = self.world.tables["lead"].live.after(
            0,
            lambda record: record.archived == archived and not converted(record) and record.changed[0] >= since,
        )
        sort = given.get("sort", "id")
        if sort == "update_time DESC":
            found = iter(sorted(found, key=lambda record: record.changed, reverse=True))
        elif sort != "id":
            raise self.refuse("this fake sorts leads by id, or by update_time downwards")
        rows = (entity(self.world, "leads", record) for record in found)
        return self._offset(request, rows, ("sort",) if archived else ("sort", "updated_since"))

    async def set_up(self, request: Request) -> Response:
        """Stages, pipelines and users."""
        name = request.url.path.rpartition("/")[2]
        self.permit(name)
        if name == "users":
            return self._offset(request, self._static(name))
        return self._listed(request, list(self._static(name)), ("pipeline_id",))

    async def fields(self, request: Request) -> Response:
        """An entity's fields: `field_code` is what the rows carry, `field_name` is the label."""
        kind = {"dealFields": "deal", "personFields": "contact", "organizationFields": "company"}
        return self._listed(request, field_list(self.world, kind[request.url.path.rpartition("/")[2]]))

    def truth(self, name: str) -> Iterator[dict[str, Any]]:
        """Every row of an entity."""
        if name not in KINDS:
            for row in self._static(name):
                yield {**row, "_deleted": False, "_merged_into": None}
            return
        for record in self.world.tables[KINDS[name]].latest.values():
            gone = not record.alive or (name == "leads" and converted(record))
            yield {**self._row(name, record), "_deleted": gone, "_merged_into": record.merged_into}

    # --- pages --------------------------------------------------------------------------------------------------------

    def _given(self, request: Request, more: tuple[str, ...]) -> dict[str, str]:
        """The parameters of a list of v2; Pipedrive documents some more, which this fake refuses."""
        known = ("limit", "cursor", "sort_by", "sort_direction", "updated_since", "updated_until", "custom_fields")
        given = self.parameters(request, (*known, *more))
        if given.get("sort_by", "id") not in ("id", "update_time"):
            raise self.refuse("'sort_by' is id or update_time")
        if given.get("sort_direction", "asc") != "asc":
            raise self.refuse("this fake sorts upwards alone")
        if len(given.get("custom_fields", "").split(",")) > 15:
            raise self.refuse("'custom_fields' names 15 fields at most")
        if not set(given.get("include_fields", "").split(",")) <= {"", *OPTIONAL}:
            raise self.refuse(f"'include_fields' is a list of {', '.join(OPTIONAL)}")
        return given

    def _page(
        self,
        request: Request,
        given: dict[str, str],
        name: str,
        sources: list[tuple[Index, Callable[[Record], bool]]],
    ) -> Response:
        limit = self.whole(given, "limit", 100, 500)
        since, until = (
            self.instant(given[part], part) if part in given else None for part in ("updated_since", "updated_until")
        )
        by_time = given.get("sort_by") == "update_time"
        query = "&".join(f"{part}={given[part]}" for part in sorted(given) if part not in ("cursor", "limit"))
        moment, number = (
            self._position(given["cursor"], request.url.path, query) if "cursor" in given else (_BEGINNING, 0)
        )
        if by_time and since is not None:
            # Inclusive: the first key that lies before all of that second.
            moment, number = max((moment, number), (since.astimezone(UTC), -1))

        def wanted(keep: Callable[[Record], bool]) -> Callable[[Record], bool]:
            return lambda record: (
                keep(record)
                and (since is None or record.changed[0] >= since)
                and (until is None or record.changed[0] < until)
            )

        if by_time:
            found = [index.changed_after((moment, number), wanted(keep)) for index, keep in sources]
            merged = heapq.merge(*found, key=lambda record: record.changed)
        else:
            found = [index.after(number, wanted(keep)) for index, keep in sources]
            merged = heapq.merge(*found, key=lambda record: record.number)
        page = list(islice(merged, limit + 1))
        cursor = None
        if len(page) > limit:
            last = page[limit - 1]
            cursor = seal(request.url.path, query, last.changed[0].isoformat(), last.number)
        only = given["custom_fields"].split(",") if "custom_fields" in given else None
        rows = [self._row(name, record, only) for record in page[:limit]]
        hidden = OPTIONAL.keys() - given.get("include_fields", "").split(",")
        rows = [{field: value for field, value in row.items() if field not in hidden} for row in rows]
        return JSONResponse({"success": True, "data": rows, "additional_data": _next(cursor)})

    def _row(self, name: str, record: Record, only: list[str] | None = None) -> dict[str, Any]:
        row = entity(self.world, name, record, only)
        return row | {"source_lead_id": self._origin(record.number)} if name == "deals" else row

    def _origin(self, deal: int) -> str | None:
        """The lead that became a deal."""
        if self._origins[0] != len(self.world.log):
            leads = [lead for lead in self.world.tables["lead"].latest.values() if converted(lead)]
            found = {int(lead.fields["converted_deal"]): lead_id(lead.number) for lead in leads}
            self._origins = (len(self.world.log), found)
        return self._origins[1].get(deal)

    def _listed(self, request: Request, rows: list[dict[str, Any]], more: tuple[str, ...] = ()) -> Response:
        """A short list of v2: one page."""
        self.whole(self.parameters(request, ("limit", "cursor", *more)), "limit", 100, 500)
        return JSONResponse({"success": True, "data": rows, "additional_data": _next(None)})

    def _position(self, cursor: str, path: str, query: str) -> tuple[datetime, int]:
        try:
            of_path, of_query, moment, number = unseal(cursor)
        except ValueError:
            of_path = of_query = moment = number = None
        if (of_path, of_query) != (path, query):
            raise self.refuse("'cursor' is no cursor of this list")
        return datetime.fromisoformat(str(moment)), int(number)

    def _offset(self, request: Request, rows: Iterator[dict[str, Any]], more: tuple[str, ...] = ()) -> Response:
        """A page of v1: from `start` on, at most 500."""
        given = self.parameters(request, ("start", "limit", *more))
        limit, start = self.whole(given, "limit", 100, 500), given.get("start", "0")
        if not start.isdecimal():
            raise self.refuse("'start' is a whole number")
        page = list(islice(rows, int(start), int(start) + limit + 1))
        pagination: dict[str, Any] = {
            "start": int(start),
            "limit": limit,
            "more_items_in_collection": len(page) > limit,
        }
        if len(page) > limit:
            pagination["next_start"] = int(start) + limit
        return JSONResponse({"success": True, "data": page[:limit], "additional_data": {"pagination": pagination}})

    def _static(self, name: str) -> Iterator[dict[str, Any]]:
        if name == "users":
            for user in USERS:
                yield {"id": user.number, "name": user.name, "email": user.email, "active_flag": True}
        elif name == "pipelines":
            for key, label in PIPELINES.items():
                yield {"id": PIPELINE_IDS[key], "name": label, "is_deleted": False}
        else:
            for stage in open_stages():
                place = {"pipeline_id": PIPELINE_IDS[stage.pipeline], "order_nr": stage.number}
                yield {
                    "id": stage.number,
                    "name": stage.label,
                    **place,
                    "deal_probability": round(stage.probability * 100),
                }


def _next(cursor: str | None) -> dict[str, Any]:
    return {"next_cursor": cursor}

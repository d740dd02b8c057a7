"""Salesforce's REST API and Bulk API 2.0 queries.

Sources (developer.salesforce.com, help.salesforce.com): REST API Developer Guide "Query", "QueryAll", "sObject Get
Deleted" (results of 15 days; the SOAP guide's getDeleted() names the errors), Bulk API 2.0 Developer Guide "Get Results
for a Query Job" (Sforce-Locator), "INVALID_QUERY_LOCATOR" (locators of 18 characters from 0r8, two days), "OAuth 2.0
Client Credentials Flow" and "JWT Bearer Flow".
"""

import base64
import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from conversions_assets.demo.fake_crm.cursors import seal, unseal
from conversions_assets.demo.fake_crm.dialect import Dialect, Problem, form, milliseconds
from conversions_assets.demo.fake_crm.salesforce_objects import KINDS, OBJECTS, RECYCLE_BIN, Objects, salesforce_id
from conversions_assets.demo.fake_crm.soql import Row, Soql, SoqlError, object_of, parse

LOCATORS_LAST = timedelta(days=2)
FARTHEST_START = timedelta(days=30)
_PROBLEMS: dict[Problem, tuple[int, str, str]] = {
    "unauthorised": (401, "INVALID_SESSION_ID", "Session expired or invalid"),
    "expired": (401, "INVALID_SESSION_ID", "Session expired or invalid"),
    "forbidden": (403, "INSUFFICIENT_ACCESS", "insufficient access rights"),
    "rate": (429, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."),
    "budget": (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    "server": (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred."),
    "gateway": (502, "SERVER_UNAVAILABLE", "bad gateway"),
    "invalid": (400, "INVALID_FIELD", "invalid"),
    "missing": (404, "NOT_FOUND", "The requested resource does not exist"),
}


@dataclass
class _Result:
    """A query's rows, as they were when it ran."""

    soql: Soql
    rows: list[Row]
    made_at: datetime
    operation: str = "query"
    polls: int = 0


class Salesforce(Dialect):
    """query hides the deleted, queryAll shows them while they are in the recycle bin."""

    name = "salesforce"
    credentials = {"client_id": "fake-salesforce-client", "client_secret": "fake-salesforce-secret"}
    objects = OBJECTS

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.settings.token_seconds = 7200
        self._objects = Objects(world)
        self._results: dict[str, _Result] = {}
        self._numbers = itertools.count(1)

    def owns(self, path: str) -> bool:
        """/services."""
        return path.startswith("/services/")

    def routes(self) -> list[Route]:
        """Tokens, query, queryAll, deleted, describe, bulk jobs."""
        data = "/services/data/{version}"
        return [
            Route("/services/oauth2/token", self.token, methods=["POST"]),
            Route(data + "/query", self.guarded(self.query), methods=["GET"]),
            Route(data + "/queryAll", self.guarded(self.query), methods=["GET"]),
            Route(data + "/query/{locator}", self.guarded(self.more), methods=["GET"]),
            Route(data + "/sobjects/{object}/describe", self.guarded(self.describe), methods=["GET"]),
            Route(data + "/sobjects/{object}/deleted/", self.guarded(self.deleted), methods=["GET"]),
            Route(data + "/sobjects/{object}/deleted", self.guarded(self.deleted), methods=["GET"]),
            Route(data + "/jobs/query", self.guarded(self.make_job), methods=["POST"]),
            Route(data + "/jobs/query/{job}", self.guarded(self.job), methods=["GET"]),
            Route(data + "/jobs/query/{job}", self.guarded(self.delete_job), methods=["DELETE"]),
            Route(data + "/jobs/query/{job}/results", self.guarded(self.results), methods=["GET"]),
        ]

    def problem(self, problem: Problem, detail: str = "") -> Response:
        """Salesforce's list with one error; an object without permission is said not to exist."""
        if problem == "forbidden" and detail:
            return _error(400, "INVALID_TYPE", f"sObject type '{detail}' is not supported.")
        status, code, text = _PROBLEMS[problem]
        return _error(status, code, detail or text)

    async def token(self, request: Request) -> Response:
        """Client credentials, or a JWT whose issuer is the client (its signature is not checked here)."""
        given = await form(request)
        grant = given.pop("grant_type", "")
        if grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            granted = _issuer(given.get("assertion", "")) == self.credentials["client_id"]
        elif grant == "client_credentials":
            granted = given == self.credentials
        else:
            return JSONResponse(
                {"error": "unsupported_grant_type", "error_description": "grant type not supported"}, 400
            )
        if not granted:
            error = "invalid_grant" if "assertion" in given else "invalid_client"
            return JSONResponse({"error": error, "error_description": "invalid client credentials"}, 400)
        base = str(request.base_url).rstrip("/")
        return JSONResponse({"access_token": self.tokens.issue(), "instance_url": base, "token_type": "Bearer"})

    async def query(self, request: Request) -> Response:
        """The first 2,000 rows (Sforce-Query-Options: batchSize from 200 on), and where the next ones are."""
        version = self._version(request)
        given = self.parameters(request, ("q",))
        everything = request.url.path.endswith("/queryAll")
        result = self._run(given.get("q", ""), everything)
        if not result.soql.fields:
            return JSONResponse({"totalSize": len(result.rows), "done": True, "records": []})
        locator = f"0r8{next(self._numbers):015d}"
        self._keep(locator, result)
        return self._batch(result, locator, 0, self._batch_size(request), version)

    async def more(self, request: Request) -> Response:
        """The batch that a nextRecordsUrl names."""
        version = self._version(request)
        self.parameters(request, ())
        locator, _, position = request.path_params["locator"].partition("-")
        result = self._results.get(locator)
        if result is None or not position.isdecimal() or self.world.now - result.made_at > LOCATORS_LAST:
            return _error(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._batch(result, locator, int(position), self._batch_size(request), version)

    async def describe(self, request: Request) -> Response:
        """An object's fields with labels and types."""
        self._version(request)
        name = self._object(request.path_params["object"])
        labels = self._objects.labels(name)
        fields = [
            {"name": field, "label": labels.get(field, field), "type": kind, "custom": field in labels}
            for field, kind in self._objects.types(name).items()
        ]
        return JSONResponse({"name": name, "queryable": True, "replicateable": name in KINDS, "fields": fields})

    async def deleted(self, request: Request) -> Response:
        """Ids deleted in a span, for ever or not, of the last 15 days; seconds are ignored."""
        self._version(request)
        given = self.parameters(request, ("start", "end"))
        name = self._object(request.path_params["object"])
        if name not in KINDS:
            return _error(400, "INVALID_TYPE", f"{name} is not replicable")
        # A plus sign of a zone that was not encoded arrives as a space.
        start, end = (
            self.instant(given.get(part, "").replace(" ", "+"), part).replace(second=0, microsecond=0)
            for part in ("start", "end")
        )
        now = self.world.now
        if end - start < timedelta(minutes=1):
            return _error(400, "INVALID_REPLICATION_DATE", "startDate must precede endDate by more than one minute")
        if start < now - FARTHEST_START:
            return _error(400, "INVALID_REPLICATION_DATE", "startDate cannot be more than 30 days ago")
        earliest = now - RECYCLE_BIN
        gone = [
            (record, record.deleted_at or record.updated_at)
            for record in self.world.tables[KINDS[name]].latest.values()
            if not record.alive
        ]
        found = [
            {"id": salesforce_id(record.kind, record.number), "deletedDate": _json_time(at)}
            for record, at in gone
            if max(start, earliest) <= at < end
        ]
        covered = {"earliestDateAvailable": _json_time(earliest), "latestDateCovered": _json_time(min(end, now))}
        return JSONResponse({"deletedRecords": found, **covered})

    async def make_job(self, request: Request) -> Response:
        """A bulk query: `operation` query or queryAll, CSV."""
        self._version(request)
        try:
            body = json.loads(await request.body())
        except json.JSONDecodeError:
            return _error(400, "JSON_PARSER_ERROR", "the body is no JSON")
        known = {"operation", "query", "contentType", "columnDelimiter", "lineEnding"}
        if not isinstance(body, dict) or set(body) - known or body.get("operation") not in ("query", "queryAll"):
            return _error(400, "INVALIDJOB", "a job has operation (query, queryAll) and query")
        if body.get("contentType", "CSV") != "CSV" or body.get("columnDelimiter", "COMMA") != "COMMA":
            return _error(400, "INVALIDJOB", "results are CSV with commas")
        job = f"750{next(self._numbers):015d}"
        result = self._run(body["query"], body["operation"] == "queryAll")
        if result.soql.order or result.soql.limit is not None or not result.soql.fields:
            return _error(400, "API_ERROR", "bulk queries take no ORDER BY, LIMIT or COUNT()")
        result.operation = body["operation"]
        self._keep(job, result)
        return JSONResponse(self._state(job, "UploadComplete"))

    async def job(self, request: Request) -> Response:
        """A job is in progress when first asked, and complete from then on."""
        self._version(request)
        job = request.path_params["job"]
        result = self._result(job)
        result.polls += 1
        if result.polls == 1:
            return JSONResponse(self._state(job, "InProgress"))
        return JSONResponse(self._state(job, "JobComplete") | {"numberRecordsProcessed": len(result.rows)})

    async def delete_job(self, request: Request) -> Response:
        """Forget a job and its results."""
        self._result(request.path_params["job"])
        del self._results[request.path_params["job"]]
        return Response(status_code=204)

    async def results(self, request: Request) -> Response:
        """CSV, each part with its header; Sforce-Locator says where the next is, "null" that there is none."""
        self._version(request)
        given = self.parameters(request, ("locator", "maxRecords"))
        most = self.whole(given, "maxRecords", 50_000, 1_000_000)
        job = request.path_params["job"]
        result = self._result(job)
        if result.polls < 2:
            return _error(400, "INVALIDJOBSTATE", "the job is not complete")
        position = 0
        if "locator" in given:
            try:
                of_job, position = unseal(given["locator"])
            except ValueError:
                of_job = None
            if of_job != job:
                return _error(400, "INVALID_QUERY_LOCATOR", "invalid locator")
        part = result.rows[position : position + most]
        more = position + most < len(result.rows)
        locator = seal(job, position + most) if more else "null"
        headers = {"Sforce-Locator": locator, "Sforce-NumberOfRecords": str(len(part))}
        return Response(_csv(part, result.soql.fields), media_type="text/csv", headers=headers)

    def truth(self, name: str) -> Iterator[dict[str, Any]]:
        """Every row of an object with all its fields."""
        if name not in KINDS:
            for row in self._objects.rows(name, True):
                yield {**{field: _json_value(value) for field, value in row.items()}, "_deleted": False}
            return
        for record in self.world.tables[KINDS[name]].latest.values():
            row = self._objects.row(name, record)
            shown = {field: _json_value(value) for field, value in row.items()}
            # Opportunities cannot be merged: one that the world's merge took away is a deleted one.
            yield {**shown, "_deleted": not record.alive, "_merged_into": row.get("MasterRecordId")}

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _version(self, request: Request) -> str:
        version: str = request.path_params["version"]
        if not re.fullmatch(r"v[3-9]\d\.0", version):
            raise self.refuse("", "missing")
        return version

    def _object(self, name: str) -> str:
        known = {entry.lower(): entry for entry in OBJECTS}.get(name.lower())
        if known is None or known in self.settings.forbidden:
            raise self.refuse(name, "forbidden")
        return known

    def _run(self, query: str, everything: bool) -> _Result:
        try:
            name = self._object(object_of(query))
            soql = parse(query, self._objects.types(name))
        except SoqlError as error:
            raise self._refusal(error) from None
        return _Result(soql, soql.run(self._objects.rows(name, everything, soql.since())), self.world.now)

    def _refusal(self, error: SoqlError) -> Exception:
        refusal = self.refuse("")
        refusal.response = _error(400, error.code, str(error))
        return refusal

    def _keep(self, key: str, result: _Result) -> None:
        self._results[key] = result
        while len(self._results) > 50:
            del self._results[next(iter(self._results))]

    def _result(self, job: str) -> _Result:
        if job not in self._results:
            raise self.refuse("", "missing")
        return self._results[job]

    def _batch_size(self, request: Request) -> int:
        options = request.headers.get("sforce-query-options", "batchSize=2000")
        match = re.fullmatch(r"batchSize=(\d+)", options)
        if match is None:
            raise self.refuse("Sforce-Query-Options is batchSize=<number>")
        return min(max(int(match[1]), 200), 2000)

    def _batch(self, result: _Result, locator: str, position: int, size: int, version: str) -> Response:
        kind = next(name for name in OBJECTS if name.lower() == result.soql.object.lower())
        base = f"/services/data/{version}"
        part = result.rows[position : position + size]
        records = [
            {
                "attributes": {"type": kind, "url": f"{base}/sobjects/{kind}/{row['Id']}"},
                **{field: _json_value(row[field]) for field in result.soql.fields},
            }
            for row in part
        ]
        done = position + size >= len(result.rows)
        body = {"totalSize": len(result.rows), "done": done, "records": records}
        if not done:
            body["nextRecordsUrl"] = f"{base}/query/{locator}-{position + size}"
        return JSONResponse(body)

    def _state(self, job: str, state: str) -> dict[str, Any]:
        result = self._results[job]
        operation = {"operation": result.operation, "object": result.soql.object}
        return {"id": job, **operation, "state": state, "contentType": "CSV", "lineEnding": "LF"}


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse([{"message": message, "errorCode": code}], status)


def _json_time(moment: datetime) -> str:
    return milliseconds(moment.replace(microsecond=0))[:-1] + "+0000"


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return _json_time(value)
    return value.isoformat() if isinstance(value, date) else value


def _csv(rows: list[Row], fields: list[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(fields)
    for row in rows:
        writer.writerow([_csv_value(row[field]) for field in fields])
    return text.getvalue()


def _csv_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return milliseconds(value)
    return str(value).lower() if isinstance(value, bool) else value


def _issuer(assertion: str) -> str | None:
    """The issuer of a JWT of three parts."""
    parts = assertion.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return claims.get("iss") if isinstance(claims, dict) else None

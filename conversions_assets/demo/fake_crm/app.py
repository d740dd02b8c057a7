"""One Starlette app with the four dialects at their vendors' paths, and the controls under /fake."""

import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from conversions_assets.demo.fake_crm.dialect import Dialect, Refusal, Settings
from conversions_assets.demo.fake_crm.dynamics import Dynamics
from conversions_assets.demo.fake_crm.faults import Gate, parse_faults
from conversions_assets.demo.fake_crm.hubspot import HubSpot
from conversions_assets.demo.fake_crm.pipedrive import Pipedrive
from conversions_assets.demo.fake_crm.populate import populate
from conversions_assets.demo.fake_crm.salesforce import Salesforce
from conversions_assets.demo.fake_crm.world import EventError, World


class FakeCrm:
    """The ASGI application.

    Attributes:
        world: the state; a test in the same process may use it directly.
        dialects: the four CRMs by name.
        gate: faults, limits and counted calls.
    """

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        made: list[Dialect] = [crm(self.world) for crm in (HubSpot, Salesforce, Dynamics, Pipedrive)]
        self.dialects = {dialect.name: dialect for dialect in made}
        routes = [route for dialect in made for route in dialect.routes()]
        app = Starlette(
            routes=[*self._controls(), *routes],
            exception_handlers={Refusal: _refused, EventError: _bad, ValueError: _bad, KeyError: _bad},
        )
        self.gate = Gate(app, self.dialects)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a call."""
        await self.gate(scope, receive, send)

    def _controls(self) -> list[Route]:
        found: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "/fake/clock", self._clock),
            ("POST", "/fake/clock", self._move_clock),
            ("GET", "/fake/events", self._log),
            ("POST", "/fake/events", self._happen),
            ("POST", "/fake/populate", self._populate),
            ("POST", "/fake/faults", self._set_faults),
            ("DELETE", "/fake/faults", self._clear_faults),
            ("POST", "/fake/settings", self._set),
            ("GET", "/fake/credentials", self._credentials),
            ("GET", "/fake/requests", self._requests),
            ("DELETE", "/fake/requests", self._forget_requests),
            ("GET", "/fake/truth/{crm}/{object}", self._truth),
        ]
        return [Route(path, handler, methods=[method]) for method, path, handler in found]

    async def _clock(self, _request: Request) -> Response:
        return JSONResponse({"now": self.world.now.isoformat()})

    async def _move_clock(self, request: Request) -> Response:
        """`{"now": time}` or `{"advance": seconds}`."""
        given = await request.json()
        if "advance" in given:
            self.world.move_clock(self.world.now + timedelta(seconds=given["advance"]))
        else:
            self.world.move_clock(datetime.fromisoformat(given["now"]))
        return await self._clock(request)

    async def _log(self, request: Request) -> Response:
        return JSONResponse(self.world.log[int(request.query_params.get("after", 0)) :])

    async def _happen(self, request: Request) -> Response:
        """A list of events; the numbers of the records."""
        return JSONResponse(self.world.apply(await request.json()))

    async def _populate(self, request: Request) -> Response:
        """`{"objects": number, "seed": number}`: so many records, a mix of all kinds."""
        given = await request.json()
        populate(self.world, given["objects"], given.get("seed", 1))
        return JSONResponse({"events": len(self.world.log)})

    async def _set_faults(self, request: Request) -> Response:
        self.gate.faults.extend(parse_faults(await request.json(), self.dialects))
        return JSONResponse({"faults": len(self.gate.faults)})

    async def _clear_faults(self, _request: Request) -> Response:
        self.gate.faults.clear()
        return JSONResponse({"faults": 0})

    async def _set(self, request: Request) -> Response:
        """`{"search_lag": seconds, "<crm>": {setting: value}}`."""
        given = await request.json()
        for name, value in given.items():
            if name == "search_lag":
                self.world.search_lag = timedelta(seconds=value)
                continue
            settings = self.dialects[name].settings
            for setting, wanted in value.items():
                if setting not in Settings.__dataclass_fields__:
                    raise ValueError(f"there is no setting '{setting}'")
                setattr(settings, setting, frozenset(wanted) if setting == "forbidden" else wanted)
        return JSONResponse(given)

    async def _credentials(self, _request: Request) -> Response:
        return JSONResponse({name: dialect.credentials for name, dialect in self.dialects.items()})

    async def _requests(self, _request: Request) -> Response:
        return JSONResponse(self.gate.counts())

    async def _forget_requests(self, _request: Request) -> Response:
        self.gate.calls.clear()
        return JSONResponse([])

    async def _truth(self, request: Request) -> Response:
        """All rows of a table, one JSON object a line."""
        dialect, name = self.dialects[request.path_params["crm"]], request.path_params["object"]
        if name not in dialect.objects:
            raise ValueError(f"{dialect.name} has no '{name}': one of {', '.join(dialect.objects)}")
        return StreamingResponse(_lines(dialect.truth(name)), media_type="application/x-ndjson")


def _lines(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row) + "\n"


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response


async def _bad(request: Request, error: Exception) -> Response:
    if not request.url.path.startswith("/fake/"):
        raise error
    text = f"unknown or missing: {error}" if isinstance(error, KeyError) else str(error)
    return JSONResponse({"error": text}, 400)

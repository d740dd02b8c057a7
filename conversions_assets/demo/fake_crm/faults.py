"""Faults on request and the limits of a CRM, in front of its endpoints."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from conversions_assets.demo.fake_crm.dialect import Dialect, Problem

PROBLEMS: dict[str, Problem] = {
    "401": "expired",
    "403": "forbidden",
    "429": "rate",
    "500": "server",
    "502": "gateway",
    "budget": "budget",
}
FAULTS = (*PROBLEMS, "cut", "slow")


@dataclass
class Fault:
    """What goes wrong, and when.

    Attributes:
        crm: name of the dialect.
        fault: `401` (all issued tokens expire), `403`, `429`, `500`, `502`, `budget` (the day's is spent), `cut` (the
            body ends in the middle) or `slow`.
        path: part of the paths that it hits.
        after: matching calls that pass first.
        every: of the calls after them, each so many-th is hit.
        times: how often, None for ever.
        retry_after: seconds of a Retry-After header, None for none.
        seconds: how long a slow answer takes.
    """

    crm: str
    fault: str
    path: str = ""
    after: int = 0
    every: int = 1
    times: int | None = 1
    retry_after: int | None = None
    seconds: float = 0.2

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"there is no fault '{self.fault}': one of {', '.join(FAULTS)}")
        if self.every < 1:
            raise ValueError("'every' is 1 or more")
        self._seen = 0

    def hits(self, crm: str, path: str) -> bool:
        """Count a call and say whether it goes wrong."""
        if crm != self.crm or self.path not in path or self.times == 0:
            return False
        self._seen += 1
        if self._seen <= self.after or (self._seen - self.after) % self.every:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Gate:
    """ASGI middleware: counts the calls of each CRM, and lets faults and limits answer in place of the endpoint."""

    def __init__(self, app: ASGIApp, dialects: Mapping[str, Dialect]) -> None:
        self.app = app
        self.dialects = dialects
        self.clear()

    def clear(self) -> None:
        """Forget faults, counted calls and what was used of the budgets."""
        self.faults: list[Fault] = []
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self._spent: Counter[tuple[str, date]] = Counter()
        self._recent: dict[str, deque[float]] = {name: deque() for name in self.dialects}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, spoil or pass on a call."""
        path: str = scope.get("path", "")
        dialect = next((d for d in self.dialects.values() if d.owns(path)), None) if scope["type"] == "http" else None
        if dialect is None:
            await self.app(scope, receive, send)
            return
        self.calls[dialect.name, scope["method"], path] += 1
        fault = next((fault for fault in self.faults if fault.hits(dialect.name, path)), None)
        if fault is not None and fault.fault == "slow":
            await asyncio.sleep(fault.seconds)
        elif fault is not None and fault.fault == "cut":
            send = _cut(send)
        else:
            response = _spoilt(dialect, fault) if fault is not None else self._limited(dialect, path)
            if response is not None:
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def counts(self) -> list[dict[str, Any]]:
        """Calls by CRM, method and path; never what they carried."""
        ordered = sorted(self.calls.items())
        return [{"crm": crm, "method": method, "path": path, "calls": n} for (crm, method, path), n in ordered]

    def _limited(self, dialect: Dialect, path: str) -> Response | None:
        settings = dialect.settings
        day = (dialect.name, dialect.world.now.date())
        if settings.daily_budget is not None:
            if self._spent[day] + dialect.cost(path) > settings.daily_budget:
                return dialect.problem("budget")
            self._spent[day] += dialect.cost(path)
        if settings.per_second is not None and dialect.paced(path):
            recent, now = self._recent[dialect.name], time.monotonic()
            while recent and now - recent[0] >= 1:
                recent.popleft()
            if len(recent) >= settings.per_second:
                response = dialect.problem("rate")
                response.headers["Retry-After"] = "1"
                return response
            recent.append(now)
        return None


def parse_faults(given: Sequence[Any], crms: Mapping[str, Dialect]) -> list[Fault]:
    """Faults from JSON.

    Raises:
        ValueError: a name or a value is unknown.
    """
    faults = []
    for entry in given:
        try:
            values: dict[str, Any] = {**entry, "fault": str(entry.get("fault"))}
            fault = Fault(**values)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"a fault is an object with crm and fault: {error}") from None
        if fault.crm not in crms:
            raise ValueError(f"there is no CRM '{fault.crm}': one of {', '.join(crms)}")
        faults.append(fault)
    return faults


def _spoilt(dialect: Dialect, fault: Fault) -> Response:
    if fault.fault == "401":
        dialect.tokens.expire()
    response = dialect.problem(PROBLEMS[fault.fault])
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    elif "Retry-After" in response.headers:
        del response.headers["Retry-After"]
    return response


def _cut(send: Send) -> Send:
    """Half of the first part of the body, and nothing after it, under the whole body's Content-Length."""
    done = False

    async def half(message: Message) -> None:
        nonlocal done
        if message["type"] != "http.response.body":
            await send(message)
        elif not done:
            done = True
            body = message.get("body", b"")
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": False})

    return half

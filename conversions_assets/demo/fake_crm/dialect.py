"""What the four dialects share: tokens, limits, refusals, and the guard in front of every call."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from conversions_assets.demo.fake_crm.world import World

Problem = Literal["unauthorised", "expired", "forbidden", "rate", "budget", "server", "gateway", "invalid", "missing"]
Handler = Callable[[Request], Awaitable[Response]]


class Refusal(Exception):
    """An answer that ends a call; the app sends `response`."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass
class Settings:
    """What a test sets per CRM; None switches a limit off.

    Attributes:
        daily_budget: calls a day of the fake's clock (Pipedrive: tokens; a call costs several).
        per_second: calls a second of the real clock (HubSpot: searches).
        token_calls: an access token is refused after so many calls.
        token_seconds: an access token's lifetime on the fake's clock.
        forbidden: objects, as the dialect names them, for which the scope is missing.
    """

    daily_budget: int | None = None
    per_second: int | None = None
    token_calls: int | None = None
    token_seconds: int = 1800
    forbidden: frozenset[str] = frozenset()


class Tokens:
    """Access tokens of one CRM: those that its token endpoint issued, and a static one where the CRM has such."""

    def __init__(self, world: World, settings: Settings, crm: str, static: str | None) -> None:
        self._world, self._settings, self._crm, self._static = world, settings, crm, static
        self._issued: dict[str, datetime] = {}
        self._calls: dict[str, int] = {}
        self._numbers = itertools.count(1)

    def issue(self) -> str:
        """A new token, valid from now on the fake's clock."""
        token = f"fake-{self._crm}-access-{next(self._numbers)}"
        self._issued[token] = self._world.now
        return token

    def expire(self) -> None:
        """No issued token is valid any more."""
        self._issued = dict.fromkeys(self._issued, datetime.min.replace(tzinfo=self._world.now.tzinfo))

    def use(self, token: str | None) -> Literal["valid", "expired", "unknown"]:
        """Count a call with a token and say what it is worth."""
        if token is not None and token == self._static:
            return "valid"
        if token is None or token not in self._issued:
            return "unknown"
        self._calls[token] = self._calls.get(token, 0) + 1
        limit = self._settings.token_calls
        old = self._world.now - self._issued[token] >= timedelta(seconds=self._settings.token_seconds)
        return "expired" if old or (limit is not None and self._calls[token] > limit) else "valid"


class Dialect(ABC):
    """One vendor's way to show the world.

    Attributes:
        name: as in `crm:` of a user's YAML.
        credentials: what this fake accepts; the control endpoint tells it.
        objects: the tables whose truth is known.
    """

    name: str
    credentials: dict[str, str]
    objects: Collection[str]

    def __init__(self, world: World) -> None:
        self.world = world
        self.settings = Settings()
        static = self.credentials.get("token")
        self.tokens = Tokens(world, self.settings, self.name, static)

    @abstractmethod
    def owns(self, path: str) -> bool:
        """Whether a path is one of this vendor's."""

    @abstractmethod
    def routes(self) -> list[Route]:
        """The vendor's endpoints."""

    @abstractmethod
    def problem(self, problem: Problem, detail: str = "") -> Response:
        """The vendor's words for a refusal."""

    @abstractmethod
    def truth(self, name: str) -> Iterator[dict[str, Any]]:
        """Every record of a table that ever was, all columns, as the vendor shows them, and `_deleted`.

        A record that is deleted, erased or merged stands with its last values; `_merged_into` tells the vendor's id of
        the record that took it over.
        """

    def cost(self, path: str) -> int:
        """What a call takes from the daily budget; token endpoints cost nothing."""
        return 0 if "oauth" in path else 1

    def paced(self, path: str) -> bool:
        """Whether a call counts for the limit per second."""
        return "oauth" not in path

    def token_of(self, request: Request) -> str | None:
        """The access token that a call carries."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" else None

    def guarded(self, handler: Handler) -> Handler:
        """A handler behind the check of the token."""

        async def guard(request: Request) -> Response:
            worth = self.tokens.use(self.token_of(request))
            if worth != "valid":
                return self.problem("expired" if worth == "expired" else "unauthorised")
            return await handler(request)

        return guard

    def refuse(self, detail: str, problem: Problem = "invalid") -> Refusal:
        """A refusal to raise."""
        return Refusal(self.problem(problem, detail))

    def permit(self, name: str) -> None:
        """Refuse an object whose scope is missing."""
        if name in self.settings.forbidden:
            raise self.refuse(name, "forbidden")

    def parameters(self, request: Request, known: Collection[str]) -> dict[str, str]:
        """The query's parameters; one that the vendor does not document is refused."""
        for name in request.query_params:
            if name not in known:
                raise self.refuse(f"unknown parameter '{name}'")
        return dict(request.query_params)

    def whole(self, parameters: dict[str, str], name: str, default: int, most: int) -> int:
        """A parameter between 1 and `most`."""
        text = parameters.get(name, str(default))
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise self.refuse(f"'{name}' must be a whole number between 1 and {most}, not '{text}'")
        return int(text)

    def instant(self, text: str, name: str) -> datetime:
        """A time with a zone, as ISO 8601 writes it."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self.refuse(f"'{name}' is no time: '{text}'") from None
        if moment.tzinfo is None:
            raise self.refuse(f"'{name}' has no time zone: '{text}'")
        return moment


async def form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded body, as token endpoints take them."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    return dict(parse_qsl((await request.body()).decode()))


def milliseconds(moment: datetime) -> str:
    """`2025-01-01T00:00:00.000Z`."""
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def seconds(moment: datetime) -> str:
    """`2025-01-01T00:00:00Z`."""
    return moment.isoformat(timespec="seconds")[:-6] + "Z"

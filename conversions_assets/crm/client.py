"""HTTP as all CRMs need it: retries, one refresh of the token, and refusals in one sentence."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session


class CrmError(Exception):
    """The CRM refused or cannot be reached; the message says what to do, and holds no secret and no value."""


class CrmBudgetError(CrmError):
    """The day's budget of calls is spent: try again when it is renewed."""


@dataclass(frozen=True)
class Patience:
    """How long to try: `attempts` calls, the n-th after `backoff * 2**n` seconds unless the CRM names a time."""

    attempts: int = 6
    backoff: float = 1.0
    longest: float = 60.0


class Token(ABC):
    """An access token that can be renewed."""

    @abstractmethod
    def value(self, renew: bool) -> str:
        """The token; a new one with `renew`, the same one where the CRM gives no other.

        Raises:
            CrmError: the CRM does not give one.
        """

    def header(self, renew: bool) -> tuple[str, str]:
        """Name and value of the header that carries it."""
        return "Authorization", f"Bearer {self.value(renew)}"


@dataclass(frozen=True)
class StaticToken(Token):
    """A token that a person made, such as HubSpot's of a private app; `own_header` where the vendor has one for it."""

    text: str
    own_header: str | None = None

    def value(self, renew: bool) -> str:
        """The token itself."""
        return self.text

    def header(self, renew: bool) -> tuple[str, str]:
        """The vendor's own header, or the usual one."""
        return (self.own_header, self.text) if self.own_header else super().header(renew)


class GrantedToken(Token):
    """OAuth 2: an access token that a token endpoint grants for a form.

    Args:
        url: of the token endpoint.
        form: `grant_type` and what it takes.
        title: the vendor's name, for the refusal.
        basic: the client's id and secret, where they stand in a Basic header and not in the form.
    """

    def __init__(
        self,
        url: str,
        form: Mapping[str, str],
        title: str,
        session: "Session | None" = None,
        basic: tuple[str, str] | None = None,
    ) -> None:
        self._url, self._form, self._title, self._session, self._basic = url, dict(form), title, session, basic
        self._text = ""

    def value(self, renew: bool) -> str:
        """The last token, or a new one."""
        if renew or not self._text:
            response = anonymous(self._url, self._form, self._session, self._basic)
            if not response.ok:
                _refuse_a_website(response)
                raise CrmError(
                    f"{self._title} refuses the grant of a token ({response.status_code}): check the secrets in the "
                    "environment, and that the app is allowed this grant"
                )
            self._text = str(_object(response).get("access_token", ""))
        return self._text


class Client:
    """Calls to one CRM.

    Args:
        base_url: without a slash at the end.
        token: put into each call; renewed once when the CRM answers 401.
        explain: the error to raise for a refusal.
        spent: whether a refusal says that the day's budget is spent, which no waiting helps.
        session: a session to send with, for tests.
    """

    def __init__(
        self,
        base_url: str,
        token: Token,
        explain: Callable[["Response"], CrmError],
        spent: Callable[["Response"], bool],
        patience: Patience,
        session: "Session | None" = None,
    ) -> None:
        from dlt.sources.helpers.rest_client.client import RESTClient
        from requests import ConnectionError, Timeout
        from requests.exceptions import ChunkedEncodingError
        from tenacity import Retrying, retry_any, retry_if_exception_type, retry_if_result, stop_after_attempt

        self._token, self._explain, self._spent, self._patience = token, explain, spent, patience
        self._rest = RESTClient(base_url, session=session or _session())
        self._unreachable = (ConnectionError, Timeout, ChunkedEncodingError)
        self._retrying = Retrying(
            stop=stop_after_attempt(patience.attempts),
            retry=retry_any(retry_if_exception_type(self._unreachable), retry_if_result(self._passing)),
            wait=self._wait,
            reraise=True,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )

    def call(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        """Send a call and return its JSON object.

        Raises:
            CrmBudgetError: the day's budget is spent.
            CrmError: any other refusal, after all attempts.
        """
        return _object(self.response(method, path, **sent))

    def response(self, method: str, path: str, **sent: Any) -> "Response":
        """Send a call and return its answer, which is no refusal."""
        response = self._send(method, path, self._token.header(renew=False), sent)
        if response.status_code == 401:
            response = self._send(method, path, self._token.header(renew=True), sent)
        if not response.ok:
            _refuse_a_website(response)
            raise self._explain(response)
        return response

    def pause(self, attempt: int) -> None:
        """Wait for what the CRM is still busy with, as before the next attempt of a call; the first one is 1."""
        time.sleep(self._pause(attempt))

    def _send(self, method: str, path: str, header: tuple[str, str], sent: dict[str, Any]) -> "Response":
        auth = _with_header(*header)
        try:
            response: Response = self._retrying(self._rest.request, path, method=method, auth=auth, **sent)
        except self._unreachable as error:
            raise CrmError(
                f"{self._rest.base_url} does not answer ({type(error).__name__}): check the address"
            ) from None
        return response

    def _passing(self, response: "Response") -> bool:
        """Whether a refusal may pass if one waits."""
        return response.status_code >= 500 or (response.status_code == 429 and not self._spent(response))

    def _wait(self, state: Any) -> float:
        response = None if state.outcome.failed else state.outcome.result()
        named = response.headers.get("Retry-After", "") if response is not None else ""
        if named.isdecimal():
            return min(float(named), self._patience.longest)
        return self._pause(state.attempt_number)

    def _pause(self, attempt: int) -> float:
        return float(min(self._patience.backoff * 2 ** (attempt - 1), self._patience.longest))


def anonymous(
    url: str, form: dict[str, str], session: "Session | None" = None, basic: tuple[str, str] | None = None
) -> "Response":
    """Post a form without a token, as token endpoints want it.

    Raises:
        CrmError: the CRM does not answer.
    """
    from requests import RequestException

    try:
        response: Response = (session or _session()).post(url, data=form, auth=basic)
    except RequestException as error:
        raise CrmError(f"{_origin(url)} does not answer ({type(error).__name__}): check the address") from None
    return response


def _refuse_a_website(response: "Response") -> None:
    """A CRM says in JSON what it does not know."""
    if response.status_code == 404 and _json(response) is None:
        raise CrmError(f"{_origin(response.url)} has no page that a CRM has (404): check the address")


def _json(response: "Response") -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _object(response: "Response") -> dict[str, Any]:
    answer = _json(response)
    if not isinstance(answer, dict):
        raise CrmError(f"{_origin(response.url)} answers with something that is no JSON object: check the address")
    return answer


def _origin(url: str) -> str:
    """Scheme and host: paths may name a tenant."""
    return "/".join(url.split("/")[:3])


def _session() -> "Session":
    from dlt.sources.helpers.requests.session import Session

    session: Session = Session(raise_for_status=False)
    return session


def _with_header(name: str, value: str) -> Any:
    from requests.auth import AuthBase

    class Header(AuthBase):
        """The token goes into the header when a call is sent, and is part of no log."""

        def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
            request.headers[name] = value
            return request

    return Header()

"""The fake CRM behind a requests session, in the same process."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import requests
from requests.adapters import BaseAdapter
from requests.exceptions import ChunkedEncodingError
from requests.structures import CaseInsensitiveDict

from conversions_assets.demo.fake_crm.app import FakeCrm

ORIGIN = "http://crm.example"


class _Adapter(BaseAdapter):
    def __init__(self, fake: FakeCrm) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(fake), base_url=ORIGIN)

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        body = request.body.encode() if isinstance(request.body, str) else request.body
        headers: Mapping[str, Any] = request.headers
        sent = self._client.request(request.method or "GET", request.url or "", content=body, headers=dict(headers))
        answer = self._runner.run(sent)
        if len(answer.content) != int(answer.headers.get("Content-Length", len(answer.content))):
            raise ChunkedEncodingError("the body ended early")
        response = requests.Response()
        response.status_code, response._content = answer.status_code, answer.content
        response.headers = CaseInsensitiveDict(answer.headers)
        response.request, response.url = request, str(request.url)
        return response

    def close(self) -> None:
        self._runner.close()


class _Elsewhere(BaseAdapter):
    """Answers every call alike, or not at all; counts the calls."""

    def __init__(self, status: int | None, content: bytes = b"") -> None:
        super().__init__()
        self.status, self.content, self.calls = status, content, 0

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        self.calls += 1
        if self.status is None:
            raise requests.ConnectionError("Name or service not known")
        response = requests.Response()
        response.status_code, response._content = self.status, self.content
        response.request, response.url = request, str(request.url)
        return response

    def close(self) -> None:
        """Nothing is open."""


def elsewhere(status: int | None, content: bytes = b"") -> tuple[requests.Session, _Elsewhere]:
    """A session in which ORIGIN is not the CRM: it gives this answer, or without a status none."""
    made, adapter = requests.Session(), _Elsewhere(status, content)
    made.adapters.clear()
    made.mount(ORIGIN, adapter)
    return made, adapter


def session(fake: FakeCrm) -> requests.Session:
    """A session that reaches the fake at ORIGIN, and nothing else."""
    made = requests.Session()
    made.adapters.clear()
    made.mount(ORIGIN, _Adapter(fake))
    return made

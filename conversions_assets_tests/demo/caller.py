"""Calls to the fake CRM in the same process: no socket, no thread."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx

from conversions_assets.demo.fake_crm.app import FakeCrm

ORIGIN = "http://crm.example"


class Caller:
    """A client of one CRM of the fake, with its token, and of the controls."""

    def __init__(self, fake: FakeCrm, crm: str) -> None:
        self.fake, self.world, self.crm = fake, fake.world, crm
        self.credentials = fake.dialects[crm].credentials
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(fake), base_url=ORIGIN)
        self.token = self.credentials.get("token", "")
        self.headers = {"x-api-token": self.token} if crm == "pipedrive" else {}

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def call(self, method: str, url: str, **sent: Any) -> httpx.Response:
        """A call with the token, which a header of one's own replaces."""
        headers = {**(self.headers or {"Authorization": f"Bearer {self.token}"}), **sent.pop("headers", {})}
        return self._runner.run(self._client.request(method, url, headers=headers, **sent))

    def get(self, url: str, headers: dict[str, str] | None = None, **parameters: Any) -> Any:
        """The JSON of a call that must succeed."""
        response = self.call("GET", url, headers=headers or {}, **({"params": parameters} if parameters else {}))
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, url: str, body: Any) -> Any:
        response = self.call("POST", url, json=body)
        assert response.status_code < 300, response.text
        return response.json()

    def refused(self, method: str, url: str, **sent: Any) -> tuple[int, str]:
        """Status and text of a call that must fail."""
        response = self.call(method, url, **sent)
        assert response.status_code >= 400, response.text
        return response.status_code, response.text

    def events(self, *events: dict[str, Any]) -> list[Any]:
        return self.world.apply(events)

    def create(self, kind: str, **fields: Any) -> int:
        [number] = self.world.apply([{"op": "create", "kind": kind, "fields": fields}])
        assert number is not None
        return number

    def fault(self, fault: str, **more: Any) -> None:
        self.post("/fake/faults", [{"crm": self.crm, "fault": fault, **more}])

    def later(self, **span: int) -> None:
        """Move the clock on."""
        self.world.move_clock(self.world.now + timedelta(**span))

    def truth(self, name: str) -> list[dict[str, Any]]:
        response = self.call("GET", f"/fake/truth/{self.crm}/{name}")
        return [json.loads(line) for line in response.text.splitlines()]

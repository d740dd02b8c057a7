"""Which methods of BigQuery's API the code calls while tests run: docs/deploy.md lists them with their permissions."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.auth.transport.requests import AuthorizedSession

from conversions_assets.project import PACKAGE

PAGE = PACKAGE.parent / "docs" / "deploy.md"
TESTS = Path(__file__).parents[1]
WAITING = "query_and_wait"
HANDED_ON = ("query", "_done", "still_running", WAITING)
"""Functions of the tests that hand on what the code asks for; the emulator lacks `jobs.query`, for which one stands."""
DATASET, TABLE = r"/datasets/[^/]+", r"/tables/[^/]+"
# https://cloud.google.com/bigquery/docs/reference/rest
METHODS = (
    ("(POST|PUT)", "/jobs", "jobs.insert"),
    ("GET", "/jobs/[^/]+", "jobs.get"),
    ("POST", "/queries", "jobs.query"),
    ("GET", "/queries/[^/]+", "jobs.getQueryResults"),
    ("GET", DATASET, "datasets.get"),
    ("POST", "/datasets", "datasets.insert"),
    ("DELETE", DATASET, "datasets.delete"),
    ("GET", f"{DATASET}/tables", "tables.list"),
    ("POST", f"{DATASET}/tables", "tables.insert"),
    ("GET", f"{DATASET}{TABLE}", "tables.get"),
    ("PATCH", f"{DATASET}{TABLE}", "tables.patch"),
    ("PUT", f"{DATASET}{TABLE}", "tables.update"),
    ("DELETE", f"{DATASET}{TABLE}", "tables.delete"),
    ("GET", f"{DATASET}{TABLE}/data", "tabledata.list"),
)


def api_method(verb: str, address: str) -> str:
    """The method of the API that a request calls, such as `jobs.insert`; the request itself where none is known."""
    path = re.sub(r"^(/upload|/resumable/upload)?/bigquery/v2/projects/[^/]+", "", urlsplit(address).path)
    for verbs, pattern, name in METHODS:
        if re.fullmatch(verbs, verb) and re.fullmatch(pattern, path):
            return name
    return f"{verb} {path}"


@contextmanager
def called_methods() -> Iterator[Counter[str]]:
    """How often each method is called by the package or dlt; what tests and the emulator's client need is left out."""
    called = Counter[str]()
    send = AuthorizedSession.request

    def request(session: AuthorizedSession, method: str, url: str, *args: Any, **options: Any) -> Any:
        if caller := _caller():
            called["jobs.query" if caller == WAITING else api_method(method, url)] += 1
        return send(session, method, url, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AuthorizedSession, "request", request)
        yield called


def listed_methods() -> dict[str, set[str]]:
    """The methods that the page lists, with the permissions beside them."""
    rows = re.findall(r"^\| `bigquery\.([a-z]+\.[a-zA-Z]+)` \|(.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: set(re.findall(r"`(bigquery\.[a-z]+\.[a-zA-Z]+)`", rest)) for name, rest in rows}


def refuse_unlisted(called: Iterable[str]) -> None:
    """The page lists what was called.

    Raises:
        AssertionError: it names the methods that the page lacks.
    """
    missing = sorted(set(called) - set(listed_methods()))
    assert not missing, f"{PAGE.name} lacks methods of BigQuery's API that the code calls: {', '.join(missing)}"


def _caller() -> str:
    """The function that hands on a request of the package or of dlt; '' where it is another's: a test, the emulator."""
    frame, handed_on = sys._getframe(2), "client"
    while frame is not None:
        path, name = Path(frame.f_code.co_filename), frame.f_code.co_name
        if path.is_relative_to(TESTS):
            if name not in HANDED_ON:
                return ""
            handed_on = name
        elif path.is_relative_to(PACKAGE) or "dlt" in path.parts:
            return handed_on
        frame = frame.f_back  # type: ignore[assignment]
    return ""

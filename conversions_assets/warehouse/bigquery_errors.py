"""What BigQuery complains of: what may be tried again, and the rest in a sentence with what to do.

https://cloud.google.com/bigquery/docs/error-messages
"""

import re
from typing import Any

from conversions_assets.warehouse.base import WarehouseConflictError, WarehouseError, WarehouseFaultError
from conversions_assets.warehouse.errors import causes

REASONS = frozenset({"backendError", "internalError", "jobBackendError", "jobInternalError"}) | frozenset(
    {"rateLimitExceeded", "jobRateLimitExceeded"}
)
"""Reasons of a request or job that the same request may get past."""
CODES = frozenset({500, 502, 503, 504})
CONFLICT = re.compile("due to concurrent update", re.IGNORECASE)
_PLACE = re.compile(r" at \[\d+:\d+\]")
_VALUE = re.compile(r"[\"'].*[\"']", re.DOTALL)
_NUMBER = re.compile(r"(?<![A-Za-z0-9])[-+]?\d[\d.]*(?:[eE][-+]?\d+)?")
# What contract/stage.py finds at its place in the user's SQL is said in the words of the other engine.
_MISSING = (
    (re.compile(r"Not found: Table [^\s:.]+[:.](?P<name>\S+)"), "Table with name {name} does not exist"),
    (re.compile(r"Not found: Dataset [^\s:.]+[:.](?P<name>\S+)"), "Schema with name {name} does not exist"),
    (re.compile(r"Unrecognized name: `?(?P<name>\w+)`?"), 'Referenced column "{name}" not found'),
    (re.compile(r"Name (?P<name>\w+) not found inside"), 'Referenced column "{name}" not found'),
    (re.compile(r"Function not found: `?(?P<name>[\w.]+)`?"), "Scalar Function with name {name} does not exist"),
)
_NEAR = re.compile(r"Did you mean [^?]+\?")
# Reason of the error, words of its message -> a fault of the warehouse, what to do.
_ADVICE: tuple[tuple[str, str, bool, str], ...] = (
    (
        "accessDenied",
        "bigquery.jobs.create",
        True,
        "the service account may not run jobs in the project: give it the role BigQuery Job User there",
    ),
    (
        "accessDenied",
        "perhaps it does not exist",
        False,
        "a table is not there, or the service account may not read it: correct its name, or give the account the role "
        "BigQuery Data Viewer on the dataset",
    ),
    (
        "accessDenied",
        "",
        True,
        "the service account may not do this: it needs BigQuery Data Viewer on the datasets that it reads, and "
        "BigQuery Data Editor on those that it writes",
    ),
    ("", "not enabled BigQuery|API has not been used", True, "BigQuery is not enabled in the project: enable its API"),
    ("", "Not found: Project|Unknown project|Invalid project", True, "there is no such project: correct GCP_PROJECT"),
    (
        "",
        "different locations|Dataset .* was not found in location",
        False,
        "the dataset lies in another location or is missing: correct BIGQUERY_LOCATION, or make the dataset there",
    ),
    (
        "",
        "without a filter over column",
        False,
        "the table needs a filter on its partition column: add it to WHERE, and declare it as partition_column",
    ),
    (
        "bytesBilledLimitExceeded",
        "",
        False,
        "the query reads more bytes than the limit allows: filter by the partition column, or raise "
        "maximum_bytes_billed",
    ),
    (
        "",
        "limit for bytes billed",
        False,
        "the query reads more bytes than the limit allows: filter by the partition "
        "column, or raise maximum_bytes_billed",
    ),
    ("quotaExceeded", "", True, "a quota of the project is used up: wait until it is filled again, or raise it"),
    (
        "rateLimitExceeded",
        "",
        True,
        "BigQuery takes no more requests at once, also after waiting: run this again later",
    ),
    ("resourcesExceeded", "", False, "the query needs more memory than a slot has: read fewer days or fewer columns"),
    ("", "[Ss]ession .*(not found|expired|terminated|aborted)", True, "the session is gone: run this again"),
)


class TransientJobError(Exception):
    """A job failed, and the same job may succeed. Nothing of it is done."""


def reason_of(error: BaseException) -> str:
    """The reason that the API gives, such as 'backendError'; '' where it gives none."""
    errors = getattr(error, "errors", None) or [{}]
    return str(errors[0].get("reason", "")) if isinstance(errors[0], dict) else ""


def message_of(error: BaseException) -> str:
    """What the API says, without the request's address."""
    errors = getattr(error, "errors", None) or [{}]
    said = errors[0].get("message") if isinstance(errors[0], dict) else None
    return str(said or getattr(error, "message", error))


def may_be_sent_again(error: BaseException) -> bool:
    """Whether a request failed in a way that BigQuery says to try again. Requests of ours can be sent twice."""
    import requests.exceptions
    from google.auth.exceptions import TransportError

    if isinstance(error, requests.exceptions.SSLError):
        return False
    if isinstance(error, TransportError | requests.exceptions.ConnectionError | requests.exceptions.Timeout):
        return True
    return reason_of(error) in REASONS or getattr(error, "code", None) in CODES


def may_run_again(result: "dict[str, Any]") -> bool:
    """Whether a job that is done failed in a way that BigQuery says to try again, by its `errorResult`."""
    return result.get("reason") in REASONS or CONFLICT.search(str(result.get("message"))) is not None


def refused(reason: str, message: str) -> WarehouseError:
    """The error for a reason and a message of the API: one sentence, without values of rows."""
    if CONFLICT.search(message):
        return WarehouseConflictError("Another run writes the same table again and again. Run this again later.")
    for wanted, words, is_fault, advice in _ADVICE:
        if wanted in ("", reason) and re.search(words, message):
            kind = WarehouseFaultError if is_fault else WarehouseError
            return kind(f"BigQuery refuses it ({reason or 'no reason given'}): {advice}. {_missing(message)}".strip())
    return WarehouseError(_missing(message) or _without_values(message))


def told(error: BaseException) -> WarehouseError | None:
    """What BigQuery said, where that stands behind the error of a library; None where BigQuery is not to blame."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError

    for cause in causes(error):
        if isinstance(cause, GoogleAPICallError):
            return refused(reason_of(cause), message_of(cause))
        if isinstance(cause, DefaultCredentialsError | RefreshError):
            return no_credentials()
        if isinstance(cause, RetryError | GoogleAuthError):
            return unreachable(cause.cause if isinstance(cause, RetryError) else cause)
    return None


def no_credentials() -> WarehouseError:
    """The error where nothing tells Google who asks."""
    return WarehouseFaultError(
        "There are no credentials for Google Cloud: run `gcloud auth application-default login`, or let "
        "GOOGLE_APPLICATION_CREDENTIALS name the key file of a service account."
    )


def unreachable(error: BaseException) -> WarehouseError:
    """The error where no answer came, also after waiting."""
    return WarehouseFaultError(
        f"BigQuery does not answer ({type(error).__name__}): look at the network and https://status.cloud.google.com, "
        "then run this again."
    )


def _missing(message: str) -> str:
    for pattern, words in _MISSING:
        found = pattern.search(message)
        if found:
            near = _NEAR.search(message)
            return words.format(name=found["name"].rstrip(".;")) + (f". {near[0]}" if near else "")
    return ""


def _without_values(message: str) -> str:
    # A complaint with a place in the SQL came up before a row was read, so it is shown as it is.
    first = message.strip().split("\n")[0].split("; reason: ")[0]
    if _PLACE.search(first):
        return _PLACE.sub("", first)
    return _NUMBER.sub("…", _VALUE.sub("'…'", first))

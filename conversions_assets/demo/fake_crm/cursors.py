"""Opaque cursors: a client can hand one back, and nothing else; one that it made or changed is refused."""

import base64
import binascii
import hashlib
import hmac
import json
from typing import Any

_KEY = b"the fake CRM's cursors"
_MARK = 6


def seal(*position: Any) -> str:
    """A cursor for a position of JSON values."""
    text = json.dumps(position).encode()
    return base64.urlsafe_b64encode(_mark(text) + text).decode().rstrip("=")


def unseal(cursor: str) -> list[Any]:
    """The position of a cursor.

    Raises:
        ValueError: it is none of ours.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except binascii.Error as error:
        raise ValueError("no cursor") from error
    mark, text = raw[:_MARK], raw[_MARK:]
    if not hmac.compare_digest(mark, _mark(text)):
        raise ValueError("no cursor")
    position: list[Any] = json.loads(text)
    return position


def _mark(text: bytes) -> bytes:
    return hmac.digest(_KEY, text, hashlib.sha256)[:_MARK]

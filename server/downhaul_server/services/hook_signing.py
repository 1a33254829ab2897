"""Signatures of webhooks, as https://www.standardwebhooks.com says (specification 1.0)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any

PREFIX = "whsec_"
VERSION = "v1"

Secrets = Mapping[str, Any]
"""`{made: ms, secrets: [{secret, until: ms or None}]}`, the newest first; times by the clock of Redis."""


def secret_of(seed: bytes) -> str:
    """The secret for 32 secret bytes."""
    return PREFIX + base64.b64encode(seed).decode("ascii")


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64>`: HMAC-SHA256 of `id.timestamp.body` with the bytes that the secret stands for."""
    key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"{VERSION},{base64.b64encode(digest).decode('ascii')}"


def headers(secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers; one signature for each secret that is alive."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, message_id, timestamp, body) for secret in secrets),
    }


def first(secret: str, at_ms: int) -> Secrets:
    """The secrets of a new hook."""
    return {"made": at_ms, "secrets": [{"secret": secret, "until": None}]}


def rotated(before: Secrets | None, secret: str, at_ms: int, overlap_ms: int) -> Secrets:
    """A new secret; the one before signs beside it until the overlap is over. None is older than that."""
    standing = [each for each in (before or {}).get("secrets", ()) if each["secret"] != secret][:1]
    ending = [{"secret": each["secret"], "until": at_ms + overlap_ms} for each in standing if overlap_ms]
    return {"made": at_ms, "secrets": [{"secret": secret, "until": None}, *ending]}


def alive(secrets: Secrets | None, at_ms: int) -> list[str]:
    """Those that sign now, the newest first."""
    found = (secrets or {}).get("secrets", ())
    return [each["secret"] for each in found if each["until"] is None or each["until"] > at_ms]

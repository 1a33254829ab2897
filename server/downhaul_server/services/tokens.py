"""The tokens themselves: `dh_<kind>_<random>_<checksum>`, shown once and stored as a hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_LENGTH = 43
"""Digits of base 62 for 256 bits. Only letters and digits, so that a double click selects all of it."""
TOKEN = re.compile(rf"(?P<body>dh_(?:sdk|client|api|kill)_[0-9A-Za-z]{{{RANDOM_LENGTH}}})_(?P<checksum>[0-9a-f]{{8}})")


def make(kind: str, seed: bytes) -> str:
    """The token of this kind (`sdk`, `client`, `api`, or `kill` for a kill link) for a seed of 32 secret bytes."""
    number = int.from_bytes(seed, "big")
    digits = []
    for _ in range(RANDOM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    body = f"dh_{kind}_{''.join(digits)}"
    return f"{body}_{_checksum(body)}"


def is_whole(token: str) -> bool:
    """Whether it looks like one of ours and its checksum is right: a mistyped token costs no look-up."""
    found = TOKEN.fullmatch(token)
    return found is not None and _checksum(found["body"]) == found["checksum"]


def same(one: str, other: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def digest(token: str) -> str:
    """What is stored. The token has 256 random bits, so nothing slower than SHA-256 is needed."""
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


def secret_of(token: str) -> bytes:
    """A secret of the token's holder; the token cannot be told from it."""
    return hmac.digest(token.encode("utf-8"), b"downhaul: the secret of an actor", "sha256")


def seed(secret: bytes | None, operation: str | None, nonce: str) -> bytes:
    """32 bytes for a new token: derived, where a repeated request must be answered with the same token again.

    The nonce lies in the store for as long as the operation is remembered, the secret nowhere; neither is enough.
    """
    if secret is None or operation is None:
        return secrets.token_bytes(32)
    return hmac.digest(secret, f"{operation}:{nonce}".encode(), "sha256")


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode('ascii')):08x}"

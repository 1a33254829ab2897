"""Keys, names and addresses: `new-checkout`, `checkout/new-checkout`, `flag/checkout/new-checkout`."""

from __future__ import annotations

import re
from types import MappingProxyType

from downhaul_server.services.errors import Invalid

SERVICE_KEY = r"[a-z0-9][a-z0-9-]{0,62}"
ENVIRONMENT_KEY = SERVICE_KEY
FLAG_KEY = r"[a-z0-9][a-z0-9._-]{0,99}"
SEGMENT_KEY = FLAG_KEY
FLAG_NAME = rf"({SERVICE_KEY}/)?{FLAG_KEY}"
"""As `requires` and the selectors name a flag: `key`, or `service/key`."""

_PATTERNS = MappingProxyType(
    {"service": SERVICE_KEY, "environment": ENVIRONMENT_KEY, "flag": FLAG_KEY, "segment": SEGMENT_KEY}
)


def address(kind: str, *keys: str) -> str:
    """Where a document lies in the store: `flag/checkout/new-checkout`."""
    return "/".join((kind, *keys))


def parts(address: str) -> tuple[str, str | None, str]:
    """An address taken apart: kind, service (flags only), key."""
    kind, _, rest = address.partition("/")
    service, _, key = rest.rpartition("/")
    return kind, service or None, key


def flag_name(service: str, flag: str) -> str:
    """The name by which other services know a flag."""
    return f"{service}/{flag}"


def resolve(name: str, service: str) -> tuple[str, str]:
    """Service and key of a flag that is named inside a document of `service`."""
    other, slash, key = name.rpartition("/")
    return (other, key) if slash else (service, key)


def check_key(kind: str, key: object) -> str:
    """The key for a new document. Raises Invalid at `key`: a key that came in a URL was seen by no schema."""
    pattern = _PATTERNS[kind]
    if not isinstance(key, str) or re.fullmatch(pattern, key) is None:
        raise Invalid.at("key", message=f"expected a key that matches {pattern}")
    return key

"""What DOWNHAUL_REDIS_URL may say: one Redis, one that Sentinels look after, or a Cluster. The only reader of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.connection import parse_url

EXPECTED = (
    "expected redis://host:port/0, rediss:// (TLS), unix:///path/to/socket, redis+sentinel://host:port,host:port/name "
    "or redis+cluster://host:port,host:port (rediss+... with TLS)"
)
SENTINEL_PORT, REDIS_PORT = 26379, 6379
LOGIN_OF_SENTINELS = {"sentinel_username": "username", "sentinel_password": "password"}
"""Options of a URL -> what redis-py calls them: Sentinels have accounts of their own."""
HOST = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\s\[\]/,@]+))(?::([0-9]{1,5}))?")

Address = tuple[str, int]


class Kind(Enum):
    """Who says which Redis it is."""

    SINGLE = "single"
    """The URL itself."""
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A URL, taken apart."""

    kind: Kind
    options: dict[str, Any] = field(repr=False)
    """What redis-py's connections take: login, database, TLS; of a single Redis its host and port, or its path too."""
    hosts: tuple[Address, ...] = ()
    """Sentinels, or nodes of the Cluster."""
    name: str = ""
    """What the Sentinels call the primary."""
    sentinel_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Login and TLS of the Sentinels."""


def read(url: str) -> RedisAddress:
    """Raises ValueError, which says what was expected and repeats no more of the URL than its scheme."""
    parts = _split(url)
    scheme, _, kind = parts.scheme.partition("+")
    if (scheme, kind) not in {
        ("redis", ""),
        ("rediss", ""),
        ("unix", ""),
        *((tls, each) for tls in ("redis", "rediss") for each in ("sentinel", "cluster")),
    }:
        raise ValueError(f"{EXPECTED}, not a URL with scheme {parts.scheme!r}")
    if not kind:
        return _single(url)
    login, _, hosts = parts.netloc.rpartition("@")
    found = _hosts(hosts, SENTINEL_PORT if kind == "sentinel" else REDIS_PORT)
    query = dict(parse_qsl(parts.query))
    of_sentinels = {LOGIN_OF_SENTINELS[name]: query.pop(name) for name in LOGIN_OF_SENTINELS if name in query}
    name, _, database = parts.path.strip("/").partition("/")
    if kind == "cluster":
        name, database = "", name
        if database not in ("", "0"):
            raise ValueError(f"{EXPECTED}: a Cluster has no database but 0")
    elif not name:
        raise ValueError(f"{EXPECTED}, the URL does not say what the Sentinels call the primary")
    options = _options(f"{scheme}://{login and login + '@'}redis/{database or '0'}?{urlencode(query)}")
    for made in ("host", "port"):
        options.pop(made, None)
    tls = {key: value for key, value in options.items() if key.startswith("ssl") or key == "connection_class"}
    return RedisAddress(Kind(kind), options, found, unquote(name), tls | of_sentinels)


def _single(url: str) -> RedisAddress:
    parts = _split(url)
    if not (parts.path if parts.scheme == "unix" else parts.hostname):
        raise ValueError(f"{EXPECTED}, the URL names no {'socket' if parts.scheme == 'unix' else 'host'}")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(f"{EXPECTED}, the URL's port is no number up to 65535") from None
    return RedisAddress(Kind.SINGLE, _options(url))


def _split(url: str) -> Any:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError(f"{EXPECTED}, the URL's host is none") from None


def _options(url: str) -> dict[str, Any]:
    try:
        return dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError as error:
        # redis-py names the option that it could not read, and not its value.
        raise ValueError(f"{EXPECTED}: {error}") from None


def _hosts(text: str, port: int) -> tuple[Address, ...]:
    found = [HOST.fullmatch(part.strip()) for part in text.split(",")]
    if not all(found):
        raise ValueError(f"{EXPECTED}, the URL names no host, or one that is none")
    hosts = tuple((match[1] or match[2], int(match[3] or port)) for match in found if match)
    if any(number > 65535 for _, number in hosts):
        raise ValueError(f"{EXPECTED}, the URL's port is no number up to 65535")
    return hosts

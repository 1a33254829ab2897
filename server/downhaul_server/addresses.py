"""Where a request came from: the socket's other end, or whom a trusted proxy says that it speaks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Network = IPv4Network | IPv6Network

MOST_HOPS = 16
"""No chain of proxies is longer; what a client makes up beyond is not looked at."""
WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")
"""As some proxies write it: `[::1]:443`, `192.0.2.7:443`."""


def client_address(environ: Mapping[str, Any], trusted: Sequence[Network]) -> str | None:
    """The address of a WSGI request's client; None where the socket has none (a Unix socket).

    Where the socket's other end is a `trusted` proxy, `X-Forwarded-For` is read from its right end: each proxy has
    added whom it was asked by, so the first address that is not a trusted proxy's is the client's. What stands left of
    it is what the client has made up. Where it is no address, the proxy that wrote it is all that is known.
    """
    peer: str | None = environ.get("REMOTE_ADDR") or None
    if not trusted or peer is None:
        return peer
    nearest = _parsed(peer)
    if nearest is None or not _within(nearest, trusted):
        return peer
    for hop in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
        found = _parsed(hop)
        if found is None:
            break
        nearest = found
        if not _within(found, trusted):
            break
    return str(nearest)


def neighbourhood(address: str | None) -> str | None:
    """Whom one client can pretend to be: of an IPv6 address the /64, which is what one customer is given."""
    parsed = _parsed(address or "")
    if not isinstance(parsed, IPv6Address):
        return address
    return str(IPv6Network((int(parsed), 64), strict=False))


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """The address; one of IPv4 also where it comes in the clothes of IPv6."""
    text = text.strip()
    if found := WITH_PORT.fullmatch(text):
        text = found[1] or found[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            address = IPv6Address(int(address))  # which interface it came by is nobody's address
        return address.ipv4_mapped or address
    return address


def _within(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)

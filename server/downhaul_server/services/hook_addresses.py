"""Where webhooks may go: public addresses, and those that the operator allows."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from downhaul_server.settings import Network

Address = IPv4Address | IPv6Address

_NAT64 = ip_network("64:ff9b::/96")
_NEVER_PUBLIC = tuple(
    ip_network(text)
    for text in (
        # What Python's `is_global` does not exclude in every release that we run on.
        *("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4"),
        # Compatible and translated addresses, Teredo and 6to4: each leads to an IPv4 address that nobody has looked at.
        *("::/96", "64:ff9b:1::/48", "2001::/23", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
)


def parsed(text: str) -> Address:
    """An address as the resolver gives it; an IPv4 address in an IPv6 one is what it stands for. Raises ValueError."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether it is somebody's on the Internet: not private, loopback, link-local, multicast, shared, documentation."""
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    return not any(address in network for network in _NEVER_PUBLIC if network.version == address.version)


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether the operator allows it by name."""
    return any(address in network for network in allowed if network.version == address.version)

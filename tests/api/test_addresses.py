"""Where a request came from, as the log keeps it: nobody can choose it who is not trusted to say it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from downhaul_server.addresses import MOST_HOPS, client_address
from support.api import FLAG, Client, open_client, settle
from support.redis import FakeRedis

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def address(peer: str | None, forwarded: str | None = None) -> str | None:
    environ = {"REMOTE_ADDR": peer} | ({} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded})
    return client_address(environ, PROXIES)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "192.0.2.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "192.0.2.1, 198.51.100.7, 10.9.9.9", "198.51.100.7"),
        ("10.0.0.1", "10.9.9.9, 10.8.8.8", "10.9.9.9"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::7]:443", "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        ("10.0.0.1", "2001:DB8:0:0::7", "2001:db8::7"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("2001:db8::9", "198.51.100.7", "2001:db8::9"),
        (None, "198.51.100.7", None),
        ("", "198.51.100.7", None),
    ],
)
def test_the_nearest_that_is_no_trusted_proxy(peer: str | None, forwarded: str | None, expected: str | None) -> None:
    assert address(peer, forwarded) == expected


@pytest.mark.parametrize("garbage", ["", ",", "unknown", "<script>", "dh_api_secret", "1.2.3.4.5", "1.2.3.4, unknown"])
def test_garbage_leaves_the_proxy_that_passed_it_on(garbage: str) -> None:
    assert address("10.0.0.1", garbage) == "10.0.0.1"
    assert address("10.0.0.1", f"{garbage}, 10.0.0.2") == "10.0.0.2"
    assert address("10.0.0.1", f"{garbage}, 198.51.100.7") == "198.51.100.7"


def test_a_very_long_header_is_not_read_to_its_end() -> None:
    assert address("10.0.0.1", ", ".join(["192.0.2.1"] + ["10.0.0.2"] * (MOST_HOPS + 1))) == "10.0.0.2"


def test_without_trusted_proxies_nothing_is_believed() -> None:
    assert client_address({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.1"}, ()) == "127.0.0.1"


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Client]:
    """A server that trusts the proxy on this machine."""
    with open_client(FakeRedis(), tmp_path, trusted_proxies=(ip_network("127.0.0.0/8"),)) as client:
        settle(client)
        yield client


def recorded(client: Client) -> str | None:
    found: str | None = client.store.log(limit=1)[0].actor["address"]
    return found


def test_the_log_has_the_clients_address(client: Client) -> None:
    client.post(f"{FLAG}/kill", by="operator", X_Forwarded_For="192.0.2.1")
    assert recorded(client) == "127.0.0.1"


def test_the_log_has_the_address_of_whom_the_proxy_speaks_for(behind: Client) -> None:
    behind.post(f"{FLAG}/kill", by="operator", X_Forwarded_For="192.0.2.1, 198.51.100.7")
    assert recorded(behind) == "198.51.100.7"
    behind.post(f"{FLAG}/restore", {"reason": "fixed"}, X_Forwarded_For="2001:db8::7")
    assert recorded(behind) == "2001:db8::7"

"""The proxy of the fault suite does what it says: else no fault would ever be found."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from support.proxy import DOWN, UP, Corrupt, Cut, Delay, Drip, Fault, Hold, Proxy, Reset, Silence
from support.waiting import wait_until

MESSAGE = bytes(range(256)) * 8
PATIENCE_S = 5.0


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says what it is told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    made = Proxy(echo)
    yield made
    made.close()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """Connected, and heard once."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_S) as made:
        assert said(made, b"hello") == b"hello"
        yield made


def said(client: socket.socket, message: bytes, *, least: int | None = None) -> bytes:
    """What comes back: all of it, or what there is until the end of the connection."""
    client.sendall(message)
    found = b""
    while len(found) < (len(message) if least is None else least) and (data := client.recv(1 << 16)):
        found += data
    return found


def hears_nothing(client: socket.socket) -> bool:
    client.settimeout(0.2)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE_S)
    return False


@pytest.mark.parametrize("fault", [Fault(), Delay(seconds=0.05), Drip(pause_s=0)], ids=["none", "delay", "drip"])
def test_what_is_only_slow_arrives_whole(proxy: Proxy, client: socket.socket, fault: Fault) -> None:
    proxy.set(fault)
    assert said(client, MESSAGE) == MESSAGE


def test_a_delay_delays(proxy: Proxy, client: socket.socket) -> None:
    proxy.set(Delay(seconds=0.15))
    began = time.monotonic()
    assert said(client, b"x") == b"x"
    assert time.monotonic() - began >= 0.3


def test_a_reset_ends_what_is_open_and_what_comes(proxy: Proxy, client: socket.socket) -> None:
    proxy.set(Reset())
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", proxy.port)) as other:
        other.recv(1)
    proxy.clear()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_S) as other:
        assert said(other, b"x") == b"x"


@pytest.mark.parametrize("ways", [UP, DOWN, UP | DOWN], ids=["up", "down", "both"])
def test_a_half_open_connection_stays_so(proxy: Proxy, client: socket.socket, ways: frozenset) -> None:
    proxy.set(Silence(ways=ways))
    client.sendall(b"is anybody there?")
    assert hears_nothing(client)
    proxy.clear()
    client.sendall(b"and now?")
    assert hears_nothing(client)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_S) as other:
        assert said(other, b"x") == b"x"


def test_what_was_held_arrives_afterwards(proxy: Proxy, client: socket.socket) -> None:
    proxy.set(Hold())
    client.sendall(b"first ")
    assert hears_nothing(client)
    client.sendall(b"second")
    proxy.clear()
    assert said(client, b"", least=12) == b"first second"


def test_a_cut_comes_in_the_middle(proxy: Proxy, client: socket.socket) -> None:
    proxy.set(Cut(ways=DOWN, most_bytes=100))
    found = said(client, MESSAGE)
    assert 0 < len(found) <= 100 and MESSAGE.startswith(found)


def test_corruption_changes_bytes_and_not_their_number(proxy: Proxy, client: socket.socket) -> None:
    proxy.set(Corrupt(ways=DOWN, one_in=50))
    found = said(client, MESSAGE)
    assert len(found) == len(MESSAGE) and found != MESSAGE


def test_corruption_of_a_request_leaves_no_other_text(proxy: Proxy, client: socket.socket) -> None:
    proxy.set(Corrupt(ways=UP, one_in=5))
    assert all(byte in b"0" or byte > 127 for byte in said(client, b"0" * 500))


def test_requests_are_counted_wherever_they_are_split(proxy: Proxy, client: socket.socket) -> None:
    for part in (
        b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nPOST /re",
        b"port HT",
        b"TP/1.1\r\n",
        b"\r\n{}GET /c HTTP/1.1\r\n",
    ):
        assert said(client, part) == part
    assert [path for _, path in proxy.requests] == ["/a", "/report", "/c"]
    assert len(proxy.connections) == 1


def test_the_next_server_takes_over(echo: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        closed = nobody.getsockname()[1]
    proxy = Proxy(closed, echo)
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_S) as client:
            assert said(client, b"x") == b"x"
    wait_until(lambda: proxy.open_lines() == 0, "connections end with their client")
    proxy.close()

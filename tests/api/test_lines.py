"""What is under a stream: a connection of gevent's that is written to, and watched, without waiting."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterator

import gevent
import gevent.socket
import pytest
from downhaul_server.api.lines import Line
from downhaul_server.clients import Client, Patience
from downhaul_server.services.events import Event
from downhaul_server.services.stream import Reason, why

EVENT = Event.of("change", {"revision": 1})
LARGE = Event("snapshot", b"1" * (16 << 20))
PATIENCE_S = 5.0


class Pair:
    """A connection: the server's end, and the client's."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = gevent.socket.create_connection(listener.getsockname())
            accepted, _ = listener.accept()
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        self.server = Client(family, kind, protocol, accepted.detach(), patience=Patience(answer=0.3))
        self.line = Line(self.server, chunked=True)

    def ended(self) -> Callable[[], list[OSError | None]]:
        """Watch it; gives what to ask for how it ended, within our patience."""
        ends: list[OSError | None] = []
        self.line.watch(ends.append)

        def ask() -> list[OSError | None]:
            with gevent.Timeout(PATIENCE_S, False):
                while not ends:
                    gevent.sleep(0.005)
            return ends

        return ask

    def reset(self) -> None:
        """The client's end is gone without an orderly end."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.line.release()
    pair.server.close()
    pair.client.close()


def test_what_there_is_room_for_is_sent_at_once(pair: Pair) -> None:
    assert pair.line.send_now(EVENT) is None
    assert pair.client.recv(1000) == EVENT.chunk


def test_http_1_0_gets_no_chunks(pair: Pair) -> None:
    Line(pair.server, chunked=False).send_now(EVENT)
    assert pair.client.recv(1000) == EVENT.text


def test_the_rest_is_given_back_and_can_be_sent_later(pair: Pair) -> None:
    rest = pair.line.send_now(LARGE)
    assert rest is not None and 0 < len(rest) < len(LARGE.chunk)
    reader = gevent.spawn(lambda: b"".join(iter(lambda: pair.client.recv(1 << 20), b"")))
    pair.line.send(rest)
    pair.server.close()
    assert reader.get(timeout=PATIENCE_S) == LARGE.chunk


def test_a_client_that_takes_nothing_is_not_one_that_hung_up(pair: Pair) -> None:
    with pytest.raises(TimeoutError) as caught:
        pair.line.send(LARGE)
    assert why(caught.value) is Reason.LOST


def test_a_client_that_hangs_up_while_it_is_sent_something_has_hung_up(pair: Pair) -> None:
    gevent.spawn_later(0.05, pair.reset)
    with pytest.raises(ConnectionError) as caught:
        pair.line.send(LARGE)
    assert why(caught.value) is Reason.CLIENT


def test_a_hang_up_is_noticed(pair: Pair) -> None:
    ended = pair.ended()
    pair.client.close()
    assert ended() == [None]


def test_a_reset_is_noticed_too(pair: Pair) -> None:
    ended = pair.ended()
    pair.reset()
    (error,) = ended()
    assert why(error) is Reason.CLIENT


def test_a_client_that_says_something_has_not_hung_up(pair: Pair) -> None:
    pair.line.watch(lambda error: pytest.fail("it is there"))
    pair.client.sendall(b"GET / HTTP/1.1\r\n")
    gevent.sleep(0.05)
    assert pair.server.recv(1000) == b"GET / HTTP/1.1\r\n"


def test_cutting_it_ends_what_is_being_sent(pair: Pair) -> None:
    gevent.spawn_later(0.05, pair.line.cut)
    with pytest.raises(OSError, match="closed in another greenlet"):
        pair.line.send(LARGE)
    pair.line.cut()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, Reason.CLIENT),
        (BrokenPipeError(errno.EPIPE, ""), Reason.CLIENT),
        (ConnectionResetError(errno.ECONNRESET, ""), Reason.CLIENT),
        (OSError(errno.ETIMEDOUT, ""), Reason.LOST),
        (OSError(errno.EHOSTUNREACH, ""), Reason.LOST),
        (TimeoutError("patience"), Reason.LOST),
    ],
)
def test_only_what_the_client_did_is_the_clients(error: OSError | None, reason: Reason) -> None:
    assert why(error) is reason


@pytest.mark.parametrize(
    ("protocol", "connection"),
    [("HTTP/2", gevent.socket.socket()), ("HTTP/1.1", socket.socket()), ("HTTP/1.1", None)],
)
def test_other_connections_are_left_to_whoever_holds_them(protocol: str, connection: object) -> None:
    assert Line.under({"SERVER_PROTOCOL": protocol, "gunicorn.socket": connection}) is None

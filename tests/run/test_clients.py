"""A client's connection: every wait has an end, and a request that has arrived is never cut off."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any, cast

import gevent
import pytest
from downhaul_server.clients import Client, Patience, TooSlowError
from gunicorn.http.message import Request

SHORT_S = 0.1
LONG_S = 30.0
ENOUGH = 1 << 26
"""More bytes than any socket's buffers hold."""


class FakeRequest:
    """What a connection asks of a request."""

    closes = False

    def force_close(self) -> None:
        self.closes = True


class Pair:
    """Both ends of a connection."""

    def __init__(self, patience: Patience) -> None:
        mine, self.theirs = socket.socketpair()
        self.client = Client(mine.family, mine.type, mine.proto, mine.detach(), patience=patience)

    def serve(self) -> FakeRequest:
        request = FakeRequest()
        self.client.serve(cast(Request, request))
        return request

    def reader(self) -> gevent.Greenlet[..., Any]:
        """Somebody who waits for bytes."""
        started = gevent.spawn(self.client.recv, 100)
        gevent.sleep(0)
        return started

    def close(self) -> None:
        self.client.close()
        self.theirs.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """With much patience."""
    made = Pair(Patience(idle=LONG_S, head=LONG_S, body=LONG_S, answer=LONG_S))
    yield made
    made.close()


@pytest.fixture
def hasty() -> Iterator[Pair]:
    """With little patience."""
    made = Pair(Patience(idle=SHORT_S, head=SHORT_S, body=SHORT_S, answer=SHORT_S))
    yield made
    made.close()


def test_a_client_that_asks_for_nothing_is_taken_for_gone(hasty: Pair) -> None:
    assert hasty.client.recv(100) == b""


def test_the_head_of_a_request_may_take_its_time_as_a_whole_and_no_longer(hasty: Pair) -> None:
    hasty.theirs.sendall(b"GET")
    assert hasty.client.recv(100) == b"GET"
    drip = gevent.spawn(_drip, hasty.theirs)
    with pytest.raises(TooSlowError, match="not complete within"):
        _read_on(hasty.client)
    drip.kill()


def test_the_body_of_a_request_likewise_and_its_answer_is_the_last_one(hasty: Pair) -> None:
    request = hasty.serve()
    drip = gevent.spawn(_drip, hasty.theirs)
    with pytest.raises(TooSlowError, match="not complete within"):
        _read_on(hasty.client)
    drip.kill()
    assert request.closes


def _drip(line: socket.socket) -> None:
    while True:
        line.sendall(b"x")
        gevent.sleep(SHORT_S / 10)


def _read_on(client: Client) -> None:
    while client.recv(100):
        pass


def test_a_client_that_does_not_take_its_answer_counts_as_gone(hasty: Pair) -> None:
    with pytest.raises(ConnectionResetError):
        hasty.client.sendall(b"x" * ENOUGH)


def test_after_an_answer_the_wait_for_the_next_request_begins_anew(pair: Pair) -> None:
    pair.theirs.sendall(b"GET")
    pair.client.recv(100)
    pair.serve()
    pair.client.rest()
    reader = pair.reader()
    assert (pair.client.at_rest(time.monotonic()) or 0) < LONG_S
    assert pair.client.at_rest(time.monotonic()) is not None
    reader.kill()


class TestWhatItIsDoing:
    def test_asking_for_nothing(self, pair: Pair) -> None:
        reader = pair.reader()
        now = time.monotonic()
        assert (pair.client.at_rest(now) is None, pair.client.waited(now) is None) == (False, False)
        reader.kill()

    def test_sending_a_request(self, pair: Pair) -> None:
        pair.theirs.sendall(b"GET")
        pair.client.recv(100)
        reader = pair.reader()
        now = time.monotonic()
        assert (pair.client.at_rest(now) is None, pair.client.waited(now) is None) == (True, False)
        reader.kill()

    def test_waiting_for_an_answer(self, pair: Pair) -> None:
        pair.serve()
        now = time.monotonic()
        assert (pair.client.at_rest(now) is None, pair.client.waited(now) is None) == (True, True)
        assert pair.client.stalled(now) is None

    def test_not_reading_its_answer(self, pair: Pair) -> None:
        writer = gevent.spawn(pair.client.sendall, b"x" * ENOUGH)
        gevent.sleep(0)
        assert pair.client.stalled(time.monotonic()) is not None
        pair.client.cut()
        writer.join(LONG_S)
        assert isinstance(writer.exception, OSError)


class TestHangingUp:
    def test_a_client_that_asks_for_nothing_gets_the_end(self, pair: Pair) -> None:
        reader = pair.reader()
        pair.client.hang_up()
        assert reader.get(timeout=LONG_S) == b""

    def test_a_request_that_has_arrived_is_read(self, pair: Pair) -> None:
        pair.theirs.sendall(b"POST ")
        pair.client.hang_up()
        assert pair.client.recv(100) == b"POST "
        pair.theirs.sendall(b"/kill")
        assert pair.client.recv(100) == b"/kill"

    def test_an_answer_can_still_be_sent(self, pair: Pair) -> None:
        pair.client.hang_up()
        pair.client.sendall(b"200")
        assert pair.theirs.recv(100) == b"200"

    def test_a_client_that_is_gone_is_no_error(self, pair: Pair) -> None:
        pair.theirs.close()
        pair.client.hang_up()
        pair.client.cut()
        assert pair.client.recv(100) == b""

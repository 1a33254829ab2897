"""SIGTERM, and the death of a process: what is under way is answered, streams end in order, nobody waits for idlers."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path

import pytest
import requests
from support.server import Server
from support.waiting import wait_until
from support.webserver import master_of, workers_of
from support.wire import Wire

pytestmark = pytest.mark.redis

STOP_S = 12.0
"""What an end in order is promised to take, and a little more."""
STREAM_S = 5.0
"""Two seconds, on a machine that is busy with other things."""
FLAG = json.dumps({"key": "cart", "type": "boolean"}).encode()


@pytest.fixture
def shop(server: Server) -> Server:
    """A server with the service `shop`, which has no flag yet."""
    server.made("services", {"key": "shop"})
    return server


@pytest.fixture
def key(shop: Server) -> str:
    """An instance's key."""
    found = shop.made("keys", {"kind": "sdk", "name": "test", "environment": "production", "services": ["shop"]})
    return str(found["token"])


@pytest.fixture
def half_sent(shop: Server) -> Iterator[Wire]:
    """A request that a worker has begun to answer: the last byte of its body is missing."""
    with Wire(shop) as wire:
        wire.head("POST", "/api/v1/services/shop/flags", length=len(FLAG))
        wire.send(FLAG[:-1])
        wait_until(lambda: _received(shop, wire), "the worker waits for the rest")
        yield wire


def _received(server: Server, wire: Wire) -> bool:
    """Whether the server has read all that was sent: nothing is left in the socket that faces the wire."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [row.split() for row in table.readlines()[1:]]
    ours = f":{wire.port:04X}"
    return any(row[2].endswith(ours) and row[4].endswith(":00000000") for row in rows)


def finished(wire: Wire) -> HTTPResponse:
    wire.send(FLAG[-1:])
    return wire.answer()


class Following:
    """A stream that is held by a client, and read to its end."""

    def __init__(self, server: Server, key: str) -> None:
        self.answer = requests.get(
            f"{server.url}/sdk/v1/stream?service=shop&process={os.urandom(8).hex()}",
            headers={"Authorization": f"Bearer {key}", "Accept": "text/event-stream"},
            stream=True,
            timeout=15,
        )
        assert self.answer.status_code == 200
        self.lines = self.answer.iter_lines(chunk_size=1, decode_unicode=True)
        next(self.lines)
        self.heard: list[str] = []
        self.ended_at = 0.0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(requests.RequestException):
            for line in self.lines:
                self.heard.append(line)
        self.ended_at = time.monotonic()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(20)
        assert self.ended_at, "the stream goes on"


def test_a_request_that_is_under_way_is_answered_and_told_to_be_the_last(shop: Server, half_sent: Wire) -> None:
    shop.send(signal.SIGTERM)
    wait_until(lambda: not _listens(shop), "nobody new is taken")
    answer = finished(half_sent)
    assert (answer.status, answer.headers["Connection"]) == (201, "close")
    assert shop.stop() == 0


def _listens(server: Server) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_request_on_a_kept_connection_is_answered_when_it_comes_with_the_signal(shop: Server) -> None:
    with Wire(shop) as wire:
        wire.head("GET", "/livez")
        answer = wire.answer()
        answer.read()
        assert answer.headers["Connection"] == "keep-alive"
        shop.send(signal.SIGTERM)
        wire.head("POST", "/api/v1/services/shop/flags", length=len(FLAG))
        wire.send(FLAG)
        answer = wire.answer()
        answer.read()
        assert answer.status == 201
        assert wire.ended()


def test_streams_kept_connections_and_a_kill_that_waits_hold_up_no_end(shop: Server, key: str) -> None:
    shop.made("services/shop/flags", json.loads(FLAG))
    streams = [Following(shop, key) for _ in range(20)]
    deaf = {"service": "shop", "process": "0123456789abcdef", "instance": "deaf", "sdk": "python/0.1.0", "link": "poll"}
    reported = requests.post(
        f"{shop.url}/sdk/v1/report",
        json={**deaf, "epoch": None, "revision": None},
        headers={"Authorization": f"Bearer {key}"},
        timeout=5,
    )
    assert reported.status_code == 200, reported.text
    with Wire(shop) as waiting, requests.Session() as kept, Wire(shop) as silent:
        kept.get(f"{shop.url}/livez", timeout=5)
        body = b'{"wait": 60}'
        waiting.head("POST", "/api/v1/services/shop/flags/cart/kill", length=len(body))
        waiting.send(body)
        wait_until(lambda: _received(shop, waiting) and _killed(shop), "the kill waits for its instances")
        began = time.monotonic()
        shop.send(signal.SIGTERM)
        answer = waiting.answer()
        told = json.loads(answer.read())
        assert (answer.status, told["confirmed"]) == (200, False)
        assert "deaf" in [straggler["instance"] for straggler in told["stragglers"]]
        for stream in streams:
            stream.join()
            assert "event: end" in stream.heard
            assert stream.ended_at - began < STREAM_S
        assert shop.stop() == 0
        assert time.monotonic() - began < STOP_S
        assert silent is not waiting
    retries = {line for stream in streams for line in stream.heard if line.startswith("retry: ")}
    assert len(retries) > len(streams) // 2
    assert "Traceback" not in shop.output


def _killed(server: Server) -> bool:
    document = server.call("GET", "/api/v1/services/shop/flags/cart").json()
    return document["environments"]["production"]["killed"] is not None


def test_a_stream_whose_client_does_not_read_holds_up_no_end(shop: Server, key: str) -> None:
    with Wire(shop, window=4096) as wire:
        wire.head("GET", "/sdk/v1/stream?service=shop", token=key)
        wire.answer()
        for number in range(12):
            large = {"off": "", "on": "x" * 900_000}
            flag = {"key": f"large-{number}", "type": "string", "variants": large, "off_variant": "off"}
            shop.made("services/shop/flags", flag)
        began = time.monotonic()
        assert shop.stop() == 0
        assert time.monotonic() - began < STOP_S


def test_when_the_master_is_killed_its_workers_finish_and_others_take_over(
    shop: Server, key: str, half_sent: Wire
) -> None:
    stream = Following(shop, key)
    before = {master_of(shop), *workers_of(shop)}
    os.kill(master_of(shop), signal.SIGKILL)
    assert finished(half_sent).status == 201
    stream.join()
    assert "event: end" in stream.heard
    wait_until(lambda: len(now := workers_of(shop)) == 2 and not now & before, "there are new workers")
    wait_until(lambda: shop.get("/readyz") == 200, "they serve")
    assert shop.call("GET", "/api/v1/services/shop/flags/cart").status_code == 200
    wait_until(lambda: not before & set(shop.processes()), "the old ones are gone")


def test_when_a_worker_is_killed_the_others_go_on(shop: Server, key: str) -> None:
    streams = [Following(shop, key) for _ in range(10)]
    os.kill(min(workers_of(shop)), signal.SIGKILL)
    answers = [shop.call("GET", "/api/v1/services/shop").status_code for _ in range(20)]
    assert answers == [200] * 20
    wait_until(lambda: len(workers_of(shop)) == 2, "there are two workers again")
    assert Path(f"/proc/{master_of(shop)}").exists()
    shop.made("services/shop/flags", json.loads(FLAG))
    living = [stream for stream in streams if not stream.ended_at]
    wait_until(lambda: all(any('"cart"' in line for line in stream.heard) for stream in living), "the others hear it")

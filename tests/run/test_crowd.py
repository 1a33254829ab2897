"""More clients than a worker can hold, and clients that take their time: a kill gets through."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from downhaul_server.limits import connections_for
from support.server import Server
from support.wire import Wire

pytestmark = pytest.mark.redis

FILES = 300
EACH = connections_for(FILES)


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


@pytest.fixture
def small_server(data_dir: Path) -> Iterator[Server]:
    """A server of one worker that may open few files."""
    with Server(data_dir, prepare=few_files, DOWNHAUL_WORKERS="1") as server:
        server.made("services", {"key": "shop"})
        server.made("services/shop/flags", {"key": "cart", "type": "boolean"})
        yield server


def test_slow_and_idle_clients_do_not_keep_a_kill_out(small_server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(EACH):
            silent, begun, half = (stack.enter_context(Wire(small_server)) for _ in range(3))
            begun.send(b"POST /api/v1/kill HTT")
            half.head("POST", "/api/v1/kill", length=100)
            half.send(b"{")
            assert silent is not begun
        assert small_server.call("POST", "/api/v1/services/shop/flags/cart/kill", {}).status_code == 200
        assert most_open(small_server) < FILES
    assert "hanging up on idle clients" in small_server.output
    assert "Traceback" not in small_server.output


def most_open(server: Server) -> int:
    """Open files of the process that has the most."""
    return max(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in server.processes())


def test_a_low_limit_is_told_at_the_start(small_server: Server) -> None:
    assert f"a process may open {FILES} files only" in small_server.output


@pytest.mark.slow
def test_a_request_that_never_becomes_whole_is_refused(lasting_server: Server) -> None:
    with Wire(lasting_server) as wire:
        wire.send(b"GET /livez HTTP/1.1\r\nHost:")
        answer = wire.answer()
        assert (answer.status, answer.headers["Connection"]) == (408, "close")
        assert b"urn:downhaul:problem:request-timeout" in answer.read()
        assert wire.ended()

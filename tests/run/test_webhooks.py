"""Webhooks of a real server: gevent's workers, more than one of them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hooks import Receiver, receiving
from support.server import Server
from support.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def workers(server: Server) -> list[int]:
    """The youngest processes of the web server; the oldest is its master."""
    return sorted(pid for pid, line in server.processes().items() if "downhaul_server.serve" in line)[1:]


def test_a_slow_receiver_holds_up_no_kill_and_workers_that_die_are_followed(tmp_path: Path, receiver: Receiver) -> None:
    with Server(tmp_path / "data", DOWNHAUL_WEBHOOK_ALLOW="127.0.0.0/8") as server:
        server.made("services", {"key": "checkout"})
        server.made("services/checkout/flags", {"key": "new", "type": "boolean"})
        hook = server.made("webhooks", {"name": "x", "url": receiver.url, "events": ["flag.kill", "flag.restore"]})
        resumed = threading.Event()
        receiver.will_stall(resumed)
        first = server.made("services/checkout/flags/new/kill", {})["revision"]
        wait_until(lambda: receiver.got, "it is told")
        begun = time.monotonic()
        for _ in range(20):
            assert server.get("/readyz") == 200
            assert server.call("GET", "/api/v1/webhooks").ok
        second = server.made("services/checkout/flags/new/restore", {"reason": "x"})["revision"]
        assert time.monotonic() - begun < 10

        receiver.will_answer(200)
        for pid in workers(server):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(receiver.got) >= 3, "others go on")
        resumed.set()
        assert receiver.revisions == [first, first, second]
        assert all(got.verified_by(hook["secret"]) for got in receiver.got)
        wait_until(lambda: server.get("/readyz") == 200, "it is well")
        assert server.made(f"webhooks/{hook['id']}/test", {})["delivered"] is True
        assert hook["secret"] not in server.output and "Traceback" not in server.output

"""A process ends when it wants to, whatever the service does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from downhaul.client import Client
from support.fakeservice import KEY, SERVICE, Connect, FakeService, answer, dripping, never
from support.waiting import wait_until

PROGRAM = """
from downhaul import flags
import sys, time
deadline = time.monotonic() + 10
while not flags.client._worker.health.attempted and time.monotonic() < deadline and sys.argv[1] == "after":
    time.sleep(0.01)
flags.enabled("new-checkout")
print("done", flush=True)
"""


@pytest.mark.parametrize("moment", ["at once", "after"])
@pytest.mark.parametrize(
    "behaviour", [never, dripping, answer("500 Internal Server Error")], ids=["never", "drip", "500"]
)
def test_a_process_ends_promptly_and_silently(moment: str, behaviour: object, service: FakeService) -> None:
    service.behaviour = behaviour  # type: ignore[assignment]
    environment = {**os.environ, "DOWNHAUL_URL": service.url, "DOWNHAUL_KEY": KEY, "DOWNHAUL_SERVICE": SERVICE}
    command = [sys.executable, "-c", PROGRAM, moment]
    environment["DOWNHAUL_TIMEOUT"] = "1" if moment == "after" else "60"
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"done\n"
        before = time.monotonic()
        assert process.wait(50) == 0
        assert time.monotonic() - before < 45
        assert b"Fatal" not in process.stderr.read()


def test_close_is_bounded_and_may_be_repeated(service: FakeService, connect: Connect) -> None:
    service.behaviour = never
    client = connect(timeout=60)
    wait_until(lambda: service.requests, "a request hangs")
    before = time.monotonic()
    client.close()
    client.close(0)
    client.close(-1)
    assert time.monotonic() - before < 30
    assert client.status().state == "closed" and client.status().link == "none"
    assert [each.name for each in threading.enumerate() if each is client._worker._thread] == []


def test_flags_stay_after_close(connect: Connect) -> None:
    client = connect()
    assert client.wait_ready()
    client.close()
    assert client.enabled("new-checkout") and client.wait_ready(0)


def test_a_closed_client_follows_again_when_it_is_configured(service: FakeService, connect: Connect) -> None:
    client = connect()
    assert client.wait_ready()
    client.close()
    service.publish(2, {})
    client.configure(poll_interval=0.05)
    wait_until(lambda: client.status().revision == 2, "it follows again")
    wait_until(lambda: client.status().state == "ready", "it is well again")


def test_a_listener_may_close_the_client(service: FakeService, connect: Connect) -> None:
    client = connect()
    assert client.wait_ready(10)
    client.on_change(lambda _: client.close())
    service.publish(2, {})
    wait_until(lambda: client.status().state == "closed", "the listener has closed it")


def test_a_client_needs_one_thread(connect: Connect) -> None:
    before = set(threading.enumerate())
    client = connect()
    wait_until(lambda: client.status().link == "stream", "it streams")
    made = [each for each in threading.enumerate() if each not in before and "_converse" not in each.name]
    assert made == [client._worker._thread] and made[0].daemon


def test_no_more_threads_is_told_and_no_reason_to_fail(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        client = Client(url=service.url, key=KEY, service=SERVICE)
    assert "can't start new thread" in str(client.status().last_error)
    assert client.wait_ready(10), "a later call may find room for it"
    client.close()


def test_the_interpreter_is_not_held_by_a_thread_in_name_resolution(tmp_path: Path) -> None:
    program = """
import socket, time
real = socket.getaddrinfo
socket.getaddrinfo = lambda *a, **k: time.sleep(60)
from downhaul.client import Client
client = Client(url="http://flags.example", key="k", service="s")
time.sleep(0.5)
"""
    before = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
    assert time.monotonic() - before < 15

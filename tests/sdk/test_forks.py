"""A forked child has a live thread of its own, with no call by the user: proved with real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from downhaul import forks
from support.fakeservice import KEY, SERVICE, Connect, FakeService, never
from support.rulesets import flag
from support.waiting import wait_until

OFF = {"new-checkout": flag(on=False)}


def environment(service: FakeService) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("DOWNHAUL_")},
        "DOWNHAUL_URL": service.url,
        "DOWNHAUL_KEY": KEY,
        "DOWNHAUL_SERVICE": SERVICE,
        "DOWNHAUL_POLL_INTERVAL": "0.1",
    }


def in_child(work: Callable[[], Any]) -> Callable[[], Any]:
    """Fork now; the returned function waits for the child and gives what `work()` returned there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)

    def result() -> Any:
        with open(reading, "rb") as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        assert text, "the child has failed"
        return json.loads(text)

    return result


def test_a_child_sees_a_change_made_after_the_fork(service: FakeService, connect: Connect) -> None:
    client = connect(instance="web-1")
    assert client.wait_ready() and client.enabled("new-checkout")
    begun, begins = os.pipe()

    def child() -> dict[str, Any]:
        inherited = client.enabled("new-checkout")
        os.write(begins, b".")
        wait_until(lambda: not client.enabled("new-checkout"), "the child follows")
        return {"inherited": inherited, "instance": client.status().instance, "threads": threading.active_count()}

    result = in_child(child)
    assert os.read(begun, 1)
    service.publish(2, OFF)
    seen = result()
    assert seen["inherited"] is True, "the child begins with what its parent had"
    assert seen["instance"].startswith("web-1-") and seen["instance"] != client.status().instance
    assert seen["threads"] == 2, "the child's own, and no more"
    wait_until(lambda: not client.enabled("new-checkout"), "the parent follows too")


def test_a_grandchild_sees_it_too(service: FakeService, connect: Connect) -> None:
    client = connect()
    assert client.wait_ready()

    def off() -> bool:
        wait_until(lambda: not client.enabled("new-checkout"), "the grandchild follows")
        return True

    result = in_child(lambda: in_child(off)())
    service.publish(2, OFF)
    assert result() is True


def test_a_child_forked_in_the_middle_of_a_request_is_live(service: FakeService, connect: Connect) -> None:
    client = connect(timeout=60)
    assert client.wait_ready()
    good, service.behaviour = service.behaviour, never
    asked = len(service.requests)
    wait_until(lambda: len(service.requests) > asked, "a request is under way")
    service.behaviour = good

    def child() -> bool:
        wait_until(lambda: not client.enabled("new-checkout"), "the child follows")
        return True

    result = in_child(child)
    service.publish(2, OFF)
    assert result() is True


def test_parent_and_child_share_no_connection(service: FakeService, connect: Connect) -> None:
    client = connect()
    assert client.wait_ready()
    for revision in range(2, 12):
        result = in_child(lambda wanted=revision: wait_until(lambda: client.status().revision >= wanted, "follows"))
        service.publish(revision, OFF)
        wait_until(lambda wanted=revision: client.status().revision == wanted, "the parent follows")
        result()
    assert client.status().last_error is None


def test_parent_and_child_have_streams_of_their_own(service: FakeService, connect: Connect) -> None:
    client = connect(poll_interval=60)
    wait_until(lambda: client.status().link == "stream", "the parent streams")

    def child() -> dict[str, Any]:
        wait_until(lambda: not client.enabled("new-checkout"), "the child follows")
        return {"link": client.status().link, "pid": os.getpid()}

    result = in_child(child)
    wait_until(lambda: len({each["pid"] for each in service.reports}) == 2, "both report")
    service.publish(2, OFF)
    seen = result()
    assert seen["link"] == "stream"
    wait_until(lambda: not client.enabled("new-checkout"), "the parent follows too")
    assert len(service.of("stream")) == 2 and service.of("snapshot") == [], "nobody has lost one"
    processes = {each["pid"]: each["process"] for each in service.reports}
    assert processes[os.getpid()] != processes[seen["pid"]]


def test_a_child_does_not_keep_the_connections_of_its_parent_open(service: FakeService, connect: Connect) -> None:
    client = connect(poll_interval=60)
    wait_until(lambda: service.streams == 1 and service.reports, "the parent streams, and has said so")
    reading, writing = os.pipe()

    def child() -> bool:
        client.close()  # its own, of course
        os.close(writing)
        os.read(reading, 1)  # lives until its parent says so
        return True

    result = in_child(child)
    wait_until(lambda: len(service.of("stream")) >= 1, "the child is there")
    client.close()
    wait_until(lambda: service.streams == 0, "the service sees that the parent has hung up")
    gone = {"pid": os.getpid(), "leaving": True}
    wait_until(lambda: any(gone.items() <= each.items() for each in service.reports), "and has heard its goodbye")
    os.close(writing)
    assert result() is True
    os.close(reading)


def test_a_child_counts_from_zero(service: FakeService, connect: Connect) -> None:
    client = connect()
    assert client.wait_ready()
    for _ in range(5):
        client.enabled("new-checkout")
        client.enabled("nope")

    def child() -> dict[str, dict[str, int]]:
        client.enabled("new-checkout")
        return client.counts()

    assert in_child(child)() == {"new-checkout": {"on": 1}}
    assert client.counts()["new-checkout"] == {"on": 5}


def test_the_child_of_a_closed_client_stays_closed(connect: Connect) -> None:
    client = connect()
    assert client.wait_ready()
    client.close()
    assert in_child(lambda: [client.status().state, client.enabled("new-checkout")])() == ["closed", True]


def test_rules_that_ask_for_the_instance_see_the_child(service: FakeService, connect: Connect) -> None:
    mine = {"when": {"attribute": "instance", "op": "in", "values": ["web-1"]}, "serve": {"variant": "on"}}
    service.publish(2, {"canary": flag(rules=[mine], otherwise={"variant": "off"})})
    client = connect(instance="web-1")
    assert client.wait_ready() and client.enabled("canary")

    def child() -> bool:
        wait_until(lambda: not client.enabled("canary"), "compiled for the child")
        return True

    assert in_child(child)() is True


def test_a_fork_while_the_client_changes_waits_for_the_change(service: FakeService, connect: Connect) -> None:
    client = connect()
    assert client.wait_ready()
    holding, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with forks.guard():
            holding.set()
            go_on.wait(2)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait()
    threading.Timer(0.1, go_on.set).start()
    assert in_child(lambda: forks.guard().acquire(timeout=5))() is True, "nobody holds the child's guard for ever"
    thread.join()


PROGRAM = """
import multiprocessing, sys, time
from downhaul import flags

def child(queue):
    assert flags.wait_ready(10)
    queue.put("ready")
    end = time.monotonic() + 20
    while flags.enabled("new-checkout") and time.monotonic() < end:
        time.sleep(0.01)
    queue.put(flags.enabled("new-checkout"))

if __name__ == "__main__":
    assert flags.wait_ready(10)
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    print(queue.get(timeout=20), flush=True)
    print(queue.get(timeout=20), flush=True)
    process.join(10)
    print(process.exitcode, flush=True)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, service: FakeService, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", method]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(service), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        service.publish(2, OFF)
        assert process.stdout.read() == "False\n0\n"


APPLICATION = """
import json, os
from downhaul import flags

assert flags.wait_ready(10)  # in the master: --preload

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    enabled = flags.enabled("new-checkout")
    return [json.dumps({"pid": os.getpid(), "on": enabled, "instance": flags.status().instance}).encode()]
"""


@pytest.fixture
def gunicorn(service: FakeService, tmp_path: Path) -> Iterator[Callable[..., Callable[[], dict[str, Any]]]]:
    """Starts gunicorn with two workers; the returned function asks one of them."""
    (tmp_path / "application.py").write_text(APPLICATION)
    processes: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> Callable[[], dict[str, Any]]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--bind",
            f"127.0.0.1:{port}",
            "--workers",
            "2",
            "--no-control-socket",
        ]
        command += ["--graceful-timeout", "3", "--log-level", "warning", *arguments, "application:app"]
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment(service)))

        def ask() -> dict[str, Any]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return dict(json.load(answer))

        return ask

    yield start
    for process in processes:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0, "gunicorn ends promptly"


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_gunicorn_with_preload(
    worker: str, service: FakeService, gunicorn: Callable[..., Callable[[], dict[str, Any]]]
) -> None:
    ask = gunicorn("--preload", "--worker-class", worker)
    seen: dict[int, dict[str, Any]] = {}

    def asked(wanted: bool) -> bool:
        try:
            answer = ask()
        except OSError:
            return False
        seen[answer["pid"]] = answer
        return len(seen) == 2 and all(each["on"] is wanted for each in seen.values())

    wait_until(lambda: asked(True), "both workers answer", 30)
    assert len({each["instance"] for each in seen.values()}) == 2, "each is an instance of its own"
    service.publish(2, OFF)
    wait_until(lambda: asked(False), "both workers follow")

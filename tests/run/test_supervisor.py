"""The supervisor, with small programs in the place of the real ones."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import cast

import pytest
from downhaul_server.limits import (
    connections_for,
    connections_of_worker,
    descriptor_limit,
    descriptor_warning,
    raise_descriptor_limit,
)
from downhaul_server.listening import GONE_MS, address_of, listen, url_of
from downhaul_server.store import Embedded, EmbeddedError
from downhaul_server.supervise import Child, ChildFailedError, Supervisor
from support.waiting import wait_until


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A supervisor takes the process's signals; pytest gets its own back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def child(program: str) -> Child:
    return Child(name="the child", command=(sys.executable, "-c", program), environ=os.environ)


def test_a_child_that_dies_is_started_again() -> None:
    with Supervisor() as supervisor:
        lasting = child("import time; time.sleep(60)")
        supervisor.start(lasting)
        first = lasting.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: supervisor.look() or lasting.pid not in (None, first), "there is another one")
    assert lasting.pid is None


def test_a_child_that_cannot_start_is_given_up() -> None:
    failing = child("raise SystemExit(3)")
    with pytest.raises(ChildFailedError, match=r"the child ended \(exit status 3\) 3 times right after its start"):
        _supervise(failing)


def _supervise(lasting: Child) -> None:
    with Supervisor() as supervisor:
        supervisor.start(lasting)
        supervisor.watch()


def test_a_redis_that_cannot_be_started_again_does_not_end_the_others() -> None:
    class Broken:
        pid = None

        def start(self) -> str:
            return "unix:///nowhere"

        def ensure_running(self) -> bool:
            raise EmbeddedError("the disk is full")

        def stop(self) -> None: ...

    with Supervisor() as supervisor:
        supervisor.start_redis(cast(Embedded, Broken()))
        supervisor.look()
        supervisor.look()


def test_a_signal_ends_the_watch_and_the_children() -> None:
    lasting = child("import time; time.sleep(60)")
    with Supervisor() as supervisor:
        supervisor.start(lasting)
        os.kill(os.getpid(), signal.SIGTERM)
        supervisor.watch()
    assert lasting.pid is None


def test_a_child_shows_no_environment_when_it_is_printed() -> None:
    assert "secret" not in repr(Child(name="x", command=("x",), environ={"DOWNHAUL_ADMIN_TOKEN": "secret"}))


class TestListening:
    def test_port_0_is_any_free_one(self) -> None:
        with listen("127.0.0.1", 0) as listener:
            host, port = address_of(listener)
            assert (host, port > 0) == ("127.0.0.1", True)
            assert url_of(listener) == f"http://127.0.0.1:{port}"

    @pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux gives up clients that are gone")
    def test_clients_that_are_gone_are_given_up_before_long(self) -> None:
        with listen("127.0.0.1", 0) as listener, socket.create_connection(address_of(listener)):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == GONE_MS

    def test_a_server_on_every_address_is_found_on_this_machine(self) -> None:
        with listen("0.0.0.0", 0) as listener:
            assert url_of(listener).startswith("http://127.0.0.1:")

    def test_an_ipv6_address_is_in_brackets(self) -> None:
        class Six:
            def getsockname(self) -> tuple[str, int, int, int]:
                return ("::", 8080, 0, 0)

        assert url_of(cast(socket.socket, Six())) == "http://[::1]:8080"


class TestLimits:
    def test_the_limit_is_raised_as_far_as_it_goes(self) -> None:
        assert raise_descriptor_limit() == descriptor_limit()

    def test_a_low_limit_is_told_with_what_it_means(self) -> None:
        assert "1024 files only, so a worker holds about 768 connections, 576 of them streams" in (
            descriptor_warning(1024) or ""
        )
        assert descriptor_warning(65536) is None

    def test_a_high_limit_does_not_make_a_worker_hold_what_serves_nobody(self) -> None:
        assert connections_of_worker(1 << 20, 10_000) == 14_096
        assert connections_of_worker(4096, 10_000) == 3_840

    def test_however_low_it_is_a_worker_takes_some_clients(self) -> None:
        assert connections_for(64) == 32

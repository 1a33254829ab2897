"""Over a stream a change is in force the moment it comes; whatever happens to the stream, nothing is missed."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from downhaul import adoption, listening, sync
from downhaul.client import Client
from downhaul.health import Status
from downhaul.snapshot import read_snapshot
from support import fakestream
from support.fakeservice import SERVICE, Connect, FakeService, Request, answer, never, serve_well
from support.fakestream import change_event, heartbeat, saying, snapshot_event
from support.rulesets import flag
from support.tls import Certificate, server_context
from support.waiting import wait_until

ON, OFF = flag(), flag(on=False)
SOON_S = 1.0


@pytest.fixture
def client(connect: Connect) -> Client:
    """One that streams."""
    made = connect()
    assert made.wait_ready(10)
    wait_until(lambda: made.status().link == "stream", "it streams")
    return made


def test_a_change_comes_over_the_stream_and_nobody_polls(service: FakeService, client: Client) -> None:
    for revision in range(2, 12):
        service.publish(revision, {"new-checkout": flag(on=revision % 2 == 1)})
        wait_until(lambda wanted=revision: client.status().revision == wanted, "the change is in force", SOON_S)
        assert client.enabled("new-checkout") is (revision % 2 == 1)
    assert service.of("snapshot") == [] and len(service.of("stream")) == 1


def test_flags_and_segments_come_change_and_go(service: FakeService, client: Client) -> None:
    pro = {"attribute": "plan", "op": "in", "values": ["pro"]}
    beta = flag(rules=[{"when": {"segment": "beta"}, "serve": {"variant": "on"}}], otherwise={"variant": "off"})
    told: list[frozenset[str]] = []
    client.on_change(told.append)

    service.publish(2, {"new-checkout": ON, "beta": beta}, segments={"beta": pro})
    wait_until(lambda: client.enabled("beta", plan="pro"), "a flag and its segment are there", SOON_S)
    service.publish(3, {"new-checkout": ON, "beta": beta}, segments={"beta": {**pro, "values": ["free"]}})
    wait_until(lambda: client.enabled("beta", plan="free"), "the segment is another one", SOON_S)
    assert not client.enabled("beta", plan="pro")
    service.publish(4, {})
    wait_until(lambda: client.status().flags == 0, "all are gone", SOON_S)
    assert told == [{"beta"}, {"beta"}, {"new-checkout", "beta"}]
    assert service.of("snapshot") == []


Begin = Callable[[socket.socket], None]
Say = Callable[[socket.socket, bytes], None]


def plain_head(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")


FRAMINGS: dict[str, tuple[Begin, Say]] = {
    "chunked": (fakestream.begin, fakestream.say),
    "to the end of the connection": (plain_head, lambda connection, text: connection.sendall(text)),
}


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_an_event_is_taken_the_moment_its_last_byte_is_there(
    tls: bool, framing: str, size: int, connect: Connect, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
    service = FakeService(server_context(certificate) if tls else None)
    begin, say = FRAMINGS[framing]
    go_on = threading.Event()

    def stream(fake: FakeService, connection: socket.socket, request: Request) -> None:
        begin(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = fake.snapshot
        say(connection, snapshot_event(first))
        go_on.wait()
        fake.publish(2, {"new-checkout": OFF})
        text = change_event(first, fake.snapshot)
        for at in range(0, len(text), size):
            say(connection, text[at : at + size])
        fake.closing.wait()  # and nothing follows

    service.only("stream", stream)
    client = connect(url=service.url, timeout=10, poll_interval=60)
    assert client.wait_ready(10) and client.enabled("new-checkout")
    go_on.set()
    wait_until(lambda: not client.enabled("new-checkout"), "the change is in force", 10)
    service.close()


def test_a_stream_goes_on_where_the_last_one_was_broken_off(service: FakeService, client: Client) -> None:
    service.publish(2, {"new-checkout": OFF})
    wait_until(lambda: client.status().revision == 2, "the change is in force")
    service.only("stream", answer("503 Service Unavailable"))
    wait_until(lambda: client.status().link == "poll", "the stream is broken off")
    service.only("snapshot", never)
    service.publish(3, {"new-checkout": OFF, "more": ON})
    service.only("stream", None)
    wait_until(lambda: client.enabled("more"), "the next stream brings what was missed")
    assert [each.headers.get("last-event-id") for each in service.of("stream")][-1] == "e1:2"
    assert service.of("stream")[0].target.startswith(f"/sdk/v1/stream?service={SERVICE}&process=")


def test_an_end_in_order_is_followed_by_another_stream_and_by_no_trouble(
    service: FakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "_LONG_ENOUGH_S", 0.0)
    times: list[float] = []

    def short(fake: FakeService, connection: socket.socket, request: Request) -> None:
        times.append(time.monotonic())
        place = fakestream.place(fake.snapshot)
        first = (heartbeat if request.headers.get("last-event-id") == place else snapshot_event)(fake.snapshot)
        saying(first, fakestream.end(retry_ms=300), then="end")(fake, connection, request)

    service.only("stream", short)
    client = connect(poll_interval=5)
    seen: list[tuple[str, str]] = []
    client.on_status(lambda status: seen.append((status.state, status.link)))
    wait_until(lambda: len(times) == 5, "several streams")
    pauses = [after - before for before, after in pairwise(times)]
    assert all(0.2 < pause < 2 for pause in pauses), "what the service asked for, more or less"
    assert set(seen) == {("ready", "stream")}, "a short pause in order is no change of link"
    assert client.status().last_error is None


def test_no_more_than_the_service_asked_for_when_it_ends_all_streams_at_once(
    service: FakeService, connect: Connect
) -> None:
    service.only("stream", saying(fakestream.end("shutdown", 60_000), then="end"))
    client = connect(poll_interval=0.1)
    assert client.wait_ready(10)
    wait_until(lambda: len(service.of("snapshot")) > 4, "it polls meanwhile")
    assert len(service.of("stream")) == 1
    assert (client.status().state, client.status().link) == ("ready", "poll")


def test_streaming_can_be_turned_off(service: FakeService, connect: Connect) -> None:
    client = connect(stream=False)
    wait_until(lambda: len(service.of("snapshot")) > 4, "it polls")
    assert service.of("stream") == [] and client.status().link == "poll"


def test_polls_are_a_floor_under_the_stream(
    service: FakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "_FLOOR_S", 0.1)
    client = connect(poll_interval=60)
    wait_until(lambda: len(service.of("snapshot")) > 3, "it polls as well")
    assert client.status().link == "stream" and len(service.of("stream")) == 1
    assert all(each.headers["if-none-match"] == '"e1:1"' for each in service.of("snapshot"))


@pytest.mark.parametrize("route", ["report", "snapshot"])
def test_whatever_hangs_besides_holds_up_no_change(
    route: str, service: FakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "_FLOOR_S", 0.2)
    service.only(route, never)
    client = connect(timeout=60)
    assert client.wait_ready(10)
    for revision in range(2, 8):
        asked = len(service.of(route))
        wait_until(lambda known=asked: len(service.of(route)) > known, f"a {route} hangs")
        service.publish(revision, {"new-checkout": flag(on=revision % 2 == 1)})
        wait_until(lambda wanted=revision: client.status().revision == wanted, "the change is in force", SOON_S)
    assert client.status().state == "ready"


class TestStatus:
    def test_listeners_hear_of_each_change_of_state_and_link(self, service: FakeService, connect: Connect) -> None:
        client = connect(timeout=0.5)
        seen: list[Status] = []
        remove = client.on_status(seen.append)
        wait_until(lambda: client.status().link == "stream", "it streams")
        service.behaviour = never
        wait_until(lambda: client.status().state == "stale", "it hears nothing")
        service.behaviour = serve_well
        wait_until(lambda: (client.status().state, client.status().link) == ("ready", "stream"), "all is well again")
        wait_until(lambda: len(seen) >= 4, "the listener has heard of it")
        told = [(each.state, each.link) for each in seen]
        assert all(one != other for one, other in pairwise(told))
        assert told[0] in (("ready", "stream"), ("ready", "poll")) and told[-1] == ("ready", "stream")
        assert ("stale", "poll") in told
        assert next(each for each in seen if each.state == "stale").last_error
        remove()
        client.close()
        assert seen[-1].state == "ready"

    def test_a_listener_hears_of_the_end(self, client: Client) -> None:
        seen: list[str] = []
        client.on_status(lambda status: seen.append(status.state))
        client.close()
        wait_until(lambda: seen == ["closed"], "the listener has heard of it")

    def test_a_listener_that_raises_harms_nobody(
        self, service: FakeService, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = connect()

        def broken(_: Status) -> None:
            raise ValueError("broken listener")

        client.on_status(broken)
        wait_until(lambda: "broken listener" in caplog.text, "it is called")
        service.publish(2, {"new-checkout": OFF})
        wait_until(lambda: not client.enabled("new-checkout"), "changes come all the same")

    def test_a_silent_connection_is_not_ready(
        self, service: FakeService, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As after SIGSTOP, or when the network swallows everything: time alone makes the client doubt."""
        service.heartbeat_s = 3600.0
        wait_until(lambda: (client.status().age_s or 0) > 0.3, "there are no heartbeats any more")
        now = time.monotonic
        monkeypatch.setattr("downhaul.health.monotonic", lambda: now() + 13)
        status = client.status()
        assert (status.state, status.link) == ("stale", "stream") and "nothing was heard" in str(status.last_error)

    def test_a_service_that_is_deaf_itself_is_not_ready(self, service: FakeService, client: Client) -> None:
        service.store_age_s = 20.0
        wait_until(lambda: client.status().state == "stale", "heartbeats tell")
        status = client.status()
        assert status.link == "stream" and "20 s" in str(status.last_error)
        assert status.age_s is not None and 20 <= status.age_s < 30
        service.store_age_s = 0.0
        wait_until(lambda: client.status().state == "ready", "heartbeats tell that too")

    def test_a_service_that_is_deaf_itself_says_so_in_polls(self, service: FakeService, connect: Connect) -> None:
        service.store_age_s = 20.0
        client = connect(stream=False)
        wait_until(lambda: client.status().state == "stale", "the header Age tells")
        assert client.enabled("new-checkout"), "its snapshot is used all the same"

    def test_an_old_poll_is_not_ready(self, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        client = connect(stream=False, poll_interval=3600)
        assert client.wait_ready(10) and client.status().state == "ready"
        now = time.monotonic
        monkeypatch.setattr("downhaul.health.monotonic", lambda: now() + 2.5 * 3600)
        assert client.status().state == "stale"


class TestCache:
    @pytest.fixture(autouse=True)
    def hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(adoption, "_KEEP_AFTER_S", (0.1, 0.2))

    def cached(self, folder: Path) -> dict[str, Any]:
        (path,) = folder.glob("*.json")
        body = path.read_bytes()
        read_snapshot(body, SERVICE)  # raises if it is not whole and valid
        found: dict[str, Any] = json.loads(body)
        return found

    def test_holds_what_came_over_the_stream(self, service: FakeService, connect: Connect, tmp_path: Path) -> None:
        client = connect(cache_dir=tmp_path)
        assert client.wait_ready(10)
        for revision in range(2, 6):
            service.publish(revision, {"new-checkout": OFF, f"flag-{revision}": ON})
            wait_until(lambda wanted=revision: client.status().revision == wanted, "the change is in force")
        wait_until(lambda: self.cached(tmp_path)["revision"] == 5, "the cache is written")
        assert self.cached(tmp_path) == service.snapshot
        client.close()

        service.behaviour = answer("503 Service Unavailable")
        again = connect(cache_dir=tmp_path)
        wait_until(lambda: again.enabled("flag-5"), "another process begins with it")

    def test_that_was_lost_is_written_anew_with_the_next_poll(
        self, service: FakeService, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sync, "_FLOOR_S", 0.3)
        client = connect(cache_dir=tmp_path)
        assert client.wait_ready(10)
        wait_until(lambda: list(tmp_path.glob("*.json")), "the snapshot is kept")
        next(tmp_path.glob("*.json")).unlink()
        service.publish(2, {"new-checkout": OFF})
        wait_until(lambda: list(tmp_path.glob("*.json")), "the snapshot is kept again")
        assert self.cached(tmp_path) == service.snapshot
        asked = len(service.of("snapshot"))
        wait_until(lambda: len(service.of("snapshot")) > asked, "the next poll")
        assert "if-none-match" in service.of("snapshot")[-1].headers

    def test_is_written_at_the_end(
        self, service: FakeService, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(adoption, "_KEEP_AFTER_S", (60.0, 60.0))
        client = connect(cache_dir=tmp_path)
        assert client.wait_ready(10)
        service.publish(2, {"new-checkout": OFF})
        wait_until(lambda: client.status().revision == 2, "the change is in force")
        client.close()
        assert self.cached(tmp_path)["revision"] == 2


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """Streams are dead after half a second."""
    for module in (listening, sync):
        monkeypatch.setattr(module, "DEAD_S", 0.5)
    monkeypatch.setattr("downhaul.links.DEAD_S", 0.5)
    return 0.5


def test_a_stream_without_a_heartbeat_is_given_up(service: FakeService, connect: Connect, impatient: float) -> None:
    service.heartbeat_s = 3600.0
    client = connect(poll_interval=0.2)
    assert client.wait_ready(10)
    wait_until(lambda: len(service.of("stream")) > 1, "another stream is tried")
    wait_until(lambda: service.streams <= 1, "the dead one is closed")
    service.publish(2, {"new-checkout": OFF})
    wait_until(lambda: not client.enabled("new-checkout"), "changes come all the same")

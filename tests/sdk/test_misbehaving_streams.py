"""Whatever comes over a stream, or does not: flags stay right, polls go on, and nobody is stormed."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest
from downhaul import links, listening, sync
from support.fakeservice import Behaviour, Connect, FakeService, Request, answer, envelope, garbage, never, send
from support.fakestream import (
    begin,
    change_event,
    dripping_stream,
    end,
    endless_line,
    event,
    heartbeat,
    repeating,
    say,
    saying,
    snapshot_event,
)
from support.rulesets import flag
from support.waiting import wait_until

ON, OFF = {"new-checkout": flag()}, {"new-checkout": flag(on=False)}
FIRST = envelope(1, ON)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent stream is dead after half a second; an event is too large with a megabyte."""
    monkeypatch.setattr(listening, "_LARGEST", 1 << 20)
    for module in (listening, sync, links):
        monkeypatch.setattr(module, "DEAD_S", 0.5)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine an answer may take longer than half a second: here it counts what is asked after it."""
    for module in (listening, sync, links):
        monkeypatch.setattr(module, "DEAD_S", 12.5)


def buffered(service: FakeService, connection: socket.socket, request: Request) -> None:
    """A proxy holds back everything, the head of the answer included, until the stream is over."""
    service.closing.wait()


BROKEN = {
    "nothing, not even a head": (buffered, "no event came"),
    "a head and no event": (saying(), "for 0.5 s"),
    "half of an event": (saying(snapshot_event(FIRST)[:100]), "0.5 s"),
    "an event byte by byte": (dripping_stream, "no event came"),
    "comments alone": (repeating(lambda _: b": still here\n\n"), "no event came"),
    "events of no kind that is known": (repeating(lambda _: event("news", {"all": "well"})), "no event came"),
    "a line without an end": (endless_line, "larger than"),
    "an end at once": (saying(then="end"), None),
    "an end at once, without a word": (saying(then="eof"), ""),
    "a reset": (saying(snapshot_event(FIRST)[:100], then="reset"), ""),
    "a page": (answer("200 OK", b"<html>", Content_Type="text/html"), "text/html"),
    "a page called a stream": (answer("200 OK", b"<html>\n\n</html>", Content_Type="text/event-stream"), ""),
    "JSON": (answer("200 OK", json.dumps(FIRST).encode()), "application/json"),
    "something compressed": (
        answer("200 OK", b"", Content_Type="text/event-stream", Content_Encoding="gzip"),
        "coded as 'gzip'",
    ),
    "no HTTP": (garbage, ""),
    "wrong chunks": (
        lambda _service, connection, _request: connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nwhat\r\n"
        ),
        "",
    ),
    "204": (answer("204 No Content"), "204"),
    "301 to elsewhere": (answer("301 Moved", Location="http://127.0.0.2:1/sdk/v1/stream"), "redirects"),
    "401": (answer("401 Unauthorized", b"{}"), "401"),
    "404": (answer("404 Not Found", b"{}"), "404"),
    "429": (answer("429 Too Many Requests", Retry_After="30"), "429"),
    "500": (answer("500 Internal Server Error"), "500"),
    "503": (answer("503 Service Unavailable", Retry_After="30"), "503"),
    "a snapshot that is no JSON": (saying(event("snapshot", b"<html>")), "not JSON"),
    "a snapshot with a wrong checksum": (saying(snapshot_event(FIRST, checksum="sha256:0", revision=2)), "checksum"),
    "a heartbeat that is no JSON": (saying(event("heartbeat", b"beat")), "not JSON"),
    "a heartbeat without a revision": (saying(event("heartbeat", {})), "revision"),
    "another service's snapshot": (saying(snapshot_event(FIRST, service="payments", revision=2)), "payments"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_is_no_use_leaves_a_client_that_polls(name: str, service: FakeService, connect: Connect) -> None:
    behaviour, words = BROKEN[name]
    service.only("stream", behaviour)
    client = connect(poll_interval=0.1, timeout=60)
    assert client.wait_ready(10)
    wait_until(lambda: words in str(client.status().last_error) if words is not None else True, f"{words!r} is told")
    for revision in range(2, 6):
        service.publish(revision, {"new-checkout": flag(on=revision % 2 == 1)})
        wait_until(lambda wanted=revision: client.status().revision == wanted, "polls bring changes")
    assert client.status().state == "ready" and client.enabled("new-checkout")


@pytest.mark.parametrize("name", ["an end at once", "half of an event", "500", "a page", "a reset"])
def test_the_stream_is_found_again_when_it_is_well(name: str, service: FakeService, connect: Connect) -> None:
    service.only("stream", BROKEN[name][0])
    client = connect(poll_interval=0.05)
    wait_until(lambda: len(service.of("stream")) >= 2, "the stream is tried")
    service.only("stream", None)
    wait_until(lambda: client.status().link == "stream", "it streams")
    assert client.status().last_error is None


WRONG_CHANGES: dict[str, dict[str, Any]] = {
    "a gap before it": {"base": 7, "revision": 9},
    "a wrong checksum": {"checksum": "sha256:" + "0" * 64},
    "a wrong number of flags": {"flag_count": 3},
    "a flag that cannot be decoded": {"flags": {"new-checkout": {"type": "boolean"}}},
    "a segment that is not there": {
        "flags": {"new-checkout": flag(rules=[{"when": {"segment": "x"}, "serve": {"variant": "on"}}])}
    },
    "a schema to come": {"schema": 2},
    "another epoch": {"epoch": "e9"},
    "another environment": {"environment": "staging"},
    "a member that is missing": {"segments": None},
}


@pytest.mark.parametrize("name", WRONG_CHANGES)
def test_a_change_that_must_not_be_used_leads_to_a_poll_and_the_stream_stays(
    name: str, service: FakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "_GAP_S", 0.2)
    wrong = change_event(FIRST, envelope(2, OFF), **WRONG_CHANGES[name])

    def stream(fake: FakeService, connection: socket.socket, request: Request) -> None:
        fake.publish(2, OFF)
        begin(connection)
        say(connection, snapshot_event(FIRST))
        say(connection, wrong)
        while not fake.closing.wait(0.2):
            say(connection, heartbeat(fake.snapshot))

    service.only("stream", stream)
    client = connect(poll_interval=60)
    wait_until(lambda: client.status().revision == 2, "the whole snapshot was fetched")
    assert not client.enabled("new-checkout")
    assert len(service.of("stream")) == 1 and len(service.of("snapshot")) <= 3
    wait_until(lambda: (client.status().state, client.status().link) == ("ready", "stream"), "all is well")


OLDER = {
    "an older snapshot": snapshot_event(envelope(1, ON)),
    "an older change": change_event(envelope(1, ON), envelope(2, ON)),
    "the same change again": change_event(envelope(2, ON), envelope(3, OFF)),
    "an older heartbeat": heartbeat(envelope(1, ON)),
}


@pytest.mark.parametrize("name", OLDER)
def test_nothing_goes_backwards_within_an_epoch(name: str, service: FakeService, connect: Connect) -> None:
    service.publish(3, OFF)
    fourth = change_event(envelope(3, OFF), envelope(4, {**OFF, "more": flag()}))
    service.only("stream", saying(snapshot_event(service.snapshot), OLDER[name], fourth))
    client = connect(poll_interval=60)
    wait_until(lambda: client.enabled("more"), "what comes after it is taken")
    assert client.status().revision == 4 and not client.enabled("new-checkout")
    assert service.of("snapshot") == []


def test_a_new_epoch_is_followed_also_backwards(service: FakeService, connect: Connect) -> None:
    service.publish(3, ON)
    client = connect(poll_interval=60)
    assert client.wait_ready(10)
    service.publish(2, OFF, epoch="e2")
    wait_until(lambda: not client.enabled("new-checkout"), "the new epoch is in force")
    assert (client.status().epoch, client.status().revision) == ("e2", 2)


def test_a_heartbeat_that_is_ahead_leads_to_a_poll(service: FakeService, connect: Connect) -> None:
    def stream(fake: FakeService, connection: socket.socket, request: Request) -> None:
        ahead = {**fake.snapshot, "revision": 2}
        fake.publish(2, OFF)
        saying(snapshot_event(FIRST), *[heartbeat(ahead)] * 3)(fake, connection, request)

    service.only("stream", stream)
    client = connect(poll_interval=60)
    wait_until(lambda: not client.enabled("new-checkout"), "what was missed is fetched", 10)


# Seconds are real here, and the interval is the usual one: the bound is what a fleet costs whoever has trouble.
STORMS: dict[str, Behaviour] = {
    "every stream ends at once": saying(then="end"),
    "every stream ends at once, after a snapshot": saying(snapshot_event(FIRST), end(retry_ms=0), then="end"),
    "every stream is reset": saying(snapshot_event(FIRST), then="reset"),
    "every stream is refused": answer("500 Internal Server Error"),
    "heartbeats are ahead for ever": repeating(lambda fake: heartbeat({**fake.snapshot, "revision": 99}), 0.02),
    "every change is wrong": repeating(lambda fake: change_event(FIRST, envelope(2, OFF), checksum="sha256:0"), 0.02),
    "byte by byte": dripping_stream,
}


def test_trouble_with_streams_is_no_storm_of_requests(connect: Connect) -> None:
    services = {name: FakeService() for name in STORMS}
    for name, service in services.items():
        service.only("stream", STORMS[name])
    clients = {name: connect(url=service.url, poll_interval=2, timeout=5) for name, service in services.items()}
    began = time.monotonic()
    assert all(client.wait_ready(10) for client in clients.values())
    time.sleep(4)
    seconds = time.monotonic() - began
    for name, service in services.items():
        asked = {route: len(service.of(route)) for route in ("stream", "snapshot", "report")}
        assert asked["stream"] <= 2 + seconds and asked["snapshot"] <= 3 + 2 * seconds, (name, asked, seconds)
        assert asked["report"] <= 4 + seconds, (name, asked, seconds)
        assert clients[name].enabled("new-checkout")
        service.close()


@pytest.mark.usefixtures("patience")
def test_a_service_without_streams_is_asked_once(service: FakeService, connect: Connect) -> None:
    service.only("stream", answer("404 Not Found"))
    client = connect(poll_interval=0.05)
    wait_until(lambda: len(service.of("snapshot")) > 10, "it polls")
    assert len(service.of("stream")) == 1 and client.status().state == "ready"


@pytest.mark.usefixtures("patience")
def test_retry_after_is_honoured(service: FakeService, connect: Connect) -> None:
    service.only("stream", answer("503 Service Unavailable", Retry_After="30"))
    client = connect(poll_interval=0.05)
    wait_until(lambda: len(service.of("snapshot")) > 10, "it polls")
    assert len(service.of("stream")) == 1 and client.status().state == "ready"


def test_polls_go_on_while_a_stream_is_tried_in_vain(service: FakeService, connect: Connect) -> None:
    service.only("stream", never)
    connect(poll_interval=0.1, timeout=60)
    wait_until(lambda: service.of("stream") and len(service.of("snapshot")) > 5, "polls in between")


def test_a_refused_key_is_read_again(service: FakeService, connect: Connect, tmp_path: Any) -> None:
    path = tmp_path / "key"
    path.write_text("dh_sdk_old\n")
    service.keys = {"dh_sdk_old"}
    client = connect(key_file=path, poll_interval=0.2)
    wait_until(lambda: client.status().link == "stream", "it streams")
    path.write_text("dh_sdk_new\n")
    service.keys = {"dh_sdk_new"}
    service.only("stream", lambda fake, connection, request: send(connection, "401 Unauthorized", b"{}"))
    wait_until(lambda: client.status().link == "poll", "the old key is revoked")
    service.only("stream", None)
    wait_until(lambda: client.status().link == "stream", "the new key is used")
    assert client.status().last_error is None

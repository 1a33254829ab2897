"""Nothing but a newer valid snapshot ever takes the place of a snapshot: clients that poll, and what they may be told.

The same for streams is in `test_misbehaving_streams`.
"""

from __future__ import annotations

import json
import socket
from functools import partial
from pathlib import Path

import pytest
from support.fakeservice import (
    Behaviour,
    Connect,
    FakeService,
    Request,
    answer,
    bomb,
    dripping,
    endless,
    envelope,
    garbage,
    never,
    offer,
    reset,
    serve_well,
    truncated,
)
from support.rulesets import flag
from support.waiting import wait_until

OFF = {"new-checkout": flag(on=False)}
PROBLEM = json.dumps({"title": "Forbidden", "detail": "this key may not read checkout"}).encode()


@pytest.fixture
def connect(connect: Connect) -> Connect:
    """Clients that poll."""
    return partial(connect, stream=False)


MISBEHAVIOURS: dict[str, tuple[Behaviour, str]] = {
    "an empty object": (answer("200 OK", b"{}"), "has no schema"),
    "an empty body": (answer("200 OK", b""), "not JSON"),
    "an array": (answer("200 OK", b"[]"), "not an object"),
    "a page with 200": (answer("200 OK", b"<html>Welcome</html>", Content_Type="text/html"), "answered with text/html"),
    "a page called JSON": (answer("200 OK", b"<html>Welcome</html>"), "not JSON"),
    "no content type": (answer("200 OK", b"{}", Content_Type=""), "no content type"),
    "a truncated body": (truncated, "broken off"),
    "truncated JSON": (answer("200 OK", json.dumps(envelope(2, OFF)).encode()[:-20]), "not JSON"),
    "deep JSON": (answer("200 OK", b"[" * 200_000), "not JSON"),
    "invalid UTF-8": (answer("200 OK", b'{"schema": "\xff\xfe"}'), "not JSON"),
    "NaN": (answer("200 OK", json.dumps(envelope(2, {})).replace("1", "NaN", 1).encode()), "not JSON"),
    "a wrong checksum": (offer(checksum="sha256:" + "0" * 64), "checksum"),
    "a flag count that does not match": (offer(flag_count=7), "flag_count"),
    "a lower revision": (offer(revision=0), "revision 0; 1 is in force"),
    "a negative revision": (offer(revision=-1, epoch="e2"), "negative revision"),
    "a revision that is a boolean": (offer(revision=True, epoch="e2"), "no revision"),
    "another service's snapshot": (offer(service="payments"), "service is 'payments'"),
    "another environment's snapshot": (offer(environment="staging"), "environment is 'staging'"),
    "a schema to come": (offer(schema=2), "schema 2"),
    "a flag that cannot be decoded": (
        answer("200 OK", json.dumps(envelope(2, {"new-checkout": {"type": "boolean"}})).encode()),
        "flags.new-checkout",
    ),
    "204": (answer("204 No Content"), "204"),
    "206": (answer("206 Partial Content", b"{}"), "206"),
    "400": (answer("400 Bad Request", b"{}"), "400 Bad Request"),
    "401": (answer("401 Unauthorized", b"{}"), "401 Unauthorized"),
    "403": (answer("403 Forbidden", PROBLEM, Content_Type="application/problem+json"), "may not read checkout"),
    "404": (answer("404 Not Found", b"{}"), "404 Not Found"),
    "429": (answer("429 Too Many Requests", Retry_After="1"), "429 Too Many Requests"),
    "500": (answer("500 Internal Server Error"), "500 Internal Server Error"),
    "503 with a date": (answer("503 Service Unavailable", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), "503"),
    "an unknown status": (answer("599 What"), "599"),
    "no answer": (never, "in time"),
    "one byte now and then": (dripping, "in time"),
    "a reset in the middle": (reset, "service"),
    "a body without an end": (endless, "larger than"),
    "a gzip bomb": (bomb, "larger than"),
    "a wrong gzip": (answer("200 OK", b"no gzip", Content_Encoding="gzip"), "unreadable"),
    "no HTTP": (garbage, "service"),
    "a redirect elsewhere": (answer("302 Found", Location="http://127.0.0.2:1/sdk/v1/snapshot"), "redirects to"),
    "a redirect in a circle": (answer("302 Found", Location="/sdk/v1/snapshot"), "redirects more than"),
    "a redirect to nowhere": (answer("302 Found", Location="http://[::1"), "unreadable"),
}


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_flags_stay_as_they_are_the_status_tells_why_and_recovery_follows(
    name: str, service: FakeService, connect: Connect
) -> None:
    behaviour, words = MISBEHAVIOURS[name]
    client = connect(timeout=20.0 if "larger" in words else 1.0)  # many bytes take a busy machine a while
    assert client.wait_ready() and client.enabled("new-checkout")

    service.behaviour = behaviour
    wait_until(lambda: client.status().last_error, "the error shows in the status")

    status = client.status()
    assert status.last_error is not None and words in status.last_error
    assert (status.state, status.revision, status.source) == ("stale", 1, "service")
    assert client.enabled("new-checkout")

    service.publish(3, OFF)
    service.behaviour = serve_well
    wait_until(lambda: not client.enabled("new-checkout"), "the client follows again")
    wait_until(lambda: client.status().state == "ready", "the status is good again")
    assert client.status().last_error is None


@pytest.mark.parametrize("name", ["an empty object", "a truncated body", "401", "no answer", "a gzip bomb"])
def test_a_client_that_begins_in_trouble_gives_defaults_and_then_recovers(
    name: str, service: FakeService, connect: Connect
) -> None:
    service.behaviour = MISBEHAVIOURS[name][0]
    client = connect()
    wait_until(lambda: client.status().last_error, "the error shows in the status")

    wait_until(lambda: client.status().state == "offline", "there is nothing to give")
    assert client.enabled("new-checkout", default=True) and not client.enabled("new-checkout")

    service.behaviour = serve_well
    assert client.wait_ready(10.0)
    assert client.enabled("new-checkout")


def test_a_refused_connection_is_told_and_survived(service: FakeService, connect: Connect) -> None:
    client = connect()
    assert client.wait_ready()
    service.close()
    wait_until(lambda: client.status().last_error, "the error shows in the status")
    assert "Connection refused" in str(client.status().last_error)
    assert client.enabled("new-checkout") and client.status().state == "stale"


def test_a_host_that_is_not_there_is_told(connect: Connect) -> None:
    client = connect(url="http://downhaul.invalid")
    wait_until(lambda: client.status().last_error, "the error shows in the status")
    assert "host name" in str(client.status().last_error)


def test_an_unchanged_snapshot_is_confirmed_by_its_etag(service: FakeService, connect: Connect) -> None:
    client = connect()
    wait_until(lambda: len(service.of("snapshot")) >= 3, "the client has polled")
    first, *later = service.of("snapshot")[:3]
    assert "if-none-match" not in first.headers
    assert [each.headers["if-none-match"] for each in later] == ['"e1:1"', '"e1:1"']
    assert first.headers["authorization"].startswith("Bearer ")
    assert client.status().state == "ready"


def test_an_etag_is_kept_only_when_the_snapshot_was_used(service: FakeService, connect: Connect) -> None:
    client = connect()
    assert client.wait_ready()
    service.behaviour = offer(revision=2, flag_count=9)
    wait_until(lambda: client.status().last_error, "the error shows in the status")
    count = len(service.of("snapshot"))
    wait_until(lambda: len(service.of("snapshot")) > count, "the client asks again")
    assert service.of("snapshot")[-1].headers["if-none-match"] == '"e1:1"'


def test_a_new_epoch_is_followed_also_backwards(service: FakeService, connect: Connect) -> None:
    service.publish(10, {"new-checkout": flag()})
    client = connect()
    assert client.wait_ready()
    service.publish(2, OFF, epoch="e2")
    wait_until(lambda: not client.enabled("new-checkout"), "the new epoch is in force")
    assert (client.status().epoch, client.status().revision) == ("e2", 2)


def test_the_key_never_goes_to_another_origin(service: FakeService, connect: Connect) -> None:
    other = FakeService()
    try:
        client = connect()
        assert client.wait_ready()
        service.behaviour = answer("307 Temporary Redirect", Location=f"{other.url}/sdk/v1/snapshot?service=checkout")
        wait_until(lambda: client.status().last_error, "the error shows in the status")
        assert other.requests == []
    finally:
        other.close()


def test_a_redirect_on_the_same_origin_is_followed(service: FakeService, connect: Connect) -> None:
    def moved(fake: FakeService, connection: socket.socket, request: Request) -> None:
        behaviour = serve_well if request.target.startswith("/new") else answer("308 Moved", Location="/new/snapshot")
        behaviour(fake, connection, request)

    service.behaviour = moved
    assert connect().wait_ready()


def test_the_key_file_is_read_again_when_the_service_refuses_the_key(
    service: FakeService, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.write_text("dh_sdk_old\n")
    service.keys = {"dh_sdk_old"}
    client = connect(key_file=path)
    assert client.wait_ready()

    path.write_text("dh_sdk_new\n")
    service.keys = {"dh_sdk_new"}
    service.publish(2, OFF)
    wait_until(lambda: not client.enabled("new-checkout"), "the new key is used")
    assert client.status().last_error is None


def test_the_key_is_in_no_message(service: FakeService, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    echo = json.dumps({"detail": "unknown key dh_sdk_test_key"}).encode()
    service.behaviour = answer("401 Unauthorized", echo, Content_Type="application/problem+json")
    client = connect()
    wait_until(lambda: client.status().last_error, "the error shows in the status")
    assert "***" in str(client.status().last_error)
    assert "dh_sdk_test_key" not in caplog.text + str(client.status()) + repr(client._settings)


def test_retry_after_is_honoured(service: FakeService, connect: Connect) -> None:
    client = connect()
    assert client.wait_ready()
    service.behaviour = answer("429 Too Many Requests", Retry_After="60")
    wait_until(lambda: client.status().last_error, "the error shows in the status")
    count = len(service.of("snapshot"))
    service.closing.wait(0.5)  # ten times the interval
    assert len(service.of("snapshot")) == count


def test_trouble_is_logged_once_for_each_cause_until_it_is_over(
    service: FakeService, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    service.behaviour = answer("500 Internal Server Error")
    client = connect(poll_interval=0.05)
    wait_until(lambda: len(service.requests) >= 4, "the client has tried often")
    assert caplog.text.count("500 Internal Server Error") == 1
    with caplog.at_level("INFO", "downhaul"):
        service.behaviour = serve_well
        assert client.wait_ready(10.0)
    assert "answers again" in caplog.text


def test_a_proxy_of_the_environment_is_used(
    service: FakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", service.url)
    client = connect(url="http://flags.example")
    assert client.wait_ready(10)
    assert service.requests[0].target == "http://flags.example/sdk/v1/snapshot?service=checkout"

"""The stream, as far as a request goes; what is on the wire afterwards is in `tests/run/test_stream.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from downhaul_server.api.stream import position
from support.api import FLAG, Client, problem
from support.streams import Heard, parse
from werkzeug.test import TestResponse

STREAM = "/sdk/v1/stream?service=checkout"


@pytest.fixture
def client(client: Client) -> Iterator[Client]:
    """All streams are ended with the test."""
    yield client
    client.services.stop()


def first(answer: TestResponse) -> Heard:
    """The first event of an answer, whose connection is then closed."""
    with closing(answer):
        return parse(next(iter(answer.response)).decode().removesuffix("\n\n"))  # type: ignore[union-attr]


def live(client: Client) -> str:
    return next(
        line for line in client.get("/metrics", by=None).text.splitlines() if line.startswith("downhaul_streams ")
    )


def test_it_begins_with_the_snapshot_and_is_held_back_by_nobody(client: Client) -> None:
    answer = client.get(STREAM, by="sdk", accept="text/event-stream")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert first(answer).data == client.get("/sdk/v1/snapshot?service=checkout", by="sdk").json


def test_last_event_id_is_where_it_goes_on(client: Client) -> None:
    known = first(client.get(STREAM, by="sdk")).id
    assert first(client.get(STREAM, by="sdk", last_event_id=known)).event == "heartbeat"
    client.post(f"{FLAG}/kill")
    change = first(client.get(STREAM, by="sdk", last_event_id=known))
    assert change.event == "change" and change.data["flags"]["new-checkout"]["killed"] is True


@pytest.mark.parametrize(
    "nonsense", ["", "x", ":", "e1:", ":1", "e1:-1", "e1:1.5", "e1:١", "e1:1:2", "e1:" + "9" * 400, "é:1"]
)
def test_a_last_event_id_that_is_none_of_ours_is_as_good_as_none(client: Client, nonsense: str) -> None:
    assert first(client.get(STREAM, by="sdk", last_event_id=nonsense)).event == "snapshot"


def test_a_position_is_an_epoch_and_a_revision() -> None:
    assert position("05ab1036a4ec3179:42") == ("05ab1036a4ec3179", 42)
    assert position(None) is None and position("42") is None


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("?service=", 422),
        ("?service=checkout&service=checkout", 422),
        ("?service=checkout&x=1", 422),
        ("?service=checkout&process=", 422),
        ("?service=checkout&process=" + "a" * 65, 422),
        ("?service=checkout&process=a%20b", 422),
        ("?service=checkout&process=a%0A", 422),
        ("?service=payments", 403),
        ("?service=nothing", 403),
    ],
)
def test_what_is_wrong_in_the_query_is_refused(client: Client, query: str, status: int) -> None:
    assert client.get(f"/sdk/v1/stream{query}", by="sdk").status_code == status


def test_a_service_that_is_not_there_is_404(client: Client) -> None:
    body = {"kind": "sdk", "name": "all", "environment": "production", "services": ["*"]}
    client.tokens["all"] = client.post("/api/v1/keys", body).json["token"]
    assert problem(client.get("/sdk/v1/stream?service=nothing", by="all")) == (404, "not-found")


@pytest.mark.parametrize("accept", ["application/json", "text/html, application/json;q=0.9", "text/event-stream;q=0"])
def test_who_does_not_take_events_is_told_so(client: Client, accept: str) -> None:
    assert problem(client.get(STREAM, by="sdk", accept=accept)) == (406, "not-acceptable")


@pytest.mark.parametrize("accept", ["*/*", "text/*", "application/json, text/event-stream;q=0.1"])
def test_who_takes_events_among_others_gets_them(client: Client, accept: str) -> None:
    assert first(client.get(STREAM, by="sdk", accept=accept)).event == "snapshot"


def test_other_methods(client: Client) -> None:
    head = client.call("HEAD", STREAM, by="sdk")
    assert (head.status_code, head.data) == (200, b"")
    assert head.content_type == "text/event-stream; charset=utf-8"
    assert client.call("HEAD", "/sdk/v1/stream?service=payments", by="sdk").status_code == 403
    assert problem(client.post(STREAM, by="sdk")) == (405, "method-not-allowed")
    assert live(client) == "downhaul_streams 0.0"


def test_one_too_many_is_503_and_told_when_to_try_again(client: Client) -> None:
    client.services.streams._most = 1
    with closing(client.get(STREAM, by="sdk")):
        refused = client.get(STREAM, by="sdk")
        assert problem(refused) == (503, "overloaded")
        assert int(refused.headers["Retry-After"]) > 0
    assert first(client.get(STREAM, by="sdk")).event == "snapshot"


def test_one_too_many_with_one_key_is_503_too(client: Client) -> None:
    client.services.streams._most_per_key = 1
    with closing(client.get(STREAM, by="sdk")):
        assert problem(client.get(STREAM, by="sdk")) == (503, "overloaded")


def test_while_it_ends_it_takes_none(client: Client) -> None:
    client.services.stop()
    refused = client.get(STREAM, by="sdk")
    assert problem(refused) == (503, "unavailable") and refused.headers["Retry-After"] == "1"


def test_they_are_counted(client: Client) -> None:
    with closing(client.get(STREAM, by="sdk")):
        assert live(client) == "downhaul_streams 1.0"
    assert live(client) == "downhaul_streams 0.0"
    metrics = client.get("/metrics", by=None).text
    assert 'downhaul_streams_ended_total{reason="client"} 1.0' in metrics
    assert 'downhaul_stream_events_total{event="snapshot"} 1.0' in metrics


def test_an_answer_that_nobody_reads_holds_no_stream(client: Client) -> None:
    client.get(STREAM, by="sdk").close()
    assert live(client) == "downhaul_streams 0.0"


def test_the_document_describes_it(client: Client) -> None:
    operation = client.get("/api/v1/openapi.json", by=None).json["paths"]["/sdk/v1/stream"]["get"]
    assert list(operation["responses"]["200"]["content"]) == ["text/event-stream"]
    assert {"$ref": "#/components/parameters/LastEventId"} in operation["parameters"]
    assert {"401", "403", "404", "406", "422", "503"} <= set(operation["responses"])


class TestTheShortWay:
    """A stream that is asked for in the plainest way does not go through Flask."""

    LONG = STREAM.replace("checkout", "%63heckout")

    def test_it_ends_like_the_long_one(self, client: Client, capfd: pytest.CaptureFixture[str]) -> None:
        answers = [client.get(way, by="sdk", x_request_id="same") for way in (STREAM, self.LONG)]
        short, long = ((answer.status, sorted(answer.headers), first(answer)) for answer in answers)
        assert short == long
        lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "/sdk/v1/stream" in line]
        own = {"duration_ms", "timestamp"}
        one, other = ({name: value for name, value in line.items() if name not in own} for line in lines)
        assert one == other
        metrics = client.get("/metrics", by=None).text
        assert 'downhaul_http_requests_total{method="GET",route="/sdk/v1/stream",status="200"} 2.0' in metrics

    @pytest.mark.parametrize("by", [None, "editor", "nonsense"])
    def test_it_lets_nobody_in(self, client: Client, by: str | None) -> None:
        client.tokens["nonsense"] = "dh_sdk_nonsense"
        assert problem(client.get(STREAM, by=by)) == problem(client.get(self.LONG, by=by))
        assert live(client) == "downhaul_streams 0.0"

    def test_the_process_is_told_either_way(self, client: Client) -> None:
        for way in (STREAM, self.LONG):
            with closing(client.get(f"{way}&process=p-{len(way)}", by="sdk")):
                items = client.get("/api/v1/services/checkout/fleet?environment=production").json["items"]
                assert f"p-{len(way)}" in [each["process"] for each in items]

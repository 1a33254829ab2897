"""What a process tells the service of itself: at once after a change, now and then besides, and at the end."""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise
from typing import Any

import pytest
from downhaul import __version__, report
from downhaul.client import Client
from support.fakeservice import Connect, FakeService, HangUp, answer, never, send, serve_well
from support.rulesets import flag
from support.waiting import wait_until

OFF = {"new-checkout": flag(on=False)}


@pytest.fixture
def client(service: FakeService, connect: Connect) -> Client:
    """One that has reported."""
    made = connect(instance="web-1", build="2.1.0", region="eu", color="blue")
    wait_until(lambda: made.status().link == "stream" and service.reports, "it has reported")
    return made


def test_the_first_one_says_who_the_process_is_and_what_it_has(service: FakeService, client: Client) -> None:
    (first, *_) = service.reports
    process, host = first.pop("process"), first.pop("host")
    assert len(process) == 16 and set(process) <= set("0123456789abcdef") and host
    assert 0 <= first.pop("applied_ms") < 10_000
    assert first == {
        "service": "checkout", "instance": "web-1", "build": "2.1.0", "region": "eu", "color": "blue",
        "pid": os.getpid(), "sdk": f"python/{__version__}", "link": "stream", "epoch": "e1", "revision": 1,
    }  # fmt: skip
    headers = service.of("report")[0].headers
    assert headers["authorization"].startswith("Bearer ") and headers["content-type"] == "application/json"
    assert f"&process={process}" in service.of("stream")[0].target


@pytest.mark.parametrize("stream", [True, False])
def test_a_change_is_reported_at_once(stream: bool, service: FakeService, connect: Connect) -> None:
    client = connect(stream=stream)
    wait_until(lambda: service.reports, "it has reported")
    for revision in (2, 3):
        service.publish(revision, OFF)
        wait_until(lambda wanted=revision: service.reports[-1]["revision"] == wanted, "the change is reported", 10)
    assert service.reports[-1]["link"] == ("stream" if stream else "poll")
    assert client.status().revision == 3 and service.reports[-1]["applied_ms"] < 10_000


def test_a_large_fleet_is_spread(service: FakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float]] = []
    monkeypatch.setattr("downhaul.backoff.between", lambda low, high: asked.append((low, high)) or high)
    service.pace = {"next_report_s": 60, "spread_ms": 700}
    connect()
    wait_until(lambda: len(service.reports) == 1, "it has reported")
    service.publish(2, OFF)
    published = time.monotonic()
    wait_until(lambda: len(service.reports) == 2, "the change is reported")
    assert service.of("report")[-1].at - published > 0.6 and (0.0, 0.7) in asked


def test_the_service_says_how_often(service: FakeService, connect: Connect) -> None:
    service.pace = {"next_report_s": 1, "spread_ms": 0}
    connect()

    def pauses() -> list[float]:
        times = [each.at for each in service.of("report")]
        return [later - earlier for earlier, later in pairwise(times)]

    wait_until(lambda: any(0.5 < pause < 10 for pause in pauses()), "it reports again after a second, not after 15")


def test_another_link_is_reported(service: FakeService, client: Client) -> None:
    service.only("stream", answer("503 Service Unavailable", Retry_After="1"))
    wait_until(lambda: service.reports[-1]["link"] == "poll", "the loss is reported")
    service.only("stream", None)
    wait_until(lambda: service.reports[-1]["link"] == "stream", "the return is reported")


class TestCounts:
    @pytest.fixture(autouse=True)
    def hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(report, "COUNT_EVERY_S", 0.1)

    def batches(self, service: FakeService) -> list[dict[str, Any]]:
        return [each for each in service.reports if "counts" in each]

    def test_are_of_known_flags_alone_and_say_nothing_of_anybody(self, service: FakeService, connect: Connect) -> None:
        service.pace = {"next_report_s": 1, "spread_ms": 0}
        client = connect()
        assert client.wait_ready(10)
        for _ in range(5):
            client.enabled("new-checkout", user="alice@example.com")
        client.enabled("bob@example.com")
        wait_until(lambda: self.batches(service), "counts are reported")
        batch, *_ = self.batches(service)
        assert (batch["counts"], batch["sequence"]) == ({"new-checkout": {"on": 5}}, 1)
        client.enabled("new-checkout")
        wait_until(lambda: self.batches(service)[-1]["sequence"] == 2, "more counts are reported")
        assert self.batches(service)[-1]["counts"] == {"new-checkout": {"on": 1}}, "what was not reported before"
        assert b"example.com" not in b"".join(each.body for each in service.requests)

    def test_that_were_not_answered_are_repeated_as_they_were(self, service: FakeService, connect: Connect) -> None:
        def lost(fake: FakeService, connection: Any, request: Any) -> None:
            raise HangUp  # received, but the answer is lost

        service.pace = {"next_report_s": 1, "spread_ms": 0}
        client = connect()
        wait_until(lambda: service.reports, "it has reported")
        service.only("report", lost)
        client.enabled("new-checkout")
        wait_until(lambda: self.batches(service), "counts are reported")
        client.enabled("new-checkout")
        wait_until(lambda: len(self.batches(service)) > 1, "they are reported again")
        service.only("report", None)
        wait_until(lambda: self.batches(service)[-1]["sequence"] == 2, "the next ones are reported")
        first, *_, last = self.batches(service)
        assert all(each["counts"] == first["counts"] for each in self.batches(service)[:-1])
        assert (first["sequence"], first["counts"]) == (1, {"new-checkout": {"on": 1}})
        assert last["counts"] == {"new-checkout": {"on": 1}}

    def test_that_the_service_does_not_take_do_not_stand_in_the_way(
        self, service: FakeService, connect: Connect
    ) -> None:
        def strict(fake: FakeService, connection: Any, request: Any) -> None:
            if "counts" in json.loads(request.body):
                send(connection, "422 Unprocessable Entity")
            else:
                serve_well(fake, connection, request)

        service.only("report", strict)
        service.pace = {"next_report_s": 1, "spread_ms": 0}
        client = connect()
        assert client.wait_ready(10)
        client.enabled("new-checkout")
        wait_until(lambda: self.batches(service), "counts are reported")
        service.publish(2, OFF)
        wait_until(lambda: service.reports[-1]["revision"] == 2 and "counts" not in service.reports[-1], "all is well")


def test_the_last_word_tells_the_rest(service: FakeService, client: Client) -> None:
    client.enabled("new-checkout")
    client.close()
    wait_until(lambda: service.reports[-1].get("leaving"), "it says that it leaves")
    assert service.reports[-1]["counts"] == {"new-checkout": {"on": 1}}


def test_the_last_word_holds_nobody_up(service: FakeService, client: Client) -> None:
    service.only("report", never)
    before = time.monotonic()
    client.close(10)
    assert time.monotonic() - before < 8


TROUBLE = {
    "hangs": never,
    "fails": answer("500 Internal Server Error"),
    "is not there": answer("404 Not Found"),
    "has had enough": answer("429 Too Many Requests", Retry_After="60"),
    "is no JSON": answer("200 OK", b"<html>", Content_Type="text/html"),
    "is no object": answer("200 OK", b"[]"),
    "is nonsense": answer("200 OK", b'{"next_report_s": "soon", "spread_ms": null}'),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_a_report_that_is_not_taken_disturbs_nothing(
    name: str, service: FakeService, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    service.only("report", TROUBLE[name])
    with caplog.at_level("INFO", "downhaul"):
        client = connect()
        wait_until(lambda: service.of("report"), "it reports")
        for revision in range(2, 5):
            service.publish(revision, {"new-checkout": flag(on=revision % 2 == 1)})
            wait_until(lambda wanted=revision: client.status().revision == wanted, "changes come")
    status = client.status()
    assert (status.state, status.link, status.last_error) == ("ready", "stream", None)
    assert caplog.text.count("takes no report") <= 1, "told once"


@pytest.mark.parametrize("name", ["is not there", "has had enough"])
def test_a_service_that_wants_no_reports_is_left_alone(name: str, service: FakeService, connect: Connect) -> None:
    service.only("report", TROUBLE[name])
    client = connect()
    wait_until(lambda: service.of("report"), "it reports")
    for revision in range(2, 8):
        service.publish(revision, OFF)
        wait_until(lambda wanted=revision: client.status().revision == wanted, "changes come")
    assert len(service.of("report")) <= 3, "the first, and that again where a change has interrupted it"


def test_many_changes_are_few_reports(service: FakeService, client: Client) -> None:
    known = len(service.reports)
    for revision in range(2, 102):
        service.publish(revision, OFF)
        time.sleep(0.01)
    wait_until(lambda: service.reports[-1]["revision"] == 101, "the last one is reported")
    assert len(service.reports) - known <= 20

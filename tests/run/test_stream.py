"""The stream as it is on the wire: a real server of two workers, real connections, real Redis."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from support.redis import RealRedis
from support.server import Server, command
from support.streams import Replica, Tap
from support.waiting import wait_until

pytestmark = pytest.mark.redis

SOON_S = 5.0
NUMBERS = count(1)


class Place:
    """A service of a test's own, with one flag and a key."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.service = f"streamed-{next(NUMBERS)}"
        self.flag = f"services/{self.service}/flags/new-checkout"
        server.made("services", {"key": self.service})
        server.made(f"services/{self.service}/flags", {"key": "new-checkout", "type": "boolean"})
        key = server.made("keys", {"kind": "sdk", "name": self.service, "environment": "production", "services": ["*"]})
        self.key_id, self.token = key["id"], key["token"]

    def tap(self, query: str = "", **options: Any) -> Tap:
        return Tap(self.server, self.token, f"service={self.service}{query}", **options)

    def kill(self) -> int:
        """Kill the flag; gives the revision."""
        return int(self.server.made(f"{self.flag}/kill", {})["revision"])

    def restore(self) -> int:
        return int(self.server.made(f"{self.flag}/restore", {"reason": "a test"})["revision"])

    def snapshot(self) -> dict[str, Any]:
        address = f"{self.server.url}/sdk/v1/snapshot?service={self.service}"
        found: dict[str, Any] = requests.get(
            address, headers={"Authorization": f"Bearer {self.token}"}, timeout=10
        ).json()
        return found

    def held(self) -> list[str]:
        """The links of its processes, as the fleet lists them."""
        path = f"/api/v1/services/{self.service}/fleet?environment=production"
        return [each["link"] for each in self.server.call("GET", path).json()["items"]]


@pytest.fixture
def place(lasting_server: Server) -> Place:
    return Place(lasting_server)


def metric(server: Server, name: str) -> float:
    """One figure, of all workers."""
    text = requests.get(f"{server.url}/metrics", timeout=10).text
    return sum(float(value) for value in re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE))


def test_a_change_is_heard_at_both_workers_and_adds_up_to_the_snapshot(place: Place) -> None:
    with ExitStack() as stack:
        taps = [stack.enter_context(place.tap()) for _ in range(8)]
        replicas = [Replica() for _ in taps]
        for tap, replica in zip(taps, replicas, strict=True):
            assert tap.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert tap.answer.headers["Transfer-Encoding"] == "chunked"
            replica.take(tap.next("snapshot"))
        for revision in (place.kill(), place.restore()):
            began = time.monotonic()
            for tap, replica in zip(taps, replicas, strict=True):
                replica.take(tap.next("change"))
                assert replica.revision == revision
            assert time.monotonic() - began < SOON_S
        assert [replica.flags for replica in replicas] == [place.snapshot()["flags"]] * 8


def test_a_stream_goes_on_where_another_was_cut(place: Place) -> None:
    with place.tap() as tap:
        known = tap.next("snapshot")
    revision = place.kill()
    with place.tap(last_event_id=known.id) as tap:
        change = tap.next()
        assert (change.event, change.data["base"], change.data["revision"]) == (
            "change",
            known.data["revision"],
            revision,
        )
    with place.tap(last_event_id=change.id) as tap:
        assert tap.next().event == "heartbeat"


def test_a_heartbeat_comes_in_time_and_is_young(place: Place) -> None:
    with place.tap() as tap:
        tap.next("snapshot")
        began = time.monotonic()
        assert tap.next("heartbeat").data["age_s"] < SOON_S
        assert time.monotonic() - began < 5.0 + SOON_S


def test_http_1_0_gets_it_without_chunks(place: Place) -> None:
    with place.tap(version="1.0") as tap:
        assert "Transfer-Encoding" not in tap.answer.headers
        assert tap.next().event == "snapshot"
        place.kill()
        assert tap.next("change").data["flags"]["new-checkout"]["killed"] is True


def test_head_is_answered_and_the_connection_serves_on(place: Place) -> None:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {place.token}"
        for _ in range(2):
            answer = session.head(f"{place.server.url}/sdk/v1/stream?service={place.service}", timeout=SOON_S)
            assert (answer.status_code, answer.content) == (200, b"")


def test_after_its_end_the_connection_takes_another_request(place: Place) -> None:
    with place.tap() as tap:
        tap.next("snapshot")
        place.server.call("DELETE", f"/api/v1/keys/{place.key_id}")
        end = tap.next("end")
        assert end.data == {"reason": "revoked"} and end.retry is not None
        assert tap.ended()
        tap.wire.send(b"GET /livez HTTP/1.1\r\nHost: tests\r\n\r\n")
        assert tap.wire.answer().status == 200


def test_what_a_client_says_in_between_is_read_afterwards(place: Place) -> None:
    with place.tap() as tap:
        tap.next("snapshot")
        tap.wire.send(b"GET /livez HTTP/1.1\r\nHost: tests\r\n\r\n")
        place.kill()
        assert tap.next("change")
        place.server.call("DELETE", f"/api/v1/keys/{place.key_id}")
        assert tap.next("end") and tap.ended()
        assert tap.wire.answer().status == 200


def test_a_client_that_hangs_up_is_noticed_at_once(place: Place) -> None:
    before = metric(place.server, 'downhaul_streams_ended_total{reason="client"}')
    with place.tap("&process=p1"):
        wait_until(lambda: place.held() == ["stream"], "the fleet knows of it")
        held = metric(place.server, "downhaul_streams")
        assert held >= 1
    wait_until(
        lambda: metric(place.server, 'downhaul_streams_ended_total{reason="client"}') == before + 1, "it is noticed", 3
    )
    assert metric(place.server, "downhaul_streams") == held - 1


def test_a_client_that_does_not_read_is_dropped_and_delays_nobody(place: Place) -> None:
    large = {"type": "json", "variants": {"off": 0, "one": "1" * 400_000, "two": "2" * 400_000}, "off_variant": "off"}
    place.server.made(f"services/{place.service}/flags", {"key": "large", **large})
    state = f"/api/v1/services/{place.service}/flags/large/environments/production"
    ended = 'downhaul_streams_ended_total{reason="slow"}'
    before = metric(place.server, ended)
    with place.tap() as slow, place.tap() as other:
        assert slow.next("snapshot") and other.next("snapshot")
        for number in range(100):
            variant = {"variant": ("one", "two")[number % 2]}
            assert place.server.call("PATCH", state, {"on": True, "otherwise": variant}).ok
            began = time.monotonic()
            other.next("change")
            assert time.monotonic() - began < SOON_S
            if metric(place.server, ended) > before:
                break
        else:
            pytest.fail("a client that reads nothing was never dropped")


def test_a_large_snapshot_arrives_whole_at_a_client_that_takes_its_time(place: Place) -> None:
    large = {"type": "json", "variants": {"off": "0" * 900_000, "on": 1}, "off_variant": "off"}
    for number in range(8):
        place.server.made(f"services/{place.service}/flags", {"key": f"large-{number}", **large})
    with place.tap() as tap:
        place.kill()
        time.sleep(0.5)  # meanwhile its connection is full, and the kill waits behind the snapshot
        replica = Replica()
        replica.take(tap.next("snapshot"))
        while not replica.flags["new-checkout"]["killed"]:
            replica.take(tap.next("change"))
    assert replica.flags == place.snapshot()["flags"]


def test_a_stream_has_one_line_in_the_log_and_the_key_has_none(place: Place) -> None:
    with place.tap(x_request_id=place.service) as tap:
        tap.next("snapshot")
        place.kill()
        tap.next("change")
    lines = [json.loads(line) for line in place.server.output.splitlines() if place.service in line]
    assert [line["path"] for line in lines if line.get("request_id") == place.service] == ["/sdk/v1/stream"]
    assert place.token not in place.server.output


def test_at_sigterm_every_stream_is_told_so_and_ends_in_time(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server, ExitStack() as stack:
        place = Place(server)
        taps = [stack.enter_context(place.tap()) for _ in range(40)]
        for tap in taps:
            tap.next("snapshot")
        server.send(signal.SIGTERM)
        began = time.monotonic()
        ends = [tap.next("end") for tap in taps]
        assert all(tap.ended() for tap in taps)
        assert time.monotonic() - began < SOON_S
        assert {end.data["reason"] for end in ends} == {"shutdown"}
        assert len({end.retry for end in ends}) > 20
        assert server.stop() == 0


class TestRedisAway:
    @pytest.fixture
    def redis(self, tmp_path: Path) -> Iterator[RealRedis]:
        redis = RealRedis(tmp_path / "redis").start()
        yield redis
        redis.kill()

    def test_an_operators_decision_is_a_new_beginning_for_all(self, tmp_path: Path, redis: RealRedis) -> None:
        checkpoint = tmp_path / "data" / "checkpoint.json"
        with Server(tmp_path / "data", DOWNHAUL_REDIS_URL=redis.url, DOWNHAUL_WORKERS="1") as server:
            place = Place(server)
            with place.tap() as tap:
                first = tap.next("snapshot")
                wait_until(lambda: checkpoint.exists() and place.key_id in checkpoint.read_text(), "it is kept")
                with redis.client() as client:
                    client.flushall()
                wait_until(lambda: server.get("/readyz") == 503, "it has diverged")
                decide = ("recover", "--from", "checkpoint", "--reason", "disk lost", "--yes")
                assert command(*decide, environ=server.environ).returncode == 0
                again = tap.next("snapshot")
                assert again.data["epoch"] != first.data["epoch"]
                assert again.data["flags"] == first.data["flags"]
                with place.tap(last_event_id=first.id) as other:
                    assert other.next() == again

    def test_streams_go_on_and_say_how_old_they_are(self, tmp_path: Path, redis: RealRedis) -> None:
        with Server(tmp_path / "data", DOWNHAUL_REDIS_URL=redis.url, DOWNHAUL_WORKERS="1") as server:
            place = Place(server)
            with place.tap() as tap:
                known = tap.next("snapshot")
                place.kill()
                redis.kill()
                assert tap.next("change")
                wait_until(lambda: tap.next("heartbeat").data["age_s"] > 2, "heartbeats grow old")
                with place.tap(last_event_id=known.id) as late:
                    assert late.next().event == "snapshot", "the log cannot be asked"
                redis.start()
                wait_until(lambda: server.call("POST", f"/api/v1/{place.flag}/restore", {"reason": "x"}).ok, "writes")
                assert tap.next("change").data["flags"]["new-checkout"]["killed"] is False

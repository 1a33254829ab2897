"""Instances report over HTTP; people see the fleet, and how far a change has come."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from downhaul_server.api.schemas.fleet import MOST_FLAGS
from downhaul_server.services import members
from support.api import FLAG, FLAGS, STATE, Client, problem
from support.fleet import Instance
from support.waiting import wait_until
from werkzeug.test import TestResponse

REPORT = "/sdk/v1/report"
FLEET = "/api/v1/services/checkout/fleet"
EVALUATIONS = f"{FLAG}/evaluations"
ONE = Instance("one")


def newest(client: Client) -> tuple[str, int]:
    snapshot = client.get("/sdk/v1/snapshot?service=checkout", by="sdk").json
    return snapshot["epoch"], snapshot["revision"]


def report(client: Client, instance: Instance = ONE, **more: Any) -> TestResponse:
    epoch, revision = newest(client)
    return client.post(REPORT, instance.body(epoch, revision) | more, by="sdk")


@pytest.fixture(params=["before Flask", "by Flask"])
def way(request: pytest.FixtureRequest) -> dict[str, str]:
    """Headers that lead a report to the short way, and to the long one. Both must answer alike."""
    return {
        "Content_Type": "application/json" if request.param == "before Flask" else "application/json; charset=utf-8"
    }


def test_a_report_is_answered_with_when_the_next_one_is_due(client: Client, way: dict[str, str]) -> None:
    answer = client.post(REPORT, ONE.body(*newest(client)), by="sdk", X_Request_Id="mine", **way)
    assert (answer.status_code, answer.json) == (200, {"next_report_s": 15, "spread_ms": 0})
    assert answer.content_type == "application/json"
    assert answer.headers["X-Request-Id"] == "mine"
    assert answer.headers["Cache-Control"] == "no-store"
    (item,) = client.get(FLEET).json["items"]
    assert (item["instance"], item["applied"], item["state"]) == ("one", True, "live")


def test_a_change_may_have_been_applied_long_ago(client: Client) -> None:
    assert report(client, applied_ms=3 * 365 * 24 * 3600 * 1000).status_code == 200
    assert client.get(FLEET).json["items"][0]["applied"] is True


def test_only_what_is_needed_must_be_said(client: Client, way: dict[str, str]) -> None:
    body = {"service": "checkout", "process": "p", "instance": "", "sdk": "go/1", "link": "poll"}
    answer = client.post(REPORT, body | {"epoch": None, "revision": None}, by="sdk", **way)
    assert answer.status_code == 200
    assert client.get(FLEET).json["items"][0]["instance"] == "p"


WRONG: list[tuple[str, Any]] = [
    ("service", "Not A Key"),
    ("service", None),
    ("process", ""),
    ("process", "x" * 65),
    ("process", "a b"),
    ("instance", "x" * 201),
    ("instance", 5),
    ("host", ["x"]),
    ("pid", "5"),
    ("pid", True),
    ("sdk", "x" * 201),
    ("link", "pigeon"),
    ("epoch", 5),
    ("revision", -1),
    ("revision", 1.5),
    ("revision", True),
    ("applied_ms", -1),
    ("applied_ms", 2**53 + 2),
    ("leaving", 1),
    ("sequence", -1),
    ("counts", []),
    ("counts", {"flag": 5}),
    ("counts", {"flag": {"on": -1}}),
    ("counts", {"flag": {"on": True}}),
    ("counts", {"flag": {"on": 1.5}}),
    ("counts", {"x" * 201: {"on": 1}}),
    ("counts", {"flag": {"x" * 201: 1}}),
    ("counts", {f"f{number}": {} for number in range(MOST_FLAGS + 1)}),
    ("counts", {"flag": {f"v{number}": 1 for number in range(201)}}),
    ("colour", "blue"),
]


def test_a_malformed_report_is_refused_with_its_place(client: Client, way: dict[str, str]) -> None:
    right = ONE.body(*newest(client))
    for name, wrong in WRONG:
        answer = client.post(REPORT, right | {name: wrong}, by="sdk", **way)
        assert problem(answer) == (422, "invalid"), (name, wrong)
        assert all(error["pointer"].startswith(f"#/{name}") for error in answer.json["errors"])
    assert client.get(FLEET).json["items"] == []


def test_what_must_be_said_is_missed(client: Client, way: dict[str, str]) -> None:
    for missing in ("service", "process", "instance", "sdk", "link", "epoch", "revision"):
        body = ONE.body(*newest(client))
        del body[missing]
        answer = client.post(REPORT, body, by="sdk", **way)
        assert problem(answer) == (422, "invalid")
        assert [error["pointer"] for error in answer.json["errors"]] == [f"#/{missing}"]


def test_what_is_no_report_at_all_is_refused_as_everywhere(client: Client) -> None:
    assert problem(client.post(REPORT, b"{", by="sdk")) == (400, "malformed-json")
    assert problem(client.post(REPORT, b"[]", by="sdk")) == (422, "invalid")
    assert problem(client.post(REPORT, by="sdk")) == (422, "invalid")
    assert problem(client.post(REPORT, b"{}", by="sdk", Content_Type="text/plain")) == (415, "unsupported-media-type")
    assert problem(client.post(REPORT, b" " * (1024 * 1024 + 1), by="sdk")) == (413, "body-too-large")
    assert problem(client.get(REPORT, by="sdk")) == (405, "method-not-allowed")


def test_who_may_report(client: Client, way: dict[str, str]) -> None:
    body = ONE.body(*newest(client))
    assert problem(client.post(REPORT, body, by=None, **way)) == (401, "unauthenticated")
    assert problem(client.post(REPORT, body, by="admin", **way)) == (403, "forbidden")
    assert problem(client.post(REPORT, body | {"service": "payments"}, by="sdk", **way)) == (403, "forbidden")
    everything = client.post("/api/v1/keys", {"kind": "sdk", "name": "all", "environment": "production"}).json
    client.tokens["all"] = everything["token"]
    assert problem(client.post(REPORT, body | {"service": "nowhere"}, by="all", **way)) == (404, "not-found")
    client.delete(f"/api/v1/keys/{everything['id']}")
    assert problem(client.post(REPORT, body, by="all", **way)) == (401, "unauthenticated")


def test_a_fleet_has_an_end(client: Client, way: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MOST_INSTANCES", 1)
    report(client)
    answer = client.post(REPORT, Instance("two").body(*newest(client)), by="sdk", **way)
    assert problem(answer) == (503, "overloaded")
    assert int(answer.headers["Retry-After"]) > 0
    assert report(client).status_code == 200


def test_counts_are_added_up_once(client: Client, way: dict[str, str]) -> None:
    body = ONE.body(*newest(client)) | {"sequence": 7, "counts": {"new-checkout": {"on": 12, "off": 3}}}
    for _ in range(2):
        assert client.post(REPORT, body, by="sdk", **way).status_code == 200
    wait_until(lambda: client.get(EVALUATIONS).json["items"][-1]["counts"], "they are counted")
    assert client.get(EVALUATIONS).json["items"][-1]["counts"] == {"on": 12, "off": 3}
    assert len(client.get(f"{EVALUATIONS}?hours=48&environment=staging").json["items"]) == 48
    for query in ("hours=0", "hours=961", "hours=x"):
        assert problem(client.get(f"{EVALUATIONS}?{query}")) == (422, "invalid")
    assert problem(client.get(EVALUATIONS, by="stranger")) == (403, "forbidden")


def test_counts_without_a_sequence_are_all_counted(client: Client) -> None:
    body = ONE.body(*newest(client)) | {"counts": {"new-checkout": {"on": 1}}}
    for _ in range(3):
        client.post(REPORT, body, by="sdk")
    wait_until(lambda: client.get(EVALUATIONS).json["items"][-1]["counts"] == {"on": 3}, "they are counted")


def test_the_fleet_is_listed_for_who_may_see_it(client: Client) -> None:
    report(client)
    report(client, Instance("two"), leaving=True)
    answer = client.get(f"{FLEET}?environment=production", by="viewer").json
    assert [(item["instance"], item["state"]) for item in answer["items"]] == [("one", "live"), ("two", "gone")]
    assert answer["counts"] == {"live": 1, "silent": 0, "gone": 1}
    assert (answer["epoch"], answer["revision"]) == newest(client)
    page = client.get(f"{FLEET}?limit=1").json
    rest = client.get(f"{FLEET}?limit=1&cursor={page['next']}").json
    assert [item["instance"] for item in page["items"] + rest["items"]] == ["one", "two"]
    (gone,), (two,) = client.get(f"{FLEET}?state=gone").json["items"], rest["items"]
    assert gone == two | {"last_seen_s": gone["last_seen_s"]}, "the same, but for the time that has passed"
    assert client.get(FLEET, by="tester").json["items"] == []
    assert problem(client.get(FLEET, by="stranger")) == (403, "forbidden")
    assert problem(client.get(f"{FLEET}?environment=production", by="tester")) == (403, "forbidden")
    assert problem(client.get("/api/v1/services/nowhere/fleet")) == (404, "not-found")
    assert problem(client.get(f"{FLEET}?environment=moon")) == (404, "not-found")


class Waiting(threading.Thread):
    """A request that is waited for."""

    def __init__(self, client: Client, method: str, path: str, body: Any = None, **options: Any) -> None:
        super().__init__(daemon=True)
        self._call = lambda: client.call(method, path, body, **options)
        self.found: TestResponse | None = None
        self.start()
        wait_until(lambda: client.services.fleet._watches or self.found, "it waits")

    def run(self) -> None:
        self.found = self._call()

    def answer(self) -> TestResponse:
        self.join(20)
        assert self.found is not None
        return self.found


def test_a_kill_that_waits_is_answered_when_all_have_obeyed(client: Client) -> None:
    two = Instance("two")
    for instance in (ONE, two):
        report(client, instance)
    waiting = Waiting(client, "POST", f"{FLAG}/kill", {"wait": 20})
    report(client)
    assert waiting.found is None
    report(client, two)
    found = waiting.answer().json
    assert (found["instances"], found["applied"], found["confirmed"], found["stragglers"]) == (2, 2, True, [])
    assert found["latency_ms"].keys() == {"p50", "p99", "max"}
    assert found["changed"] is True


def test_a_kill_says_how_far_it_has_come_in_any_case(client: Client) -> None:
    report(client)
    found = client.post(f"{FLAG}/kill").json
    assert (found["instances"], found["applied"], found["confirmed"], found["latency_ms"]) == (1, 0, False, None)
    (straggler,) = found["stragglers"]
    assert (straggler["service"], straggler["instance"], straggler["host"]) == ("checkout", "one", "node-7")
    report(client)
    for path, body in (
        (f"{FLAG}/restore", {"reason": "fixed", "wait": 0.1}),
        ("/api/v1/kill", {"tags": ["payments"], "wait": 0.1}),
        ("/api/v1/restore", {"tags": ["payments"], "reason": "fixed", "wait": 0}),
    ):
        answer = client.post(path, body).json
        assert (answer["instances"], answer["confirmed"]) == (1, False), path


def test_a_repeated_kill_waits_again_for_the_same_revision(client: Client) -> None:
    report(client)
    first = client.post(f"{FLAG}/kill", {"wait": 0.1}, Idempotency_Key="k").json
    waiting = Waiting(client, "POST", f"{FLAG}/kill", {"wait": 20}, Idempotency_Key="k")
    report(client)
    again = waiting.answer().json
    assert (first["confirmed"], again["confirmed"]) == (False, True)
    assert (again["revision"], again["committed_at"]) == (first["revision"], first["committed_at"])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", FLAGS, {"key": "brand-new", "type": "boolean"}),
        ("PUT", FLAG, {"type": "boolean", "variants": {"on": True, "off": False, "none": False}}),
        ("PATCH", FLAG, {"environments": {"production": {"on": True}}}),
        ("PATCH", STATE, {"on": True}),
        ("DELETE", FLAG, None),
    ],
)
def test_every_change_can_be_waited_for(client: Client, method: str, path: str, body: Any) -> None:
    report(client)
    now = client.call(method, f"{path}?wait=0", body, Idempotency_Key="k").json["acknowledgement"]
    assert (now["instances"], now["applied"], now["confirmed"]) == (1, 0, False)
    waiting = Waiting(client, method, f"{path}?wait=20", body, Idempotency_Key="k")
    report(client)
    found = waiting.answer().json["acknowledgement"]
    assert (found["confirmed"], found["revision"], found["committed_at"]) == (
        True,
        now["revision"],
        now["committed_at"],
    )


def test_so_can_a_change_of_a_segment(client: Client) -> None:
    when = {"attribute": "plan", "op": "in", "values": ["beta"]}
    made = client.post("/api/v1/segments?wait=1", {"key": "beta", "when": when}).json
    assert made["acknowledgement"]["instances"] == 0
    client.patch(STATE, {"rules": [{"when": {"segment": "beta"}, "serve": {"variant": "on"}}]})
    report(client)
    body = {"when": when | {"values": ["gamma"]}}
    found = client.put("/api/v1/segments/beta?wait=0.1", body).json["acknowledgement"]
    assert (found["instances"], found["applied"]) == (1, 0)
    report(client)
    assert client.put("/api/v1/segments/beta?wait=5", body).json["acknowledgement"]["confirmed"]
    client.patch(STATE, {"rules": []})
    assert client.delete("/api/v1/segments/beta?wait=5").json["acknowledgement"]["confirmed"]


def test_nobody_waits_who_does_not_ask(client: Client) -> None:
    report(client)
    assert "acknowledgement" not in client.patch(STATE, {"on": True}).json
    document = client.patch(f"{STATE}?wait=0", {"on": False}).json
    assert client.put(FLAG, document).status_code == 200
    for wrong in ("-1", "61", "x", "", "1e1"):
        assert problem(client.patch(f"{STATE}?wait={wrong}", {"on": True})) == (422, "invalid")
    assert client.delete(FLAG).status_code == 204


def test_stop_answers_who_waits(client: Client) -> None:
    report(client)
    waiting = Waiting(client, "POST", f"{FLAG}/kill", {"wait": 60})
    client.services.stop()
    assert waiting.answer().json["confirmed"] is False


def test_drills_over_http(client: Client) -> None:
    assert problem(client.post("/api/v1/drills", {"wait": 0}, by="viewer")) == (403, "forbidden")
    assert problem(client.post("/api/v1/drills", {"services": ["checkout"], "wait": 0}, by="stranger")) == (
        403,
        "forbidden",
    )
    assert problem(client.post("/api/v1/drills", {"environment": "moon"})) == (404, "not-found")
    assert problem(client.post("/api/v1/drills", {"wait": 61})) == (422, "invalid")
    answer = client.post("/api/v1/drills", by="operator")
    assert (answer.status_code, answer.json["environment"], answer.json["confirmed"]) == (200, "production", True)
    assert [item["service"] for item in answer.json["services"]] == ["checkout", "payments"]
    items = client.get("/api/v1/drills", by="viewer").json["items"]
    assert [(item["service"], item["by"], item["id"]) for item in items] == [
        ("checkout", "operator", answer.json["id"]),
        ("payments", "operator", answer.json["id"]),
    ]
    assert len(client.get("/api/v1/drills?limit=1").json["items"]) == 1
    metrics = client.get("/metrics", by=None).text
    assert 'downhaul_drill_confirmed{environment="production",service="checkout"} 1.0' in metrics


def test_a_second_drill_is_409(client: Client) -> None:
    report(client)
    first = Waiting(client, "POST", "/api/v1/drills", {"wait": 60})
    assert problem(client.post("/api/v1/drills", {"wait": 0})) == (409, "in-progress")
    client.services.stop()
    assert first.answer().json["confirmed"] is False


def test_a_flag_that_only_looks_like_the_drills_is_422(client: Client) -> None:
    client.post(FLAGS, {"key": "downhaul-drill", "type": "boolean"})
    answer = client.post("/api/v1/drills", {"services": ["checkout"]})
    assert problem(answer) == (422, "invalid")
    assert answer.json["errors"][0]["pointer"] == "#/services/0"


def test_the_metrics_tell_of_the_fleet(client: Client) -> None:
    report(client)
    report(client, Instance("two"), leaving=True)
    client.post(f"{FLAG}/kill")
    report(client)
    metrics = client.get("/metrics", by=None).text
    place = 'environment="production",service="checkout"'
    assert f'downhaul_instances{{{place},state="live"}} 1.0' in metrics
    assert f'downhaul_instances{{{place},state="gone"}} 1.0' in metrics
    assert f"downhaul_deaf_instances{{{place}}} 0.0" in metrics
    assert 'downhaul_apply_seconds_count{service="checkout"} 1.0' in metrics
    assert "downhaul_reports_total 3.0" in metrics


def test_a_report_that_is_repeated_with_another_type_is_not_taken_for_the_same(client: Client) -> None:
    body = ONE.body(*newest(client)) | {"pid": 1}
    assert client.post(REPORT, body, by="sdk").status_code == 200
    assert problem(client.post(REPORT, body | {"pid": True}, by="sdk")) == (422, "invalid")
    assert client.post(REPORT, json.dumps(body).replace('"pid": 1', '"pid": 1.0').encode(), by="sdk").status_code == 200
    assert client.get(FLEET).json["items"][0]["pid"] == 1

"""Watching a change arrive, without making it again."""

from __future__ import annotations

from support.api import FLAG, Client, problem
from support.fleet import Instance
from support.waiting import wait_until

ROUTE = "/api/v1/acknowledgement"


def killed(client: Client) -> int:
    return int(client.post(f"{FLAG}/kill").json["revision"])


def report(client: Client, instance: Instance) -> None:
    snapshot = client.get("/sdk/v1/snapshot?service=checkout", by="sdk").json
    client.post("/sdk/v1/report", instance.body(snapshot["epoch"], snapshot["revision"]), by="sdk")


def test_it_tells_how_far_a_change_has_come_and_changes_nothing(client: Client) -> None:
    instance = Instance("one")
    report(client, instance)
    revision = killed(client)
    before = client.get(f"{ROUTE}?revision={revision}").json
    assert (before["revision"], before["instances"], before["applied"], before["confirmed"]) == (revision, 1, 0, False)
    assert [straggler["instance"] for straggler in before["stragglers"]] == ["one"]

    report(client, instance)

    wait_until(lambda: client.get(f"{ROUTE}?revision={revision}&wait=1").json["confirmed"], "it is confirmed")
    assert client.get("/api/v1/log?limit=1").json["items"][0]["revision"] == revision


def test_an_answer_that_is_asked_with_patience_comes_at_the_latest_when_the_time_is_up(client: Client) -> None:
    report(client, Instance("one"))
    revision = killed(client)
    assert client.get(f"{ROUTE}?revision={revision}&wait=0.1").json["confirmed"] is False


def test_a_revision_that_is_not_there(client: Client) -> None:
    assert problem(client.get(f"{ROUTE}?revision=999999")) == (404, "not-found")


def test_what_is_asked_must_make_sense(client: Client) -> None:
    for query in ("", "?revision=0", "?revision=soon", "?revision=1&wait=61", "?revision=1&more=1"):
        assert problem(client.get(f"{ROUTE}{query}")) == (422, "invalid")


def test_who_may_not_read_what_it_concerns_is_refused(client: Client) -> None:
    revision = killed(client)  # in production
    assert problem(client.get(f"{ROUTE}?revision={revision}", by="tester")) == (403, "forbidden")
    assert client.get(f"{ROUTE}?revision={revision}", by="operator").status_code == 200


def test_services_can_be_asked_that_a_change_did_not_need_to_touch(client: Client) -> None:
    report(client, Instance("one"))
    killed(client)
    client.post("/api/v1/services", {"key": "payments"})
    client.post("/api/v1/services/payments/flags", {"key": "other", "type": "boolean"})
    many = client.post("/api/v1/kill", {"flags": ["checkout/new-checkout", "payments/other"]}).json
    assert many["unchanged"] == ["checkout/new-checkout"]
    question = {"revision": many["revision"], "environment": "production", "services": ["checkout", "payments"]}

    assert client.get(f"{ROUTE}?revision={many['revision']}").json["instances"] == 0  # nobody runs payments
    found = client.post(ROUTE, question).json
    assert (found["instances"], found["confirmed"], found["stragglers"][0]["instance"]) == (1, False, "one")

    report(client, Instance("one", process=found_process(client)))
    wait_until(lambda: client.post(ROUTE, question | {"wait": 1}).json["confirmed"], "it is confirmed")


def found_process(client: Client) -> str:
    return str(client.get("/api/v1/services/checkout/fleet").json["items"][0]["process"])


def test_who_may_not_read_a_service_may_not_ask_it(client: Client) -> None:
    question = {"revision": killed(client), "environment": "production", "services": ["checkout"]}
    assert problem(client.post(ROUTE, question, by="tester")) == (403, "forbidden")
    assert problem(client.post(ROUTE, question | {"services": ["nobody"]})) == (404, "not-found")
    assert problem(client.post(ROUTE, question | {"services": []})) == (422, "invalid")
    assert problem(client.post(ROUTE, {"revision": 1, "services": ["checkout"]})) == (422, "invalid")

"""Kill and restore over HTTP."""

from __future__ import annotations

from support.api import FLAG, FLAGS, STATE, Client, problem


def test_a_kill_needs_nothing_but_the_address(client: Client) -> None:
    client.patch(STATE, {"on": True})
    answer = client.post(f"{FLAG}/kill", by="operator")
    assert answer.status_code == 200
    assert (answer.json["environment"], answer.json["flags"]) == ("production", ["checkout/new-checkout"])
    assert answer.json["changed"] is True
    state = client.get(STATE).json
    assert state["on"] and state["killed"]["by"] == "operator"


def test_a_second_kill_answers_the_one_that_stands(client: Client) -> None:
    first = client.post(f"{FLAG}/kill", {"reason": "on fire", "wait": 1}).json
    again = client.post(f"{FLAG}/kill", {"environment": None}).json
    assert (again["revision"], again["committed_at"]) == (first["revision"], first["committed_at"])
    assert again["changed"] is False


def test_a_kill_lands_in_the_tokens_only_environment(client: Client) -> None:
    assert client.post(f"{FLAG}/kill", by="tester").json["environment"] == "staging"
    assert problem(client.post(f"{FLAG}/kill", {"environment": "production"}, by="tester")) == (403, "forbidden")


def test_a_restore_needs_a_reason(client: Client) -> None:
    client.post(f"{FLAG}/kill")
    for body in (None, {}, {"reason": ""}, {"reason": "  "}):
        assert problem(client.post(f"{FLAG}/restore", body)) == (422, "invalid")
    assert client.post(f"{FLAG}/restore", {"reason": "fixed"}, by="editor").json["changed"] is True
    assert client.get(STATE).json["killed"] is None


def test_many_are_killed_in_one_commit_and_restored_in_another(client: Client) -> None:
    client.post(FLAGS, {"key": "wallet", "type": "boolean"})
    client.post("/api/v1/services/payments/flags", {"key": "ledger", "type": "boolean", "tags": ["payments"]})
    answer = client.post("/api/v1/kill", {"tags": ["payments"], "flags": ["checkout/nothing"], "reason": "on fire"})
    assert answer.json["flags"] == ["checkout/new-checkout", "payments/ledger"]
    assert answer.json["not_found"] == ["checkout/nothing"]
    newest = client.get("/api/v1/log?limit=1").json["items"][0]
    assert (newest["revision"], newest["action"], len(newest["documents"])) == (answer.json["revision"], "flag.kill", 2)
    restored = client.post("/api/v1/restore", {"services": ["checkout", "payments"], "reason": "fixed"}).json
    assert restored["unchanged"] == ["checkout/wallet"]


def test_a_kill_of_many_needs_to_be_told_which(client: Client) -> None:
    for body in (None, {}, {"reason": "all of it"}):
        assert problem(client.post("/api/v1/kill", body)) == (422, "invalid")
    assert problem(client.post("/api/v1/kill", {"flags": ["checkout/nothing"]})) == (404, "not-found")


def test_how_long_to_wait_is_bounded(client: Client) -> None:
    for wait in (-1, 61, True, "5"):
        assert problem(client.post(f"{FLAG}/kill", {"wait": wait})) == (422, "invalid")


def test_kills_are_counted(client: Client) -> None:
    client.post(f"{FLAG}/kill")
    client.post(f"{FLAG}/kill")
    assert 'downhaul_kills_total{environment="production"} 1.0' in client.get("/metrics", by=None).text

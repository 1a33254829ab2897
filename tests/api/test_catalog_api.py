"""Services, environments, segments, keys, the log and the status over HTTP."""

from __future__ import annotations

import pytest
from support.api import FLAG, STATE, Client, problem

BETA = {"key": "beta", "name": "Beta testers", "when": {"attribute": "plan", "op": "in", "values": ["beta"]}}


@pytest.mark.parametrize("kind", ["services", "environments"])
class TestCatalog:
    def test_it_is_made_renamed_and_deleted(self, client: Client, kind: str) -> None:
        made = client.post(f"/api/v1/{kind}", {"key": "extra"})
        assert (made.status_code, made.headers["Location"]) == (201, f"/api/v1/{kind}/extra")
        assert client.get(f"/api/v1/{kind}/extra", if_none_match=made.headers["ETag"]).status_code == 304
        renamed = client.patch(f"/api/v1/{kind}/extra", {"name": "Extra"}, if_match=made.headers["ETag"])
        assert renamed.json["name"] == "Extra"
        late = client.patch(f"/api/v1/{kind}/extra", {"name": "Late"}, if_match=made.headers["ETag"])
        assert problem(late) == (412, "version-mismatch")
        assert client.delete(f"/api/v1/{kind}/extra").status_code == 204
        assert problem(client.get(f"/api/v1/{kind}/extra")) == (404, "not-found")

    def test_it_is_listed_and_searched(self, client: Client, kind: str) -> None:
        every = client.get(f"/api/v1/{kind}").json
        assert every["next"] is None and len(every["items"]) == 2
        key = every["items"][0]["key"]
        assert [found["key"] for found in client.get(f"/api/v1/{kind}?query={key}").json["items"]] == [key]

    def test_what_is_wrong_is_refused(self, client: Client, kind: str) -> None:
        for body in ({}, {"key": "Bad Key"}, {"key": "x", "name": ""}, {"key": "x", "colour": "blue"}, {"key": 1}):
            assert problem(client.post(f"/api/v1/{kind}", body)) == (422, "invalid")
        first = client.get(f"/api/v1/{kind}").json["items"][0]["key"]
        assert problem(client.post(f"/api/v1/{kind}", {"key": first})) == (409, "already-exists")


def test_what_is_used_stays(client: Client) -> None:
    assert problem(client.delete("/api/v1/services/checkout")) == (409, "in-use")
    assert problem(client.delete("/api/v1/environments/production")) == (409, "in-use")


def test_a_key_with_a_line_break_is_refused(client: Client) -> None:
    assert problem(client.post("/api/v1/services", {"key": "x\n"})) == (422, "invalid")


class TestSegments:
    def test_it_is_made_replaced_and_deleted(self, client: Client) -> None:
        made = client.post("/api/v1/segments", BETA)
        assert (made.status_code, made.headers["Location"]) == (201, "/api/v1/segments/beta")
        replaced = client.put("/api/v1/segments/beta", made.json | {"name": "B"}, if_match=made.headers["ETag"])
        assert (replaced.status_code, replaced.json["name"]) == (200, "B")
        assert client.get("/api/v1/segments?query=b").json["items"] == [replaced.json]
        assert client.delete("/api/v1/segments/beta", if_match=replaced.headers["ETag"]).status_code == 204

    def test_one_that_is_not_there_and_a_circle_are_refused(self, client: Client) -> None:
        answer = client.post("/api/v1/segments", BETA | {"when": {"not": {"segment": "nothing"}}})
        assert problem(answer) == (422, "invalid")
        assert answer.json["errors"][0]["pointer"].startswith("#/when/not")
        client.post("/api/v1/segments", BETA)
        assert problem(client.put("/api/v1/segments/beta", {"when": {"segment": "beta"}})) == (422, "invalid")


class TestKeys:
    def test_the_token_is_shown_once_and_never_kept(self, client: Client) -> None:
        body = {"kind": "sdk", "name": "staging", "environment": "staging", "services": ["checkout"]}
        made = client.post("/api/v1/keys", body)
        assert made.status_code == 201
        assert made.json["token"].startswith("dh_sdk_")
        assert made.headers["Cache-Control"] == "no-store"
        read = client.get(f"/api/v1/keys/{made.json['id']}").json
        assert "token" not in read and "hash" not in read
        assert made.json["token"] not in client.get("/api/v1/log").text

    def test_keys_are_listed_by_kind(self, client: Client) -> None:
        assert {key["kind"] for key in client.get("/api/v1/keys?kind=sdk").json["items"]} == {"sdk"}

    @pytest.mark.parametrize(
        "body",
        [
            {"kind": "sdk", "name": "x"},
            {"kind": "sdk", "name": "x", "environment": "nowhere"},
            {"kind": "api", "name": "x"},
            {"kind": "api", "name": "x", "role": "king"},
            {"kind": "api", "name": "x", "role": "viewer", "expires": "tomorrow"},
            {"kind": "api", "name": "x", "role": "viewer", "expires": "2020-01-01T00:00:00Z"},
            {"kind": "sdk", "name": "", "environment": "staging"},
        ],
    )
    def test_what_makes_no_key_is_refused(self, client: Client, body: dict[str, str]) -> None:
        assert problem(client.post("/api/v1/keys", body)) == (422, "invalid")

    def test_one_that_is_not_there_cannot_be_revoked(self, client: Client) -> None:
        assert problem(client.delete("/api/v1/keys/nothing")) == (404, "not-found")


def test_explain_says_why(client: Client) -> None:
    rule = {"name": "pro", "when": {"attribute": "plan", "op": "in", "values": ["pro"]}, "serve": {"variant": "on"}}
    client.patch(STATE, {"on": True, "rules": [rule], "otherwise": {"variant": "off"}})
    why = client.post(f"{FLAG}/explain", {"environment": "production", "context": {"plan": "pro"}}, by="viewer").json
    assert (why["value"], why["reason"], why["rule"]) == (True, "TARGETING_MATCH", "pro")
    assert why["steps"]
    assert client.post(f"{FLAG}/explain", by="viewer").json["value"] is False
    assert problem(client.post(f"{FLAG}/explain", {"environment": "nowhere"})) == (404, "not-found")


def test_the_history_of_a_flag_has_differences(client: Client) -> None:
    client.patch(STATE, {"on": True, "reason": "go"}, by="editor")
    newest = client.get(f"{FLAG}/history?limit=1", by="viewer").json["items"][0]
    assert (newest["actor"], newest["reason"], newest["environment"]) == ("editor", "go", "production")
    assert {"op": "replace", "path": "/environments/production/on", "before": False, "after": True} in newest["changes"]


def test_the_log_is_filtered(client: Client) -> None:
    client.patch(STATE, {"on": True}, by="editor")
    client.post(f"{FLAG}/kill", by="operator")

    def actions(query: str) -> list[str]:
        return [entry["action"] for entry in client.get(f"/api/v1/log?{query}").json["items"]]

    assert actions("by=editor") == ["flag.state"]
    assert actions("action=flag.kill") == ["flag.kill"]
    assert actions("service=checkout&flag=new-checkout&limit=2") == ["flag.kill", "flag.state"]
    assert actions("until=2020-01-01T00:00:00Z") == actions("since=2099-01-01T00:00:00%2B01:00") == []
    assert problem(client.get("/api/v1/log?since=2020-01-01")) == (422, "invalid")


def test_the_status_says_how_the_service_is(client: Client) -> None:
    status = client.get("/api/v1/status", by="viewer").json
    assert status["state"] == "following"
    assert status["revision"] == client.store.view.revision
    assert {"version", "durability", "warnings", "epoch", "age_s"} <= set(status)

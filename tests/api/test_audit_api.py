"""The audit over HTTP: who was refused, and the log to take away."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.store.keys import REFUSALS
from support.api import ADMIN, FLAG, FLAGS, Client, open_client, problem, settle
from support.redis import FakeRedis, RealRedis
from support.services import ADMIN as BOOTSTRAP
from support.waiting import wait_until

EXPORT = "/api/v1/audit/export"
WRONG = "dh_api_" + "A1b2C3d4" * 5 + "abc_01234567"


def refused(client: Client, **query: str) -> list[dict[str, Any]]:
    """Newest first, when all that is noted is written."""
    client.services.audit._refusals.flush()
    answer = client.get(_log(query))
    items: list[dict[str, Any]] = answer.json["items"]
    return items


def _log(query: dict[str, str]) -> str:
    return "/api/v1/log?" + "&".join(["action=refused", *(f"{name}={value}" for name, value in query.items())])


def exported(client: Client, query: str = "") -> list[dict[str, Any]]:
    answer = client.get(EXPORT + query)
    assert answer.status_code == 200 and answer.content_type == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


class TestRefused:
    def test_whom_we_know(self, client: Client) -> None:
        assert problem(client.post(f"{FLAG}/kill", by="viewer")) == (403, "forbidden")
        (found,) = refused(client)
        assert (found["actor"], found["action"], found["documents"]) == ("viewer", "refused", [])
        assert found["by"]["role"] == "viewer" and found["by"]["address"] == "127.0.0.1" and found["by"]["token"]
        told = found["refused"]
        assert (told["attempt"], told["target"], told["count"]) == ("POST", f"{FLAG}/kill", 1)
        assert "does not allow to kill flags" in told["detail"] and told["address"] == "127.0.0.1"

    def test_whom_nobody_knows(self, client: Client) -> None:
        client.post(f"{FLAG}/kill", by=None, Authorization=f"Bearer {WRONG}")
        client.get(f"{FLAGS}/with-{WRONG}", by=None)
        no_token, wrong = refused(client)
        assert no_token["actor"] == wrong["actor"] == "(unknown)" and wrong["by"] is None
        assert wrong["refused"]["target"] == "/api/v1/services/<service>/flags/<flag>/kill"
        assert "not known" in wrong["refused"]["detail"] and "Authorization" in no_token["refused"]["detail"]

    def test_an_instance_out_of_its_scope(self, client: Client) -> None:
        client.get("/sdk/v1/snapshot?service=payments", by="sdk")
        client.get(FLAGS, by="sdk")
        assert {each["by"]["kind"] for each in refused(client)} == {"sdk"}
        assert {each["refused"]["target"] for each in refused(client)} == {"/sdk/v1/snapshot", FLAGS}

    def test_who_is_held_up_for_guessing(self, client: Client) -> None:
        for number in range(70):
            answer = client.get(FLAGS, by=None, Authorization=f"Bearer guess-{number}")
        assert problem(answer) == (429, "rate-limited")
        client.services.audit._refusals.flush()
        (found,) = client.services.history.log(BOOTSTRAP, action="refused").items
        assert found["refused"]["target"] == "/api/v1/services/<service>/flags"

    def test_what_is_no_refusal_is_not_there(self, client: Client) -> None:
        client.get(f"{FLAGS}/nothing")
        client.post(FLAGS, {"key": "!"})
        client.get("/api/v1/nothing", by=None)
        assert refused(client) == []

    def test_the_log_of_changes_does_not_move(self, client: Client) -> None:
        revision = client.store.view.revision
        for role in ("viewer", "operator", "stranger"):
            client.delete(FLAG, by=role)
        assert len(refused(client)) == 3
        assert client.store.view.revision == revision
        assert client.get("/api/v1/audit/verify").json["whole"]

    @pytest.mark.parametrize("role", ["viewer", "editor", "stranger"])
    def test_only_for_those_who_may_audit_everything(self, client: Client, role: str) -> None:
        assert problem(client.get("/api/v1/log?action=refused", by=role)) == (403, "forbidden")
        assert "by" not in client.get("/api/v1/log", by=role).json["items"][0]
        assert problem(client.get(EXPORT, by=role)) == (403, "forbidden")

    def test_filters_and_pages(self, client: Client) -> None:
        client.post(f"{FLAG}/kill", by="viewer")
        client.patch(f"{FLAG}/environments/production", {"on": True}, by="operator")
        client.post("/api/v1/services", {"key": "x"}, by="editor")
        assert [each["actor"] for each in refused(client)] == ["editor", "operator", "viewer"]
        assert [each["actor"] for each in refused(client, by="viewer")] == ["viewer"]
        assert [each["actor"] for each in refused(client, service="checkout")] == ["operator", "viewer"]
        assert [each["actor"] for each in refused(client, flag="checkout/new-checkout")] == ["operator", "viewer"]
        assert refused(client, flag="checkout/new") == [] and refused(client, service="check") == []
        assert [each["actor"] for each in refused(client, environment="production")] == ["operator"]
        assert refused(client, since="2100-01-01T00:00:00Z") == [] == refused(client, until="2020-01-01T00:00:00Z")
        first = client.get("/api/v1/log?action=refused&limit=2").json
        rest = client.get(f"/api/v1/log?action=refused&limit=2&cursor={first['next']}").json
        assert len(first["items"]) == 2 and [each["actor"] for each in rest["items"]] == ["viewer"]
        assert rest["next"] is None
        assert problem(client.get(f"/api/v1/log?cursor={first['next']}")) == (422, "invalid")
        changes = client.get("/api/v1/log?limit=1").json["next"]
        assert problem(client.get(f"/api/v1/log?action=refused&cursor={changes}")) == (422, "invalid")


class TestExport:
    def test_every_entry_can_be_verified(self, client: Client) -> None:
        client.post(f"{FLAG}/kill", {"reason": "double chärges ☂ </script>"}, by="operator")
        client.post(f"{FLAG}/restore", {"reason": "fixed"})
        head, *entries, end = exported(client)
        assert head["format"] == "downhaul-log" and head["log"] == "changes" and not head["filtered"]
        assert end == {"end": True, "entries": len(entries)} and len(entries) == client.store.view.revision
        chain = ""
        for number, entry in enumerate(entries, 1):
            assert (entry["revision"], entry["previous"]) == (number, chain)
            text = f"{chain}:{number}:{entry['at_ms']}:{entry['digest']}"
            chain = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            assert entry["chain"] == chain
            body = json.dumps(entry["body"], separators=(",", ":"))
            assert bool(entry["redacted"]) != (hashlib.sha256(body.encode()).hexdigest() == entry["digest"])

    def test_who_what_why_from_where_before_and_after(self, client: Client) -> None:
        client.post(f"{FLAG}/kill", {"reason": "double charges"}, by="operator")
        body = exported(client)[-2]["body"]
        assert body["reason"] == "double charges" and body["action"] == "flag.kill"
        assert (
            body["actor"]["name"] == "operator" and body["actor"]["address"] == "127.0.0.1" and body["actor"]["token"]
        )
        (change,) = body["changes"]
        assert change["before"]["environments"].get("production", {}).get("killed") is None
        assert change["after"]["environments"]["production"]["killed"]["by"] == "operator"

    def test_no_token_and_no_hash(self, client: Client) -> None:
        text = client.get(EXPORT).text
        for token in client.tokens.values():
            assert token not in text and hashlib.sha256(token.encode()).hexdigest() not in text
        keys = [entry for entry in exported(client) if entry.get("body", {}).get("action") == "key.create"]
        assert keys and all(entry["redacted"] == ["/changes/0/after/hash"] for entry in keys)

    def test_a_flags_own_members_are_never_hidden(self, client: Client) -> None:
        variants = {"a": {"hash": "x", "password": "y"}, "b": {}}
        made = {"key": "hashes", "type": "json", "variants": variants, "off_variant": "b"}
        assert client.post(FLAGS, made).status_code == 201
        entry = exported(client)[-2]
        assert entry["redacted"] == [] and entry["body"]["changes"][0]["after"]["variants"]["a"]["hash"] == "x"

    @pytest.mark.parametrize(
        ("query", "actions"),
        [
            ("?action=flag.kill", ["flag.kill"]),
            ("?action=flag&service=checkout", ["flag.create", "flag.kill"]),
            ("?flag=checkout/new-checkout", ["flag.create", "flag.kill"]),
            ("?service=checkout&flag=new-checkout&by=operator", ["flag.kill"]),
            ("?by=nobody", []),
            ("?until=2020-01-01T00:00:00Z", []),
            ("?since=2100-01-01T00:00:00Z", []),
            ("?since=2020-01-01T00:00:00Z&action=flag.kill&environment=production", ["flag.kill"]),
        ],
    )
    def test_filters(self, client: Client, query: str, actions: list[str]) -> None:
        client.post(f"{FLAG}/kill", by="operator")
        head, *entries, end = exported(client, query)
        assert [entry["body"]["action"] for entry in entries] == actions
        assert head["filtered"] and end["entries"] == len(actions)
        assert all(entry["previous"] for entry in entries)

    def test_refused_attempts(self, client: Client) -> None:
        client.post(f"{FLAG}/kill", by="viewer")
        refused(client)
        head, entry, end = exported(client, "?action=refused")
        assert head["log"] == "refusals" and not head["filtered"] and end["entries"] == 1
        assert entry["number"] == 1 and entry["previous"] == "" and entry["body"]["actor"]["name"] == "viewer"

    def test_what_it_does_not_take(self, client: Client) -> None:
        for query in ("?limit=1", "?cursor=x", "?flag=alone", "?since=yesterday"):
            assert problem(client.get(EXPORT + query)) == (422, "invalid")

    def test_a_store_that_is_away_is_told_at_once(self, real: RealRedis, tmp_path: Path) -> None:
        with open_client(real, tmp_path / "data") as client:
            real.kill()
            assert problem(client.get(EXPORT)) == (503, "unavailable")


def test_nothing_secret_is_in_the_servers_logs_nor_in_redis(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Tokens, good and wrong, wherever a client may put them."""
    redis = FakeRedis()
    with open_client(redis, tmp_path, log_level="debug") as client:
        settle(client)
        good = client.tokens["viewer"]
        for secret in (good, WRONG):
            client.get(FLAGS, by=None, Authorization=f"Bearer {secret}")
            client.get(f"{FLAGS}/{secret}", by="viewer")
            client.get(f"/{secret}", by=None)
            for method in ("GET", "POST"):
                client.app.test_client().open(f"/k/{secret[7:]}", method=method)
            client.post(FLAGS, {"key": secret, "token": secret}, by="viewer")
            client.post(f"{FLAG}/kill", {"reason": 7, "x": secret}, by="operator")
            client.delete(f"/api/v1/keys/{secret}", by="viewer")
            client.get(FLAGS, by="viewer", X_Request_Id=secret, User_Agent=secret, Idempotency_Key=secret)
        client.services.audit._refusals.flush()
        wait_until(lambda: redis.client().xlen(REFUSALS) > 0, "refused attempts are written down")
    said = capfd.readouterr()
    kept = str(redis.client().xrange(REFUSALS))
    assert '"event": "request"' in said.err
    for text in (said.err, said.out, kept):
        for secret in (good, WRONG, ADMIN):
            assert secret not in text and secret[7:] not in text

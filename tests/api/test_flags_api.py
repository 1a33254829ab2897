"""Flags over HTTP: made, read, replaced, patched, deleted; guarded by versions; safe to repeat."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.api import FLAG, FLAGS, STATE, Client, open_client, problem, settle
from support.redis import RealRedis
from support.waiting import wait_until


def test_a_boolean_flag_needs_a_key_and_a_type_only(client: Client) -> None:
    answer = client.post(FLAGS, {"key": "wallet", "type": "boolean"}, by="editor")
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{FLAGS}/wallet"
    assert answer.headers["ETag"] == f'"{answer.json["version"]}"'
    assert answer.json["variants"] == {"on": True, "off": False}
    assert answer.json["salt"] == "checkout/wallet"
    assert set(answer.json["environments"]) == {"production", "staging"}
    assert not answer.json["environments"]["production"]["on"]
    assert client.get(f"{FLAGS}/wallet").json == answer.json


def test_a_flag_may_be_sent_back_as_it_came(client: Client) -> None:
    flag = client.get(FLAG)
    again = client.put(FLAG, flag.json, if_match=flag.headers["ETag"])
    assert (again.status_code, again.json) == (200, flag.json)


def test_put_makes_what_is_not_there(client: Client) -> None:
    answer = client.put(f"{FLAGS}/wallet", {"type": "boolean"})
    assert (answer.status_code, answer.headers["Location"]) == (201, f"{FLAGS}/wallet")
    assert client.put(f"{FLAGS}/wallet", {"type": "boolean", "owner": "us"}).status_code == 200


def test_a_key_in_the_body_must_be_the_one_in_the_address(client: Client) -> None:
    assert problem(client.put(FLAG, {"key": "other", "type": "boolean"})) == (422, "invalid")
    assert problem(client.put(f"{FLAGS}/Bad", {"type": "boolean"})) == (422, "invalid")


def test_a_merge_patch_changes_what_it_names(client: Client) -> None:
    client.patch(FLAG, {"owner": "team-checkout", "expires": "2027-01-31"})
    answer = client.patch(FLAG, {"expires": None, "environments": {"staging": {"on": True}}})
    assert (answer.json["owner"], answer.json["expires"]) == ("team-checkout", None)
    assert answer.json["environments"]["staging"]["on"]


def test_one_state_is_changed_in_the_short_form(client: Client) -> None:
    answer = client.patch(STATE, {"on": True, "rollout": 25, "by": "tenant", "reason": "a quarter"}, by="editor")
    state = answer.json["environments"]["production"]
    split = [{"variant": "on", "weight": 25_000}, {"variant": "off", "weight": 75_000}]
    assert (state["on"], state["otherwise"]) == (True, {"split": split, "by": "tenant"})
    one = client.get(STATE)
    assert (one.json, one.headers["ETag"]) == (state, answer.headers["ETag"])
    assert client.get(f"{FLAG}/history").json["items"][0]["reason"] == "a quarter"


def test_the_state_of_no_environment_is_404(client: Client) -> None:
    assert problem(client.get(f"{FLAG}/environments/nowhere")) == (404, "not-found")
    assert problem(client.patch(f"{FLAG}/environments/nowhere", {"on": True})) == (404, "not-found")


def test_an_edit_cannot_kill(client: Client) -> None:
    body = {"environments": {"production": {"killed": {"at": "2027-01-01T00:00:00Z", "by": "me", "reason": None}}}}
    assert problem(client.patch(FLAG, body)) == (422, "invalid")


def test_a_deleted_flag_is_gone(client: Client) -> None:
    answer = client.delete(FLAG)
    assert (answer.status_code, answer.data) == (204, b"")
    assert problem(client.get(FLAG)) == (404, "not-found")
    assert problem(client.delete(FLAG)) == (404, "not-found")


class TestVersions:
    def test_a_get_that_knows_the_version_is_304(self, client: Client) -> None:
        etag = client.get(FLAG).headers["ETag"]
        for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            answer = client.get(FLAG, if_none_match=known)
            assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", etag)
        assert client.get(FLAG, if_none_match='"0"').status_code == 200

    @pytest.mark.parametrize("header", ['"1"', 'W/"{}"', '"abc"', "nonsense", '"1", "2"', "{}"])
    def test_a_change_for_another_version_is_412_and_names_the_current_one(self, client: Client, header: str) -> None:
        version = client.get(FLAG).json["version"]
        for method, body in (("PUT", {"type": "boolean"}), ("PATCH", {"owner": "us"}), ("DELETE", None)):
            answer = client.call(method, FLAG, body, if_match=header.format(version))
            assert problem(answer) == (412, "version-mismatch")
            assert answer.json["current_version"] == version
        assert client.get(FLAG).json["version"] == version

    def test_a_change_for_the_current_version_is_made(self, client: Client) -> None:
        for header in ("*", '"1", "{}"', '"{}"'):
            version = client.get(FLAG).json["version"]
            assert client.patch(FLAG, {"owner": header}, if_match=header.format(version)).status_code == 200

    def test_a_star_matches_nothing_where_nothing_is(self, client: Client) -> None:
        answer = client.put(f"{FLAGS}/wallet", {"type": "boolean"}, if_match="*")
        assert problem(answer) == (412, "version-mismatch")
        assert answer.json["current_version"] == 0

    def test_if_none_match_star_only_creates(self, client: Client) -> None:
        assert problem(client.put(FLAG, {"type": "boolean"}, if_none_match="*")) == (412, "version-mismatch")
        assert client.put(f"{FLAGS}/wallet", {"type": "boolean"}, if_none_match="*").status_code == 201


class TestRepeating:
    def test_a_repeated_request_gets_the_first_answer(self, client: Client) -> None:
        first, again = (
            client.post(FLAGS, {"key": "wallet", "type": "boolean"}, idempotency_key="one") for _ in range(2)
        )
        assert (first.status_code, first.json) == (again.status_code, again.json)
        assert len(client.get("/api/v1/log?action=flag.create&flag=checkout/wallet").json["items"]) == 1

    def test_the_key_of_another_request_is_422(self, client: Client) -> None:
        client.post(FLAGS, {"key": "wallet", "type": "boolean"}, idempotency_key="one")
        answer = client.post(FLAGS, {"key": "purse", "type": "boolean"}, idempotency_key="one")
        assert problem(answer) == (422, "idempotency-key-reused")

    @pytest.mark.parametrize("key", ["", "two words", "x" * 201])
    def test_a_key_that_is_none_is_400(self, client: Client, key: str) -> None:
        answer = client.post(FLAGS, {"key": "wallet", "type": "boolean"}, idempotency_key=key)
        assert problem(answer) == (400, "bad-request")

    def test_a_repeated_request_for_a_key_gets_the_same_token(self, client: Client) -> None:
        body = {"kind": "sdk", "name": "x", "environment": "staging", "services": ["checkout"]}
        first, again = (client.post("/api/v1/keys", body, idempotency_key="one") for _ in range(2))
        assert first.json == again.json


class TestLists:
    def test_pages_follow_one_another(self, client: Client) -> None:
        for number in range(5):
            client.post(FLAGS, {"key": f"flag-{number}", "type": "boolean"})
        seen, cursor = [], ""
        while cursor is not None:
            page = client.get(f"{FLAGS}?limit=2{cursor and f'&cursor={cursor}'}").json
            assert len(page["items"]) <= 2
            seen += [flag["key"] for flag in page["items"]]
            cursor = page["next"]
        assert seen == [*(f"flag-{number}" for number in range(5)), "new-checkout"]

    def test_flags_are_found_by_what_they_are(self, client: Client) -> None:
        client.post(FLAGS, {"key": "wallet", "type": "boolean", "owner": "us", "purpose": "ops"})
        client.post(f"{FLAG}/kill")

        def found(query: str) -> list[str]:
            return [flag["key"] for flag in client.get(f"{FLAGS}?{query}").json["items"]]

        assert found("tag=payments") == ["new-checkout"]
        assert found("owner=us") == found("purpose=ops") == found("query=wall") == ["wallet"]
        assert found("state=killed&environment=production") == ["new-checkout"]


@pytest.mark.redis
def test_of_two_changes_of_one_version_one_is_made_and_the_other_is_412(real: RealRedis, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with open_client(real, tmp_path / "a") as one, open_client(real, tmp_path / "b") as other:
        settle(one)
        other.tokens = one.tokens
        wait_until(lambda: other.store.view.revision == one.store.view.revision, "the second node has caught up")
        for round_ in range(10):
            etag = one.get(FLAG).headers["ETag"]
            wait_until(lambda etag=etag: other.get(FLAG).headers["ETag"] == etag, "both are at one version")
            start = threading.Barrier(2)

            def write(node: Client, etag: str = etag, start: threading.Barrier = start, round_: int = round_) -> object:
                start.wait()
                return node.patch(FLAG, {"description": f"{round_} by {id(node)}"}, if_match=etag)

            with ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(write, (one, other)))
            (won,) = [answer for answer in answers if answer.status_code == 200]
            (lost,) = [answer for answer in answers if answer.status_code != 200]
            assert problem(lost) == (412, "version-mismatch")
            assert lost.json["current_version"] == won.json["version"]

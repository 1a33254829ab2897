"""Flags as OpenFeature's clients get them: values, reasons, names, and what each key may see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from downhaul_server import rates
from limits import parse
from support.api import FLAGS, open_client
from support.ofrep import EVALUATE, PAYMENTS_FLAGS, PRO, SPLIT, UNIT, Asked, flag, flags, two
from support.redis import FakeRedis
from support.waiting import wait_until

STATE = "environments/production"


@pytest.mark.parametrize(
    ("key", "context", "value", "reason", "variant"),
    [
        ("plain", {}, True, "STATIC", "on"),
        ("off", {}, False, "DISABLED", "off"),
        ("rules", {"plan": "pro"}, True, "TARGETING_MATCH", "on"),
        ("rules", {"plan": "free"}, False, "DEFAULT", "off"),
        ("needs", {}, True, "STATIC", "on"),
        ("text", {}, "#f00", "STATIC", "one"),
        ("object", {}, {"limits": [1, 2.0]}, "STATIC", "one"),
    ],
)
def test_each_flag_says_its_value_why_and_which_variant(
    asked: Asked, key: str, context: dict[str, Any], value: Any, reason: str, variant: str
) -> None:
    found = asked.one(key, context).json
    assert (found["value"], found["reason"], found["variant"]) == (value, reason, variant)


@pytest.mark.parametrize(("key", "text"), [("whole", "10"), ("broken", "10.0"), ("point", "10.0")])
def test_a_number_is_written_with_a_point_where_one_variant_of_the_flag_is(asked: Asked, key: str, text: str) -> None:
    assert f'"value":{text},' in asked.one(key, {}).text
    assert f'{{"key":"{key}","value":{text},' in asked.all({}).text


def test_the_targeting_key_is_the_user_unless_the_context_has_one(asked: Asked) -> None:
    rules = [
        {"when": {"attribute": "user", "op": "in", "values": ["ada"]}, "serve": {"variant": "on"}},
        {"when": {"attribute": "targetingKey", "op": "in", "values": ["bob"]}, "serve": {"variant": "on"}},
    ]
    asked.made(flag("ada-only", state={"rules": rules, "otherwise": {"variant": "off"}}))
    given = [
        {"targetingKey": "ada"},
        {"user": "ada"},
        {"targetingKey": "eve"},
        {"targetingKey": "ada", "user": "eve"},
        {"targetingKey": "bob", "user": "eve"},
    ]
    values = [asked.one("ada-only", context).json["value"] for context in given]
    assert values == [True, True, False, False, True]


def test_the_same_user_gets_the_same_share_as_from_the_sdk(asked: Asked) -> None:
    for number in range(20):
        context = {"user": f"u-{number}"}
        told = asked.client.post(f"{FLAGS}/share/explain", {"environment": "production", "context": context}).json
        found = asked.one("share", {"targetingKey": f"u-{number}"}).json
        assert (found["value"], found["reason"], found["variant"]) == (told["value"], "SPLIT", told["variant"])


def test_only_a_flag_that_is_split_needs_a_targeting_key(asked: Asked) -> None:
    assert asked.one("plain", {}).status_code == 200
    refused = asked.one("share", {})
    assert (refused.status_code, refused.json["errorCode"]) == (400, "TARGETING_KEY_MISSING")
    assert "user" in refused.json["errorDetails"]
    items = asked.items({})
    assert items["share"] == refused.json and items["plain"]["value"] is True


def test_the_server_knows_service_and_environment_better_than_any_context(asked: Asked) -> None:
    rule = {"when": {"attribute": "environment", "op": "in", "values": ["staging"]}, "serve": {"variant": "off"}}
    asked.made(flag("where", state={"rules": [rule]}))
    assert asked.one("where", {"environment": "staging"}).json["value"] is True


class TestKills:
    def test_a_killed_flag_is_disabled_and_says_in_the_metadata_that_it_is_killed(self, asked: Asked) -> None:
        asked.made(flag("risky"))
        assert asked.one("risky").json["value"] is True
        asked.client.post(f"{FLAGS}/risky/kill", {"reason": "double charges"})
        for by in ("sdk", "client"):
            answer = asked.one("risky", by=by)
            assert answer.json == {
                "key": "risky",
                "value": False,
                "reason": "DISABLED",
                "variant": "off",
                "metadata": {"killed": True},
            }
            assert "double" not in asked.all(by=by).text and "admin" not in asked.all(by=by).text
        asked.client.post(f"{FLAGS}/risky/restore", {"reason": "fixed"})
        assert asked.one("risky").json["value"] is True

    def test_a_killed_prerequisite_takes_the_flag_with_it(self, asked: Asked) -> None:
        asked.made(flag("base", client=False), PAYMENTS_FLAGS)
        needs = [{"flag": "payments/base", "variants": ["on"]}]
        asked.made(flag("on-top", requires=needs))
        assert asked.one("on-top").json["value"] is True
        asked.client.post(f"{PAYMENTS_FLAGS}/base/kill")
        found = asked.one("on-top").json
        assert (found["value"], found["reason"], found["metadata"]) == (False, "DISABLED", {"prerequisiteFailed": True})


class TestNames:
    @pytest.mark.parametrize("name", ["plain", "checkout/plain"])
    def test_a_key_for_one_service_takes_both_names(self, asked: Asked, name: str) -> None:
        assert asked.one(name).json["value"] is True

    def test_a_slash_may_be_escaped_or_not(self, asked: Asked) -> None:
        for path in ("checkout/plain", "checkout%2Fplain", "checkout%2fplain"):
            answer = asked.call(f"{EVALUATE}/{path}", {"context": UNIT}, by="both")
            assert answer.json["key"] == "checkout/plain" and answer.json["value"] is True

    def test_a_key_for_several_services_needs_the_service(self, asked: Asked) -> None:
        assert asked.one("payments/ledger", by="both").json["value"] is True
        refused = asked.one("ledger", by="both")
        assert refused.status_code == 404 and "service/flag" in refused.json["errorDetails"]
        assert set(asked.items(by="both")) >= {"checkout/plain", "payments/ledger"}
        assert all("/" in name for name in asked.items(by="both"))

    @pytest.mark.parametrize(
        "name",
        ["payments/ledger", "nope", "checkout/nope", "nowhere/plain", "a/b/c", "checkout//plain", "ü", "x" * 500],
    )
    def test_what_the_key_is_not_for_is_not_there(self, asked: Asked, name: str) -> None:
        refused = asked.one(name)
        assert (refused.status_code, refused.json["errorCode"]) == (404, "FLAG_NOT_FOUND")


class TestClientKeys:
    def test_they_see_marked_flags_only_and_cannot_tell_others_from_nothing(self, asked: Asked) -> None:
        marked = {each["key"] for each in flags() if each["client"]}
        found = set(asked.items(by="client"))
        assert found >= marked and "secret" not in found
        hidden, absent = asked.one("secret", by="client"), asked.one("absent", by="client")
        assert hidden.status_code == absent.status_code == 404
        assert hidden.json["errorDetails"].replace("secret", "absent") == absent.json["errorDetails"]
        assert asked.one("secret", by="sdk").json["value"] is True

    def test_the_mark_counts_at_once_both_ways(self, asked: Asked) -> None:
        asked.made(flag("shy", client=False))
        before = asked.all(by="client")
        for shown, status in ((True, 200), (False, 404), (None, 404)):
            asked.client.patch(f"{FLAGS}/shy", {"client": shown})
            assert asked.one("shy", by="client").status_code == status
            assert ("shy" in asked.items(by="client")) is (status == 200)
        assert asked.all(by="client").headers["ETag"] == before.headers["ETag"]

    def test_names_of_rules_are_for_servers(self, asked: Asked) -> None:
        context = {"plan": "pro"}
        assert asked.one("rules", context, by="sdk").json["metadata"] == {"rule": "pro"}
        assert asked.one("rules", context, by="client").json["metadata"] == {}

    def test_for_every_service_flags_are_named_with_theirs(self, asked: Asked) -> None:
        asked.made(flag("wallet"), PAYMENTS_FLAGS)
        found = asked.items(by="every")
        assert {"payments/wallet", "checkout/plain"} <= set(found) and "payments/ledger" not in found

    def test_they_are_good_for_nothing_else(self, asked: Asked) -> None:
        asked.client.tokens["browser"] = asked.keys["client"]
        for method, path in (
            ("GET", "/sdk/v1/snapshot?service=checkout"),
            ("GET", "/sdk/v1/stream?service=checkout"),
            ("POST", "/sdk/v1/report"),
            ("GET", FLAGS),
            ("POST", f"{FLAGS}/plain/kill"),
            ("GET", "/api/v1/keys"),
        ):
            answer = asked.client.call(method, path, by="browser", If_None_Match='"x"', Accept="text/event-stream")
            assert answer.status_code == 403, path
            assert "client key" in answer.json["detail"]

    def test_a_key_whose_service_is_gone_sees_nothing(self, asked: Asked) -> None:
        asked.client.post("/api/v1/services", {"key": "fleeting"})
        asked.key("fleeting", "client", ["fleeting", "checkout"])
        asked.client.delete("/api/v1/services/fleeting")
        assert asked.one("fleeting/any", by="fleeting").status_code == 404
        assert "checkout/plain" in asked.items(by="fleeting")


def test_every_change_is_seen_at_once_and_only_there(asked: Asked) -> None:
    asked.made(two("moving", "string", "#f00", "#00f"))
    asked.key("staging", "sdk", ["checkout"], "staging")
    path = f"{FLAGS}/moving"
    asked.client.patch(path, {"variants": {"one": "#0f0"}})
    assert asked.one("moving").json["value"] == "#0f0"
    asked.client.patch(f"{path}/{STATE}", {"rules": [{**PRO, "serve": {"variant": "two"}}]})
    assert asked.one("moving", {"plan": "pro"}).json["value"] == "#00f"
    asked.client.put("/api/v1/segments/paying", {"when": {"attribute": "plan", "op": "in", "values": ["gold"]}})
    try:
        assert asked.one("moving", {"plan": "pro"}).json["value"] == "#0f0"
    finally:
        asked.client.put("/api/v1/segments/paying", {"when": {"attribute": "plan", "op": "in", "values": ["pro"]}})
    assert asked.one("moving", by="staging").json["reason"] == "DISABLED"
    asked.client.delete(path)
    assert asked.one("moving").status_code == 404 and "moving" not in asked.items()


class TestAllFlags:
    def test_they_come_with_a_stream_and_what_they_are_of(self, asked: Asked) -> None:
        found = asked.all(by="client").json
        assert set(found) == {"flags", "metadata", "eventStreams"}
        assert found["metadata"] == {"environment": "production"}
        (stream,) = found["eventStreams"]
        assert stream["type"] == "sse" and stream["url"].startswith("http://localhost/ofrep/v1/events?token=dh_stream_")
        assert asked.keys["client"] not in stream["url"]

    def test_the_etag_is_of_flags_and_context(self, asked: Asked) -> None:
        asked.made(flag("tagged", state={"otherwise": SPLIT}))
        etag = asked.all().headers["ETag"]
        assert etag.startswith('"') and asked.all().headers["ETag"] == etag
        for header in (etag, f"W/{etag}", f'"other", {etag}'):
            again = asked.all(If_None_Match=header)
            assert (again.status_code, again.headers["ETag"]) == (304, etag)
        others = [asked.all({**UNIT, "plan": "pro"}), asked.all({"targetingKey": "bob"}), asked.all(by="client")]
        assert len({etag, *(other.headers["ETag"] for other in others)}) == 4
        assert asked.all({**UNIT, "plan": "pro"}, If_None_Match=etag).status_code == 200
        asked.client.post("/api/v1/services/payments/flags/ledger/kill", {"environment": "staging"})
        assert asked.all(If_None_Match=etag).status_code == 304
        asked.client.post(f"{FLAGS}/tagged/kill")
        changed = asked.all(If_None_Match=etag)
        assert changed.status_code == 200 and changed.headers["ETag"] != etag

    def test_what_an_event_has_told_comes_along_and_is_checked(self, asked: Asked) -> None:
        for query in (
            "flagConfigEtag=e:1&flagConfigLastModified=1771622898",
            "flagConfigLastModified=2026-02-20T21:28:18Z",
        ):
            assert asked.call(f"{EVALUATE}?{query}", {"context": UNIT}).status_code == 200
        refused = asked.call(f"{EVALUATE}?flagConfigLastModified=yesterday", {"context": UNIT})
        assert refused.status_code == 400 and "flagConfigLastModified" in refused.json["errorDetails"]

    def test_a_server_that_lags_behind_what_the_client_was_told_waits_for_it(
        self, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waited: list[int] = []
        monkeypatch.setattr(asked.client.store, "wait_for", lambda revision, timeout: waited.append(revision))
        view = asked.client.store.view
        for told in (f"{view.epoch}:{view.revision}", f"other:{view.revision + 5}", f"{view.epoch}:x", "e"):
            asked.call(f"{EVALUATE}?flagConfigEtag={told}", {"context": UNIT})
        assert waited == []
        asked.call(f"{EVALUATE}?flagConfigEtag={view.epoch}:{view.revision + 5}", {"context": UNIT})
        assert waited == [view.revision + 5]


class TestBadRequests:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", "PARSE_ERROR"),
            (b"{ not JSON", "PARSE_ERROR"),
            (b"\xff", "PARSE_ERROR"),
            (b'{"context": {"a": 1, "a": 2}}', "PARSE_ERROR"),
            (b"[]", "PARSE_ERROR"),
            (b"null", "PARSE_ERROR"),
            (b"{}", "INVALID_CONTEXT"),
            (b'{"context": null}', "INVALID_CONTEXT"),
            (b'{"context": []}', "INVALID_CONTEXT"),
            (b'{"context": {"targetingKey": 7}}', "INVALID_CONTEXT"),
            (b'{"context": {"targetingKey": null}}', "INVALID_CONTEXT"),
            (b'{"context": {"a": "' + b"x" * 1024 * 1024 + b'"}}', "PARSE_ERROR"),
        ],
    )
    def test_a_bad_body_is_400_and_says_what_was_expected(self, asked: Asked, body: bytes, code: str) -> None:
        for path, key in ((f"{EVALUATE}/plain", "plain"), (EVALUATE, None)):
            refused = asked.call(path, body)
            assert (refused.status_code, refused.json["errorCode"]) == (400, code)
            assert refused.json.get("key") == key

    def test_the_media_type_does_not_matter(self, asked: Asked) -> None:
        body = json.dumps({"context": {}, "more": 1}).encode()
        for media_type in ("text/plain", "application/json; charset=utf-8", ""):
            assert asked.call(f"{EVALUATE}/plain", body, Content_Type=media_type).status_code == 200

    def test_no_value_in_a_context_breaks_an_evaluation(self, asked: Asked) -> None:
        for value in (None, True, 1, 1.5, "", [], [1], {}, {"a": {"b": [None]}}, "x" * 10_000, 10**300):
            context = {"targetingKey": "ada", "plan": value, "user": value, "country": value}
            assert asked.one("rules", context).status_code == 200
            assert asked.one("share", context).status_code in (200, 400)
            assert asked.all(context).status_code == 200


class TestRefusals:
    def test_who_has_no_key_is_401_before_anything_is_read(self, asked: Asked) -> None:
        for path in (f"{EVALUATE}/plain", EVALUATE):
            refused = asked.call(path, b"{ not JSON", by=None)
            assert refused.status_code == 401 and refused.headers["WWW-Authenticate"].startswith("Bearer")
            assert asked.call(path, b"", by=None, Authorization="Bearer nonsense").status_code == 401
            assert asked.call(path, b"", by=None, X_API_Key="nonsense").status_code == 401

    def test_the_key_may_come_as_x_api_key(self, asked: Asked) -> None:
        answer = asked.one("plain", by=None, X_API_Key=asked.keys["client"])
        assert answer.json["value"] is True

    def test_two_keys_are_one_too_many(self, asked: Asked) -> None:
        assert asked.one("plain", by="sdk", X_API_Key=asked.keys["client"]).status_code == 401
        assert asked.one("plain", by="sdk", X_API_Key=asked.keys["sdk"]).status_code == 200

    def test_an_api_token_is_403_and_a_session_is_nobody(self, asked: Asked) -> None:
        assert asked.one("plain", by="api").status_code == 403
        assert asked.one("plain", by=None, Cookie="__Host-downhaul=anything").status_code == 401

    def test_a_revoked_key_is_401_at_once(self, asked: Asked) -> None:
        asked.key("brief", "client", ["checkout"])
        assert asked.one("plain", by="brief").status_code == 200
        listed = asked.client.get("/api/v1/keys?kind=client&limit=500").json["items"]
        (key_id,) = [key["id"] for key in listed if key["name"] == "brief"]
        asked.client.delete(f"/api/v1/keys/{key_id}")
        assert asked.one("plain", by="brief").status_code == 401

    def test_other_methods_are_405_and_say_which_are_allowed(self, asked: Asked) -> None:
        for path, method in ((f"{EVALUATE}/plain", "POST"), (EVALUATE, "POST"), ("/ofrep/v1/events", "GET")):
            for wrong in {"GET", "POST", "PUT", "DELETE", "PATCH"} - {method}:
                refused = asked.client.call(wrong, path)
                assert refused.status_code == 405 and method in refused.headers["Allow"]

    def test_who_guesses_keys_is_told_when_to_come_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(rates.LIMITS, "key", parse("5 per minute"))
        with open_client(FakeRedis(), tmp_path) as client:
            answers = [Asked(client).all(by=None, Authorization="Bearer guess") for _ in range(7)]
        assert answers[0].status_code == 401 and answers[-1].status_code == 429
        assert answers[-1].headers["Retry-After"].isdecimal()

    def test_while_nothing_is_loaded_or_something_fails_it_is_500_in_their_words(
        self, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(asked.client.services.evaluation, "one", broken)
        monkeypatch.setattr(asked.client.services.evaluation, "all", broken)
        for answer in (asked.call(f"{EVALUATE}/plain", {"context": {}}), asked.all({})):
            assert (answer.status_code, answer.json["errorCode"]) == (500, "GENERAL")
            assert "bug" not in answer.text


class TestCounting:
    def counted(self, asked: Asked, flag: str) -> dict[str, int]:
        asked.client.services.evaluation.flush()
        found = asked.client.get(f"{FLAGS}/{flag}/evaluations?environment=production").json
        return found["items"][-1]["counts"] if "items" in found else found[-1]["counts"]

    def test_evaluations_count_as_those_of_instances_do(self, asked: Asked) -> None:
        asked.made(flag("counted", state={"otherwise": SPLIT}))
        for user, by in (("u-1", "sdk"), ("u-2", "client"), ("u-3", "sdk")):
            asked.one("counted", {"targetingKey": user}, by=by)
        asked.one("counted", {})
        asked.all(UNIT)
        etag = asked.all(UNIT).headers["ETag"]
        asked.all(UNIT, If_None_Match=etag)
        wait_until(lambda: sum(self.counted(asked, "counted").values()) == 7, "all are counted")
        assert self.counted(asked, "counted")["(other)"] == 1


def test_flags_are_compiled_again_only_where_something_has_changed(asked: Asked) -> None:
    sets = asked.client.services.evaluation._sets
    view = lambda: asked.client.store.view  # noqa: E731
    asked.made(flag("fresh"))
    before = sets.of(view(), "checkout", "production")
    asked.client.patch(f"{FLAGS}/fresh", {"description": "nothing that matters"})
    asked.client.post(f"{FLAGS}/fresh/kill", {"environment": "staging"})
    assert sets.of(view(), "checkout", "production") is before
    asked.client.post(f"{FLAGS}/fresh/kill")
    after = sets.of(view(), "checkout", "production")
    assert {name for name, offer in after.offers.items() if before.offers[name] is not offer} == {"fresh"}

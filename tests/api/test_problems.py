"""Every error is a problem document with a stable type."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.api import problems
from downhaul_server.services.errors import ServiceError, Unavailable
from support.api import FLAG, FLAGS, STATE, Client, problem

DOCS = Path(__file__).parents[2] / "docs" / "api.md"


def test_an_unknown_address_is_404(client: Client) -> None:
    for path in ("/api/v1/nothing", "/api/v1/services/checkout/flags/", "//api/v1/services", "/sdk/v1"):
        assert problem(client.get(path)) == (404, "not-found")


def test_an_unknown_thing_is_404_and_is_named(client: Client) -> None:
    answer = client.get(f"{FLAGS}/nothing")
    assert problem(answer) == (404, "not-found")
    assert "nothing" in answer.json["detail"]


def test_a_method_that_is_not_taken_is_405_with_what_is(client: Client) -> None:
    answer = client.post(FLAG, {})
    assert problem(answer) == (405, "method-not-allowed")
    assert {"GET", "PUT", "PATCH", "DELETE"} <= set(re.findall(r"\w+", answer.headers["Allow"]))


def test_options_says_what_is_taken(client: Client) -> None:
    answer = client.call("OPTIONS", FLAGS, by=None)
    assert answer.status_code == 200
    assert {"GET", "POST", "HEAD", "OPTIONS"} == set(re.findall(r"\w+", answer.headers["Allow"]))


def test_head_is_get_without_the_body(client: Client) -> None:
    head, get = client.call("HEAD", FLAG), client.get(FLAG)
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", get.headers["ETag"])
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "line 1"),
        (b"{} {}", "JSON"),
        (b'{"key": "a", "key": "b"}', "twice"),
        (b'{"key": NaN}', "NaN"),
        (b'{"key": -Infinity}', "Infinity"),
        (b'{"key": 1e999}', "too large"),
        (b'{"key": ' + b"9" * 400 + b"}", "too large"),
        (b'{"key": "\\ud800"}', "surrogate"),
        (b'{"key": "\xff"}', "UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"[" * 5000, "deep"),
        (b'{"when": ' + b"[" * 200 + b"]" * 200 + b"}", "deep"),
    ],
)
def test_what_is_not_json_is_400(client: Client, body: bytes, said: str) -> None:
    answer = client.post(FLAGS, body)
    assert problem(answer) == (400, "malformed-json")
    assert said in answer.json["detail"]


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"1", b"true"])
def test_json_that_is_no_object_is_422(client: Client, body: bytes) -> None:
    answer = client.post(FLAGS, body)
    assert problem(answer) == (422, "invalid")
    assert answer.json["errors"][0]["pointer"] == "#"


def test_another_media_type_is_415(client: Client) -> None:
    answer = client.post(FLAGS, b"key=a", Content_Type="application/x-www-form-urlencoded")
    assert problem(answer) == (415, "unsupported-media-type")
    assert "application/json" in answer.json["detail"]
    assert problem(client.post(FLAGS, b"{}", Content_Type="")) == (415, "unsupported-media-type")


def test_a_merge_patch_may_say_so(client: Client) -> None:
    answer = client.patch(FLAG, {"owner": "us"}, Content_Type="application/merge-patch+json; charset=utf-8")
    assert answer.json["owner"] == "us"


def test_a_body_that_is_too_large_is_413(client: Client) -> None:
    answer = client.post(FLAGS, b" " * (1024 * 1024 + 1))
    assert problem(answer) == (413, "body-too-large")
    assert "1048576" in answer.json["detail"]


def test_what_is_there_already_is_409(client: Client) -> None:
    assert problem(client.post(FLAGS, {"key": "new-checkout", "type": "boolean"})) == (409, "already-exists")


def test_what_others_use_is_409_and_says_who(client: Client) -> None:
    client.post("/api/v1/segments", {"key": "beta", "when": {"attribute": "plan", "op": "in", "values": ["beta"]}})
    rule = {"when": {"segment": "beta"}, "serve": {"variant": "on"}}
    assert client.patch(STATE, {"rules": [rule]}).status_code == 200
    answer = client.delete("/api/v1/segments/beta")
    assert problem(answer) == (409, "in-use")
    assert answer.json["used_by"] == ["flag checkout/new-checkout"]


def test_every_fault_of_the_shape_is_told_with_its_place(client: Client) -> None:
    rules = [{"when": {"all": [{"attribute": "plan", "op": "equals", "values": [None]}]}, "serve": {}}]
    body = {"key": "Bad Key", "type": "bool", "tags": "x", "environments": {"production": {"on": 1, "rules": rules}}}
    answer = client.post(FLAGS, body | {"colour": "blue"})
    assert problem(answer) == (422, "invalid")
    assert {error["pointer"] for error in answer.json["errors"]} == {
        "#/key",
        "#/type",
        "#/tags",
        "#/colour",
        "#/environments/production/on",
        "#/environments/production/rules/0/when/all/0/op",
        "#/environments/production/rules/0/when/all/0/values/0",
        "#/environments/production/rules/0/serve",
    }


def test_a_fault_of_the_meaning_is_told_with_its_place(client: Client) -> None:
    rule = {"when": {"attribute": "name", "op": "matches", "values": ["("]}, "serve": {"variant": "on"}}
    answer = client.patch(STATE, {"rules": [rule]})
    assert problem(answer) == (422, "invalid")
    assert answer.json["errors"][0]["pointer"] == "#/rules/0/when/values/0"


def test_pointers_are_escaped(client: Client) -> None:
    answer = client.post(FLAGS, {"key": "a", "type": "string", "off_variant": "a", "variants": {"a": "", "b/~ c": 1}})
    assert problem(answer) == (422, "invalid")
    assert answer.json["errors"][0]["pointer"] == "#/variants/b~1~0%20c"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=%FF", "cursor"),
        ("cursor=~", "cursor"),
        ("colour=blue", "colour"),
        ("state=broken", "state"),
    ],
)
def test_a_wrong_query_parameter_is_422_and_named(client: Client, query: str, parameter: str) -> None:
    answer = client.get(f"{FLAGS}?{query}")
    assert problem(answer) == (422, "invalid")
    assert [error["parameter"] for error in answer.json["errors"]] == [parameter]


@pytest.mark.parametrize("wrong", [True, "25", None, 101, -1, [25], 1.0001])
def test_numbers_are_taken_literally(client: Client, wrong: Any) -> None:
    assert problem(client.patch(STATE, {"rollout": wrong})) == (422, "invalid")


def test_a_condition_may_be_32_levels_deep_and_no_deeper(client: Client) -> None:
    def nested(depth: int) -> dict[str, Any]:
        leaf: dict[str, Any] = {"attribute": "plan", "op": "exists"}
        for _ in range(depth - 1):
            leaf = {"not": leaf}
        return leaf

    assert client.put("/api/v1/segments/deep", {"when": nested(32)}).status_code == 201
    answer = client.put("/api/v1/segments/deep", {"when": nested(33)})
    assert problem(answer) == (422, "invalid")
    assert "32" in answer.json["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"tags": ["x"] * 101},
        {"tags": ["x" * 101]},
        {"requires": [{"flag": "other", "variants": ["on"]}] * 101},
        {"variants": {f"v{number}": True for number in range(101)}},
        {"environments": {"production": {"rules": [{"when": {"all": []}, "serve": {"variant": "on"}}] * 1001}}},
        {"environments": {"production": {"otherwise": {"split": [{"variant": "on", "weight": 0}] * 101}}}},
        {"description": "x" * 2001},
    ],
)
def test_nothing_is_endless(client: Client, body: dict[str, Any]) -> None:
    assert problem(client.patch(FLAG, body)) == (422, "invalid")


def test_an_unavailable_store_is_503_with_retry_after(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any, **kwargs: Any) -> None:
        raise Unavailable("Redis does not answer", outcome_unknown=True)

    monkeypatch.setattr(client.services.flags, "set_state", away)
    answer = client.patch(STATE, {"on": True})
    assert problem(answer) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json["outcome_unknown"] is True


def test_a_bug_is_500_and_tells_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"a secret: {client.tokens['admin']}")

    monkeypatch.setattr(client.services.flags, "get", broken)
    answer = client.get(FLAG)
    assert problem(answer) == (500, "internal-error")
    assert "secret" not in answer.text
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    told = [line for line in lines if line["event"] == "request failed"]
    assert "RuntimeError" in told[0]["exception"]
    assert client.tokens["admin"] not in told[0]["exception"]


def test_every_service_error_has_an_answer_of_its_own() -> None:
    from downhaul_server.api.errors import _TABLE

    assert set(ServiceError.__subclasses__()) == set(_TABLE)


def test_the_guide_lists_every_type_with_its_status() -> None:
    listed = re.findall(r"^\| `urn:downhaul:problem:([a-z-]+)` \| (\d+) \|", DOCS.read_text(), re.MULTILINE)
    assert {(name, int(status)) for name, status in listed} == {(kind.name, kind.status) for kind in problems.ALL}

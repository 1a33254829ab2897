"""Every route says who may call it, and means it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from downhaul_server.api.auth import KIND
from support.api import FLAG, FLAGS, Client, problem

PAGES_OF_ANOTHER_ROOM = "downhaul_admin"
OPENFEATURES = {"evaluation", "stream"}
"""Kinds of routes that answer in OpenFeature's words: tests/ofrep refuses them the same."""
PUBLIC = {"/livez", "/readyz", "/metrics", "/api/v1/openapi.json", "/api/v1/docs", "/k/checkout"}


def routes(client: Client) -> list[tuple[str, str, str]]:
    """(method, address, kind of authentication) of each route of the API."""
    found = []
    for rule in client.app.url_map.iter_rules():
        view = client.app.view_functions[rule.endpoint]
        if view.__module__.startswith(PAGES_OF_ANOTHER_ROOM) or rule.endpoint.startswith(PAGES_OF_ANOTHER_ROOM):
            continue
        kind = getattr(view, KIND, None)
        assert kind is not None, f"{rule.rule} does not say who may call it"
        path = re.sub(r"<(path:)?\w+>", "checkout", rule.rule)
        found += [(method, path, kind) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}]
    return found


def test_every_route_declares_its_authentication_and_only_these_are_public(client: Client) -> None:
    declared = routes(client)
    assert len(declared) > 35
    assert {path for _, path, kind in declared if kind == "public"} == PUBLIC
    assert {path for _, path, kind in declared if kind == "sdk"} >= {
        "/sdk/v1/snapshot",
        "/sdk/v1/stream",
        "/sdk/v1/report",
    }
    assert {path for _, path, kind in declared if kind == "either"} == {
        "/route/v1/checkout/checkout",
        "/gate/v1/checkout/checkout",
    }
    assert {path for _, path, kind in declared if kind in OPENFEATURES} == {
        "/ofrep/v1/evaluate/flags",
        "/ofrep/v1/evaluate/flags/checkout",
        "/ofrep/v1/events",
    }


def test_without_a_token_every_other_route_answers_401_before_it_reads_anything(client: Client) -> None:
    for method, path, kind in routes(client):
        if kind not in {"public", *OPENFEATURES}:
            answer = client.call(method, path, b"{ this is not JSON", by=None)
            assert problem(answer) == (401, "unauthenticated"), (method, path)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_the_wrong_kind_of_token_is_refused_everywhere(client: Client) -> None:
    wrong = {"token": "sdk", "sdk": "editor"}
    for method, path, kind in routes(client):
        if kind in wrong:
            assert problem(client.call(method, path, by=wrong[kind])) == (403, "forbidden"), (method, path)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YWRtaW46YWRtaW4=",
        "Bearer nonsense",
        "Bearer dh_api_abc_def",
        "dh_api_abc",
        "Bearer é",
    ],
)
def test_a_header_that_holds_no_token_of_ours_is_401(client: Client, header: str) -> None:
    answer = client.get(FLAGS, by=None, Authorization=header)
    assert problem(answer) == (401, "unauthenticated")
    assert "nonsense" not in answer.text


def test_the_scheme_is_case_insensitive(client: Client) -> None:
    assert client.get(FLAGS, by=None, Authorization=f"bearer {client.tokens['viewer']}").status_code == 200


def test_a_revoked_token_is_refused_at_once(client: Client) -> None:
    key = next(key for key in client.get("/api/v1/keys").json["items"] if key["name"] == "editor")
    assert client.delete(f"/api/v1/keys/{key['id']}").status_code == 204
    assert problem(client.get(FLAGS, by="editor")) == (401, "unauthenticated")


ROLES: list[tuple[str, str, Any, set[str]]] = [
    ("GET", FLAG, None, {"viewer", "operator", "editor", "tester", "admin"}),
    ("POST", f"{FLAG}/kill", None, {"killer", "operator", "editor", "tester", "admin"}),
    ("POST", f"{FLAG}/restore", {"reason": "fixed"}, {"editor", "tester", "admin"}),
    ("PATCH", f"{FLAG}/environments/production", {"on": True}, {"editor", "admin"}),
    ("PATCH", f"{FLAG}/environments/staging", {"on": True}, {"editor", "tester", "admin"}),
    ("POST", "/api/v1/services", {"key": "another"}, {"admin"}),
    ("GET", "/api/v1/keys", None, {"admin"}),
    ("GET", "/api/v1/audit/verify", None, {"admin"}),
    ("GET", "/api/v1/status", None, {"killer", "viewer", "operator", "editor", "stranger", "tester", "admin"}),
]


@pytest.mark.parametrize(("method", "path", "body", "allowed"), ROLES)
def test_what_each_role_may_do(client: Client, method: str, path: str, body: Any, allowed: set[str]) -> None:
    answers = {name: client.call(method, path, body, by=name).status_code for name in client.tokens if name != "sdk"}
    assert {name for name, status in answers.items() if status < 300} == allowed
    assert {status for name, status in answers.items() if name not in allowed} <= {403}

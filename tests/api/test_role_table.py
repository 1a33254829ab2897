"""Each role, for each action, in each scope, through the HTTP API: done where the table says so, else refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services.actors import ROLES, Action
from support.api import Client, open_client
from support.redis import FakeRedis
from werkzeug.test import TestResponse

SERVICES, ENVIRONMENTS = ("checkout", "payments"), ("production", "staging")
PLACES = [(service, environment) for service in SERVICES for environment in ENVIRONMENTS]
SCOPES: dict[str, dict[str, list[str]]] = {
    "everywhere": {},
    "one service": {"services": ["checkout"]},
    "one environment": {"environments": ["staging"]},
    "one service in one environment": {"services": ["checkout"], "environments": ["staging"]},
}
EVERYWHERE = ("*", "*")

Deed = Callable[[Client, str, str], TestResponse]


def state(service: str, environment: str) -> str:
    return f"/api/v1/services/{service}/flags/it/environments/{environment}"


def act(service: str, deed: str) -> str:
    return f"/api/v1/services/{service}/flags/it/{deed}"


def link(service: str, environment: str) -> dict[str, str]:
    return {"name": "x", "service": service, "flag": "it", "environment": environment}


def key(service: str, environment: str) -> dict[str, Any]:
    return {"kind": "sdk", "name": "x", "services": [service], "environment": environment}


def person(service: str, environment: str) -> dict[str, Any]:
    grant = {"role": "viewer", "services": [service], "environments": [environment]}
    return {"login": f"p-{service}-{environment}".lower(), "grants": [grant]}


def hook(service: str, environment: str) -> dict[str, Any]:
    url = "https://hooks.example.com/x"
    return {"name": "x", "url": url, "services": [service], "environments": [environment], "enabled": False}


IN_PLACES: dict[Action, list[Deed]] = {
    Action.READ: [lambda c, s, e: c.get(state(s, e), by="ada")],
    Action.KILL: [lambda c, s, e: c.post(act(s, "kill"), {"environment": e}, by="ada")],
    Action.DRILL: [lambda c, s, e: c.post("/api/v1/drills", {"environment": e, "services": [s], "wait": 0}, by="ada")],
    Action.RESTORE: [lambda c, s, e: c.post(act(s, "restore"), {"environment": e, "reason": "ok"}, by="ada")],
    Action.EDIT: [lambda c, s, e: c.patch(state(s, e), {"rollout": 50, "by": "user"}, by="ada")],
    Action.KEYS: [
        lambda c, s, e: c.post("/api/v1/keys", key(s, e), by="ada"),
        lambda c, s, e: c.post("/api/v1/links", link(s, e), by="ada"),
        lambda c, s, e: c.post(f"/api/v1/keys/{c.tokens[f'key {s} {e}']}/rotate", {"overlap": 0}, by="ada"),
    ],
    Action.HOOKS: [lambda c, s, e: c.post("/api/v1/webhooks", hook(s, e), by="ada")],
    Action.PEOPLE: [lambda c, s, e: c.post("/api/v1/people", person(s, e), by="ada")],
}
"""What is done in one service and one environment."""
ONLY_EVERYWHERE: dict[Action, list[Deed]] = {
    Action.AUDIT: [lambda c, s, e: c.get("/api/v1/audit/verify", by="ada")],
    Action.CATALOG: [lambda c, s, e: c.post("/api/v1/environments", {"key": "moon"}, by="ada")],
    Action.EDIT: [
        lambda c, s, e: c.post("/api/v1/segments", {"key": "x", "when": {"attribute": "a", "op": "exists"}}, by="ada")
    ],
}
"""What concerns all of them."""
NOT_BY_A_DEED_OF_ITS_OWN = {Action.APPROVE}
"""Done to a review, which another has to open first: tested with the reviews."""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with open_client(FakeRedis(), tmp_path, log_level="critical") as found:
        for service in SERVICES:
            found.post("/api/v1/services", {"key": service})
            found.post(f"/api/v1/services/{service}/flags", {"key": "it", "type": "boolean"})
        for place in PLACES:
            found.tokens[f"key {' '.join(place)}"] = found.post("/api/v1/keys", key(*place)).json["id"]
        found.post("/api/v1/drills", {})  # the flag of the drills is there
        found.services.acknowledgements.stop()
        yield found


def test_every_action_is_in_the_table() -> None:
    assert {*IN_PLACES, *ONLY_EVERYWHERE, *NOT_BY_A_DEED_OF_ITS_OWN} == {*Action}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("role", ROLES)
def test_each_action_is_done_or_refused(client: Client, role: str, scope: str) -> None:
    token = {"kind": "api", "name": "ada", "role": role, **SCOPES[scope]}
    client.tokens["ada"] = client.post("/api/v1/keys", token).json["token"]
    services = SCOPES[scope].get("services", SERVICES)
    environments = SCOPES[scope].get("environments", ENVIRONMENTS)
    wrong = []
    for action, deeds in IN_PLACES.items():
        for service, environment in PLACES:
            allowed = action in ROLES[role] and service in services and environment in environments
            for number, deed in enumerate(deeds):
                status = deed(client, service, environment).status_code
                # A state that may not be seen is not shown to be there.
                refusals = (403, 404) if action is Action.READ else (403,)
                if not _as_expected(status, allowed, refusals):
                    wrong.append((str(action), number, service, environment, status))
    for action, deeds in ONLY_EVERYWHERE.items():
        allowed = action in ROLES[role] and scope == "everywhere"
        for number, deed in enumerate(deeds):
            status = deed(client, "", "").status_code
            if not _as_expected(status, allowed):
                wrong.append((str(action), number, *EVERYWHERE, status))
    assert wrong == []


def _as_expected(status: int, allowed: bool, refusals: tuple[int, ...] = (403,)) -> bool:
    return status < 300 if allowed else status in refusals

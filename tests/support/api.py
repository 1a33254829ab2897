"""The HTTP API for tests: an app over services on a store, a cast of callers, and words for requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from downhaul_server.app import create_app
from downhaul_server.services.container import Services
from downhaul_server.settings import Settings
from downhaul_server.store import Store
from flask import Flask
from support.redis import FakeRedis, RealRedis
from support.services import quick_services
from werkzeug.test import TestResponse

ADMIN = "dh_admin_the-administrator-of-the-tests"
FLAGS = "/api/v1/services/checkout/flags"
FLAG = f"{FLAGS}/new-checkout"
STATE = f"{FLAG}/environments/production"
PROBLEM = "application/problem+json"

CAST = {
    "killer": {"role": "killer"},
    "viewer": {"role": "viewer"},
    "operator": {"role": "operator"},
    "editor": {"role": "editor"},
    "stranger": {"role": "editor", "services": ["payments"]},
    "tester": {"role": "editor", "environments": ["staging"]},
}
"""API tokens by the name of who holds them; the administrator, `admin`, is there anyway, and so is `sdk`."""


@dataclass
class Client:
    """Makes requests as one of the cast, and holds every answer to what all answers promise."""

    app: Flask
    services: Services
    store: Store
    tokens: dict[str, str] = field(default_factory=lambda: {"admin": ADMIN})

    def call(
        self, method: str, path: str, body: Any = None, *, by: str | None = "admin", **headers: str
    ) -> TestResponse:
        """`headers` are written as Python writes them: `if_match='"3"'`. `by=None`: without a token."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if by is not None:
            given.setdefault("Authorization", f"Bearer {self.tokens[by]}")
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            given.setdefault("Content-Type", "application/json")
        answer = self.app.test_client(use_cookies=False).open(path, method=method, data=data, headers=given)
        self._promises(answer, method)
        return answer

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        return self.call("POST", path, body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        return self.call("PUT", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        return self.call("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        return self.call("DELETE", path, **options)

    def _promises(self, answer: TestResponse, method: str) -> None:
        assert answer.headers["X-Request-Id"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if answer.status_code >= 400:
            assert answer.content_type == PROBLEM
            if method != "HEAD":
                assert answer.json["status"] == answer.status_code
                assert answer.json["type"].startswith("urn:downhaul:problem:")
                assert answer.json["request_id"] == answer.headers["X-Request-Id"]
                assert answer.json["detail"] and answer.json["title"]


@contextmanager
def open_client(redis: FakeRedis | RealRedis, data_dir: Path, **settings: Any) -> Iterator[Client]:
    """An app on this Redis, with nobody but the administrator."""
    chosen = Settings(data_dir=data_dir, admin_token=ADMIN, **settings)
    with Store.open(chosen, connections=redis.connections()) as store:
        services = quick_services(store, chosen)
        yield Client(create_app(services, chosen), services, store)


def settle(client: Client) -> None:
    """Two services, a flag, and the cast."""
    for service in ("checkout", "payments"):
        client.post("/api/v1/services", {"key": service})
    client.post(FLAGS, {"key": "new-checkout", "type": "boolean", "tags": ["payments"]})
    for name, rights in CAST.items():
        key = client.post("/api/v1/keys", {"kind": "api", "name": name, **rights}).json
        client.tokens[name] = key["token"]
    sdk = {"kind": "sdk", "name": "checkout in production", "environment": "production", "services": ["checkout"]}
    client.tokens["sdk"] = client.post("/api/v1/keys", sdk).json["token"]


def problem(answer: TestResponse) -> tuple[int, str]:
    """Status and short type of a problem."""
    return answer.status_code, answer.json["type"].removeprefix("urn:downhaul:problem:")

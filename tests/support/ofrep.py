"""OpenFeature's protocol for tests: flags of every kind, keys of every kind, and one way to ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.api import FLAGS as CHECKOUT_FLAGS
from support.api import Client, open_client, settle
from support.redis import FakeRedis
from werkzeug.test import TestResponse

EVALUATE = "/ofrep/v1/evaluate/flags"
PAYMENTS_FLAGS = "/api/v1/services/payments/flags"
UNIT = {"targetingKey": "ada"}
REASONS = {"STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "DISABLED", "CACHED", "STALE", "UNKNOWN"}
SPLIT = {"split": [{"variant": "on", "weight": 50_000}, {"variant": "off", "weight": 50_000}], "by": "user"}
PRO = {"name": "pro", "when": {"segment": "paying"}, "serve": {"variant": "on"}}


def flag(key: str, kind: str = "boolean", *, client: bool = True, on: bool = True, **more: Any) -> dict[str, Any]:
    """A flag of ours; `state` is more of its state in production."""
    state = {"on": on, **more.pop("state", {})}
    return {"key": key, "type": kind, "client": client, "environments": {"production": state}, **more}


def two(key: str, kind: str, one: Any, other: Any, **more: Any) -> dict[str, Any]:
    """A flag that serves the first of two values."""
    variants = {"variants": {"one": one, "two": other}, "off_variant": "two"}
    return flag(key, kind, state={"otherwise": {"variant": "one"}}, **variants, **more)


def flags() -> list[dict[str, Any]]:
    """Of the service checkout."""
    return [
        flag("plain"),
        flag("off", on=False),
        flag("secret", client=False),
        flag("share", state={"otherwise": SPLIT}),
        flag("rules", state={"rules": [PRO], "otherwise": {"variant": "off"}}),
        flag("needs", requires=[{"flag": "payments/ledger", "variants": ["on"]}]),
        two("text", "string", "#f00", "#00f"),
        two("whole", "number", 10, 20),
        two("broken", "number", 10, 12.5),
        two("point", "number", 10.0, 20.0),
        two("object", "json", {"limits": [1, 2.0]}, {}),
    ]


@dataclass
class Asked:
    """Asks with one of the keys, and holds every answer to what all answers promise."""

    client: Client
    keys: dict[str, str] = field(default_factory=dict)

    def call(
        self, path: str, body: Any, *, by: str | None = "sdk", method: str = "POST", **headers: str
    ) -> TestResponse:
        """`body` as it is when it is bytes, else as JSON."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if by is not None:
            given["Authorization"] = f"Bearer {self.keys[by]}"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.client.app.test_client(use_cookies=False).open(path, method=method, data=data, headers=given)
        assert answer.headers["X-Request-Id"]
        assert answer.status_code in (200, 304, 400, 401, 403, 404, 429, 500), answer.text
        if answer.status_code in (304, 401, 403, 429):
            assert answer.data == b""
        if answer.status_code in (400, 404, 500):
            assert answer.content_type == "application/json"
            assert answer.json["errorCode"].isupper() and answer.json["errorDetails"]
        return answer

    def one(self, key: str, context: Any = UNIT, **options: Any) -> TestResponse:
        answer = self.call(f"{EVALUATE}/{key}", {"context": context}, **options)
        if answer.status_code == 200:
            assert set(answer.json) == {"key", "value", "reason", "variant", "metadata"}
            assert answer.json["reason"] in REASONS
        if answer.status_code in (200, 400, 404):
            assert answer.json["key"] == key
        return answer

    def all(self, context: Any = UNIT, **options: Any) -> TestResponse:
        return self.call(EVALUATE, {"context": context}, **options)

    def items(self, context: Any = UNIT, **options: Any) -> dict[str, Any]:
        """Of the answer for all flags, by key."""
        found = self.all(context, **options).json["flags"]
        named = {item["key"]: item for item in found}
        assert len(named) == len(found)
        return named

    def made(self, document: dict[str, Any], flags_of: str = CHECKOUT_FLAGS) -> None:
        """A flag of its own for a test that changes one."""
        answer = self.client.post(flags_of, document)
        assert answer.status_code == 201, answer.text

    def key(self, name: str, kind: str, services: list[str], environment: str = "production") -> None:
        document = {"kind": kind, "name": name, "environment": environment, "services": services}
        self.keys[name] = self.client.post("/api/v1/keys", document).json["token"]


@contextmanager
def open_asked(folder: Path, **settings: Any) -> Iterator[Asked]:
    """An app on a fake Redis, with all of the above."""
    with open_client(FakeRedis(), folder, **settings) as client:
        settle(client)
        asked = Asked(client, {"api": client.tokens["editor"]})
        client.post("/api/v1/segments", {"key": "paying", "when": {"attribute": "plan", "op": "in", "values": ["pro"]}})
        asked.made(flag("ledger", client=False), PAYMENTS_FLAGS)
        for each in flags():
            asked.made(each)
        asked.key("sdk", "sdk", ["checkout"])
        asked.key("client", "client", ["checkout"])
        asked.key("both", "sdk", ["checkout", "payments"])
        asked.key("every", "client", ["*"])
        yield asked
        client.services.stop()

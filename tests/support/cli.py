"""A service that answers what a test tells it to, and the `downhaul` command run in this process."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from downhaul.cli.run import run

TOKEN = "dh_api_test_token"

FLAG: dict[str, Any] = {
    "key": "new-checkout",
    "service": "checkout",
    "type": "boolean",
    "description": "One-page checkout",
    "owner": "team-checkout",
    "purpose": "release",
    "tags": ["payments"],
    "expires": "2027-01-31",
    "salt": "checkout/new-checkout",
    "variants": {"on": True, "off": False},
    "off_variant": "off",
    "requires": [{"flag": "payments/new-ledger", "variants": ["on"]}],
    "environments": {
        "production": {
            "on": True,
            "killed": None,
            "rules": [
                {"name": "beta testers", "when": {"segment": "beta"}, "serve": {"variant": "on"}},
                {
                    "name": "pro customers",
                    "when": {
                        "all": [
                            {"attribute": "country", "op": "in", "values": ["DE", "FR"]},
                            {"attribute": "build", "op": "semver_gte", "values": ["2.1.0"]},
                        ]
                    },
                    "serve": {
                        "split": [{"variant": "on", "weight": 50000}, {"variant": "off", "weight": 50000}],
                        "by": "user",
                    },
                },
            ],
            "otherwise": {
                "split": [{"variant": "on", "weight": 25000}, {"variant": "off", "weight": 75000}],
                "by": "user",
            },
        },
        "staging": {
            "on": True,
            "killed": {"at": "2026-11-23T22:07:01.250Z", "by": "anna", "reason": "double charges"},
            "rules": [],
            "otherwise": {"variant": "on"},
        },
    },
    "version": 12,
    "created_at": "2026-11-01T08:00:00.000Z",
    "updated_at": "2026-11-23T22:07:01.250Z",
}

KILLED: dict[str, Any] = {
    "revision": 42,
    "committed_at": "2026-11-23T22:07:01.250Z",
    "environment": "production",
    "flags": ["checkout/new-checkout"],
    "changed": True,
    "unchanged": [],
    "not_found": [],
}

STRAGGLER: dict[str, Any] = {
    "service": "checkout",
    "environment": "production",
    "instance": "checkout-7",
    "host": "node-7",
    "build": "2.1.0",
    "revision": 41,
    "link": "silent",
    "last_seen_s": 181.0,
}


def known(instances: int, applied: int, **more: Any) -> dict[str, Any]:
    """How far a change has come."""
    return {
        "revision": 42,
        "committed_at": "2026-11-23T22:07:01.250Z",
        "instances": instances,
        "applied": applied,
        "confirmed": applied == instances,
        "stragglers": [STRAGGLER] * (instances - applied),
        "latency_ms": {"p50": 20.0, "p99": 60.0, "max": 61.2} if applied else None,
        **more,
    }


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back; `status` 0 closes the connection without an answer, -1 gives none at all."""

    status: int
    body: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class FakeService:
    """Answers in the order in which they were told; the last one again and again."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    _answers: deque[Answer] = field(default_factory=deque)
    _standing: Answer = field(default_factory=lambda: Answer(500, b"", {}))

    def will_answer(self, document: Any = None, status: int = 200, **headers: str) -> None:
        """JSON; or these bytes, as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._answers.append(Answer(status, b"" if status == 204 else body, headers))

    def will_refuse(self, status: int, detail: str, **members: Any) -> None:
        """A problem document."""
        problem = {"type": "urn:x", "title": "No", "status": status, "detail": detail, "request_id": "req-1"} | members
        self.will_answer(problem, status)

    def will_hang_up(self) -> None:
        """Close the connection without an answer."""
        self.will_answer(b"", 0)

    def will_stall(self) -> None:
        """Keep the connection open without an answer, until the end of the block."""
        self.will_answer(b"", -1)

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    def take(self) -> Answer:
        """The next answer; when there is none, the last one again."""
        if self._answers:
            self._standing = self._answers.popleft()
        return self._standing


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs `downhaul` with arguments, as a program would: neither stream is a terminal."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: str) -> Result:
        self._capture.readouterr()
        code = run(arguments)
        said = self._capture.readouterr()
        return Result(code, said.out, said.err)


@contextmanager
def fake_service() -> Iterator[FakeService]:
    """Listens on a port of its own until the end of the block."""
    service = FakeService()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def _handler(service: FakeService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            service.asked.append(self._asked())
            answer = service.take()
            if answer.status < 0:
                service.ended.wait(30)
            if answer.status <= 0:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name.replace("_", "-"), value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def _asked(self) -> Asked:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return Asked(self.command, parts.path, query, dict(self.headers), json.loads(raw) if raw else None)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler

"""Receivers of webhooks for tests: real HTTP servers on this machine, which keep what they get and answer as told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

LOOPBACK = (ip_network("127.0.0.0/8"),)
"""For DOWNHAUL_WEBHOOK_ALLOW: the receivers of tests are at home."""


@dataclass(frozen=True, slots=True)
class Got:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def revision(self) -> int:
        found: int = self.json["data"]["revision"]
        return found

    def verified_by(self, secret: str) -> bool:
        """As section "Verifying webhook authenticity" of the specification says it, written anew for these tests."""
        key = base64.b64decode(secret.split("_", 1)[1])
        signed = b".".join([self.headers["webhook-id"].encode(), self.headers["webhook-timestamp"].encode(), self.body])
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        fresh = abs(time.time() - int(self.headers["webhook-timestamp"])) < 300
        return fresh and f"v1,{expected}" in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """Answers in the order in which it was told; the last answer again and again (200 at first)."""

    port: int = 0
    scheme: str = "http"
    got: list[Got] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    _answers: deque[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=deque)
    _standing: Callable[[BaseHTTPRequestHandler], None] = field(default_factory=lambda: _answer(200, b"", {}))

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/in?team=a"

    @property
    def revisions(self) -> list[int]:
        return [got.revision for got in self.got]

    def will_answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """`headers` are written as Python writes them."""
        self._answers.append(_answer(status, body, headers))

    def will(self, act: Callable[[BaseHTTPRequestHandler], None]) -> None:
        """Anything else."""
        self._answers.append(act)

    def will_stall(self, until: threading.Event | None = None) -> None:
        """No answer before the event, or the end of the test."""

        def stall(handler: BaseHTTPRequestHandler) -> None:
            (until or self.ended).wait(60)
            _answer(200, b"", {})(handler)

        self._answers.append(stall)

    def take(self) -> Callable[[BaseHTTPRequestHandler], None]:
        if self._answers:
            self._standing = self._answers.popleft()
        return self._standing


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are what is tested."""


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Listens on a port of its own until the end of the block."""
    receiver = Receiver(scheme="https" if tls else "http")
    server = _Server(("127.0.0.1", 0), _handler(receiver))
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def _answer(status: int, body: bytes, headers: Mapping[str, str]) -> Callable[[BaseHTTPRequestHandler], None]:
    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return act


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            act = receiver.take()
            receiver.got.append(Got(self.path, headers, body))
            act(self)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler

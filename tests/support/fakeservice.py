"""A service for the SDK to talk to: real sockets, no framework, and every way to misbehave that a test asks for.

What it does with streams is in `fakestream`.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from downhaul.client import Client
from downhaul.engine.checksum import checksum
from support import fakestream
from support.rulesets import flag

Connect = Callable[..., Client]

KEY = "dh_sdk_test_key"
SERVICE = "checkout"


def envelope(revision: int, flags: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A snapshot's envelope that is as it should be, but for `fields`."""
    segments: dict[str, Any] = fields.pop("segments", {})
    return {
        "schema": 1,
        "epoch": "e1",
        "revision": revision,
        "service": SERVICE,
        "environment": "production",
        "flag_count": len(flags),
        "checksum": checksum(flags, segments),
        "flags": flags,
        "segments": segments,
        **fields,
    }


@dataclass(frozen=True)
class Request:
    """A request: its method and target, its headers by lower-case name, its body, and when it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def route(self) -> str:
        """`snapshot`, `stream` or `report`."""
        return self.target.partition("?")[0].rpartition("/")[2]


Behaviour = Callable[["FakeService", socket.socket, Request], None]


class HangUp(Exception):  # noqa: N818 -- an order, not an error
    """Raised by a behaviour: the connection ends here."""


class FakeService:
    """Serves one snapshot on a loopback port, and its changes; or behaves as `behaviour` says.

    `only["stream"]`, `only["report"]` and `only["snapshot"]` are behaviours of one route. A stream that is open ends
    with a reset when the behaviour becomes another one, as if the service had died and come back as that.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._behaviour: Behaviour = serve_well
        self._only: dict[str, Behaviour] = {}
        self.news = threading.Condition()
        self.snapshot = envelope(1, {"new-checkout": flag()})
        self.history = [self.snapshot]
        self.heartbeat_s = 0.2
        self.store_age_s = 0.0
        self.pace = {"next_report_s": 15, "spread_ms": 0}
        self.keys = {KEY}
        self.requests: list[Request] = []
        self.streams = 0
        self.closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def behaviour(self) -> Behaviour:
        """What is done with every request."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        with self.news:
            self._behaviour = behaviour
            self.news.notify_all()

    def only(self, route: str, behaviour: Behaviour | None) -> None:
        """Do this with requests of one route, `snapshot`, `stream` or `report`; None: what is done with all."""
        with self.news:
            if behaviour is None:
                self._only.pop(route, None)
            else:
                self._only[route] = behaviour
            self.news.notify_all()

    def behaviour_of(self, route: str) -> Behaviour:
        """What is done with requests of this route now."""
        return self._only.get(route, self._behaviour)

    def publish(self, revision: int, flags: dict[str, Any], **fields: Any) -> None:
        """From now on, serve this."""
        with self.news:
            self.snapshot = envelope(revision, flags, **fields)
            self.history.append(self.snapshot)
            self.news.notify_all()

    def of(self, route: str) -> list[Request]:
        """The requests of one route so far."""
        return [each for each in list(self.requests) if each.route == route]

    @property
    def reports(self) -> list[dict[str, Any]]:
        """What was reported so far."""
        return [json.loads(each.body) for each in self.of("report")]

    def close(self) -> None:
        """Stop, and break every connection."""
        self.closing.set()
        with self.news:
            self.news.notify_all()
        for each in (self._listener, *list(self._open)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(connection)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, HangUp):
            if self._tls:
                self._open.discard(connection)
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.add(connection)
            for request in _requests(connection):
                self.requests.append(request)
                self.behaviour_of(request.route)(self, connection, request)
        self._open.discard(connection)
        connection.close()


def _requests(connection: socket.socket) -> Iterator[Request]:
    with connection.makefile("rb") as stream:
        while len(line := stream.readline().decode("latin-1").split()) == 3:  # else it is not HTTP, or over
            headers = {}
            while header := stream.readline().decode("latin-1").strip():
                name, _, value = header.partition(":")
                headers[name.strip().lower()] = value.strip()
            length = int(headers.get("content-length", 0))
            body = stream.read(length)
            if len(body) < length:  # its sender is gone
                return
            yield Request(line[0], line[1], headers, body, time.monotonic())


def send(connection: socket.socket, status: str, body: bytes = b"", **headers: str) -> None:
    """A whole answer. Headers by name with `_` for `-`; JSON unless they say otherwise."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    connection.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body)


def serve_well(service: FakeService, connection: socket.socket, request: Request) -> None:
    """As the contract says: the key is checked, a snapshot has a strong ETag, and an unchanged one is a 304."""
    if request.headers.get("authorization", "").removeprefix("Bearer ") not in service.keys:
        problem = {"type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "the key is not known"}
        send(connection, "401 Unauthorized", json.dumps(problem).encode(), Content_Type="application/problem+json")
    elif request.route == "stream":
        fakestream.stream_well(service, connection, request)
    elif request.route == "report":
        send(connection, "200 OK", json.dumps(service.pace).encode())
    else:
        _snapshot(service, connection, request)


def _snapshot(service: FakeService, connection: socket.socket, request: Request) -> None:
    snapshot = service.snapshot
    etag = f'"{snapshot["epoch"]}:{snapshot["revision"]}"'
    age = f"Age: {service.store_age_s:.0f}\r\n" if service.store_age_s >= 2 else ""
    if request.headers.get("if-none-match") == etag:
        connection.sendall(f"HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n{age}\r\n".encode())
    else:
        send(connection, "200 OK", json.dumps(snapshot).encode(), ETag=etag)


def answer(status: str, body: bytes = b"", **headers: str) -> Behaviour:
    """Always this answer."""
    return lambda _service, connection, _request: send(connection, status, body, **headers)


def offer(revision: int = 2, **fields: Any) -> Behaviour:
    """A snapshot in which the flag is off; made wrong by `fields`."""
    body = json.dumps(envelope(revision, {"new-checkout": flag(on=False)}, **fields)).encode()
    return answer("200 OK", body)


def truncated(service: FakeService, connection: socket.socket, request: Request) -> None:
    """Half of the body that was announced, then the end."""
    body = json.dumps(envelope(2, {})).encode()
    connection.sendall(_head(len(body)) + body[: len(body) // 2])
    raise HangUp


def never(service: FakeService, connection: socket.socket, request: Request) -> None:
    """Accepted, and never answered."""
    service.closing.wait()


def dripping(service: FakeService, connection: socket.socket, request: Request) -> None:
    """A valid answer, one byte a second (here: a tenth of one, for the sake of the test's time)."""
    body = json.dumps(envelope(2, {})).encode()
    for byte in _head(len(body)) + body:
        connection.sendall(bytes((byte,)))
        if service.closing.wait(0.1):
            return


def reset(service: FakeService, connection: socket.socket, request: Request) -> None:
    """A reset in the middle of the body."""
    connection.sendall(_head(1000) + b'{"schema"')
    time.sleep(0.05)  # so that the beginning arrives first
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RD)
    connection.close()
    raise HangUp


def endless(service: FakeService, connection: socket.socket, request: Request) -> None:
    """A body without an end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while not service.closing.is_set():
        connection.sendall(b" " * (1 << 20))


def bomb(service: FakeService, connection: socket.socket, request: Request) -> None:
    """A few kilobytes that decompress to many megabytes."""
    send(connection, "200 OK", gzip.compress(b" " * (64 << 20), 6), Content_Encoding="gzip")


def garbage(service: FakeService, connection: socket.socket, request: Request) -> None:
    """No HTTP at all."""
    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    raise HangUp


def _head(length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()

"""A service for the SDK to talk to: real sockets, no framework, and every way to misbehave that a test asks for."""

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
    """The head of a request: its target, and its headers by lower-case name."""

    target: str
    headers: dict[str, str]


Behaviour = Callable[["FakeService", socket.socket, Request], None]


class HangUp(Exception):  # noqa: N818 -- an order, not an error
    """Raised by a behaviour: the connection ends here."""


class FakeService:
    """Serves one snapshot on a loopback port, or behaves as `behaviour` says."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.behaviour: Behaviour = serve_well
        self.snapshot = envelope(1, {"new-checkout": flag()})
        self.keys = {KEY}
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def publish(self, revision: int, flags: dict[str, Any], **fields: Any) -> None:
        """From now on, serve this."""
        self.snapshot = envelope(revision, flags, **fields)

    def close(self) -> None:
        """Stop, and break every connection."""
        self.closing.set()
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
                self.behaviour(self, connection, request)
        self._open.discard(connection)
        connection.close()


def _requests(connection: socket.socket) -> Iterator[Request]:
    with connection.makefile("rb") as stream:
        while line := stream.readline().decode("latin-1").split():
            headers = {}
            while header := stream.readline().decode("latin-1").strip():
                name, _, value = header.partition(":")
                headers[name.strip().lower()] = value.strip()
            yield Request(line[1], headers)


def send(connection: socket.socket, status: str, body: bytes = b"", **headers: str) -> None:
    """A whole answer. Headers by name with `_` for `-`; JSON unless they say otherwise."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    connection.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body)


def serve_well(service: FakeService, connection: socket.socket, request: Request) -> None:
    """As the contract says: the key is checked, a snapshot has a strong ETag, and an unchanged one is a 304."""
    snapshot = service.snapshot
    etag = f'"{snapshot["epoch"]}:{snapshot["revision"]}"'
    if request.headers.get("authorization", "").removeprefix("Bearer ") not in service.keys:
        problem = {"type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "the key is not known"}
        send(connection, "401 Unauthorized", json.dumps(problem).encode(), Content_Type="application/problem+json")
    elif request.headers.get("if-none-match") == etag:
        connection.sendall(f"HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n".encode())
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

"""The stream of the service for tests: as it should be, and in every way in which it should not."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from downhaul.engine.checksum import checksum

if TYPE_CHECKING:
    from support.fakeservice import Behaviour, FakeService, Request

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def event(name: str, data: Any, at: str | None = None, retry_ms: int | None = None) -> bytes:
    """One event as the contract says; `data` is made JSON, unless it is bytes."""
    head = f"id: {at}\nevent: {name}\n" if at else f"event: {name}\n"
    if retry_ms is not None:
        head += f"retry: {retry_ms}\n"
    text = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()
    return head.encode() + b"data: " + text + b"\n\n"


def place(snapshot: dict[str, Any]) -> str:
    """Epoch and revision, as an event's id."""
    return f"{snapshot['epoch']}:{snapshot['revision']}"


def snapshot_event(snapshot: dict[str, Any], **fields: Any) -> bytes:
    """A whole snapshot, but for `fields`."""
    snapshot = {**snapshot, **fields}
    return event("snapshot", snapshot, place(snapshot))


def change_event(before: dict[str, Any], after: dict[str, Any], **fields: Any) -> bytes:
    """What has to be changed in one envelope to get the other, but for `fields`."""
    parts = {part: _difference(before[part], after[part]) for part in ("flags", "segments")}
    data = {
        "schema": 1,
        "epoch": after["epoch"],
        "base": before["revision"],
        "revision": after["revision"],
        "service": after["service"],
        "environment": after["environment"],
        "flag_count": len(after["flags"]),
        "checksum": checksum(parts["flags"], parts["segments"]),
        **parts,
        **fields,
    }
    return event("change", data, f"{data['epoch']}:{data['revision']}")


def heartbeat(snapshot: dict[str, Any], age_s: float = 0.0, **fields: Any) -> bytes:
    data = {"epoch": snapshot["epoch"], "revision": snapshot["revision"], "age_s": age_s, **fields}
    return event("heartbeat", data, f"{data['epoch']}:{data['revision']}")


def end(reason: str = "age", retry_ms: int | None = 100) -> bytes:
    return event("end", {"reason": reason}, retry_ms=retry_ms)


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    return changed | dict.fromkeys(before.keys() - after.keys())


def begin(connection: socket.socket) -> None:
    """The head of an answer that is a stream."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(HEAD)


def say(connection: socket.socket, text: bytes) -> None:
    """One chunk of a stream."""
    connection.sendall(b"%x\r\n%b\r\n" % (len(text), text))


def stream_well(service: FakeService, connection: socket.socket, request: Request) -> None:
    """As the contract says: what is lacking, then every change, and heartbeats."""
    behaviour = service.behaviour_of("stream")
    begin(connection)
    service.streams += 1
    try:
        known, beat_at = _first(service, connection, request.headers.get("last-event-id")), time.monotonic()
        while not service.closing.is_set() and not _hung_up(connection):
            with service.news:
                service.news.wait_for(lambda now=known: service.snapshot is not now, 0.02)
                if service.behaviour_of("stream") is not behaviour:
                    break
            if service.snapshot is not known or time.monotonic() > beat_at + service.heartbeat_s:
                known, beat_at = _next(service, connection, known), time.monotonic()
    finally:
        service.streams -= 1
    hang_up(connection)


def _first(service: FakeService, connection: socket.socket, last: str | None) -> dict[str, Any]:
    now = service.snapshot
    epoch, _, revision = (last or "").partition(":")
    held = next((each for each in service.history if place(each) == last), None)
    if held is not None and held["epoch"] == now["epoch"] and held["revision"] < now["revision"]:
        say(connection, change_event(held, now))
    elif epoch == now["epoch"] and int(revision) >= now["revision"]:
        say(connection, heartbeat(now, service.store_age_s))
    else:
        say(connection, snapshot_event(now))
    return now


def _next(service: FakeService, connection: socket.socket, known: dict[str, Any]) -> dict[str, Any]:
    """Every snapshot that was published since, one by one."""
    index = next(index for index, each in enumerate(service.history) if each is known)
    for after in (later := service.history[index + 1 :]):
        same_epoch = after["epoch"] == known["epoch"]
        say(connection, change_event(known, after) if same_epoch else snapshot_event(after))
        known = after
    if not later:
        say(connection, heartbeat(known, service.store_age_s))
    return known


def _hung_up(connection: socket.socket) -> bool:
    if not select.select([connection], [], [], 0)[0]:
        return False
    try:
        return not connection.recv(1)
    except OSError:
        return True


def hang_up(connection: socket.socket) -> None:
    """Without a word, in the middle of everything. Raises HangUp."""
    from support.fakeservice import HangUp

    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    raise HangUp


def saying(*texts: bytes, then: str = "silence") -> Behaviour:
    """A stream that says this, then: `silence`; `end`, the last chunk; `eof`, without that; `reset`."""

    def behave(service: FakeService, connection: socket.socket, request: Request) -> None:
        begin(connection)
        for text in texts:
            say(connection, text)
        if then == "silence":
            _until_over(service, connection)
        elif then == "end":
            connection.sendall(LAST_CHUNK)
        elif then == "reset":
            time.sleep(0.05)  # so that what was said arrives first
        if then != "end":
            hang_up(connection)

    return behave


def repeating(make: Any, every_s: float = 0.1) -> Behaviour:
    """A stream that says `make(service)` again and again."""

    def behave(service: FakeService, connection: socket.socket, request: Request) -> None:
        begin(connection)
        while not service.closing.is_set():
            say(connection, make(service))
            service.closing.wait(every_s)

    return behave


def dripping_stream(service: FakeService, connection: socket.socket, request: Request) -> None:
    """A snapshot, a byte at a time."""
    begin(connection)
    for byte in snapshot_event(service.snapshot):
        say(connection, bytes((byte,)))
        if service.closing.wait(0.05):
            return


def endless_line(service: FakeService, connection: socket.socket, request: Request) -> None:
    """A line without an end."""
    begin(connection)
    while not service.closing.is_set():
        say(connection, b"data: " + b" " * (1 << 20))


def _until_over(service: FakeService, connection: socket.socket) -> None:
    """Until the client hangs up, or the service does."""
    while not service.closing.wait(0.02) and not _hung_up(connection):
        pass

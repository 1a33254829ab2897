"""The other end of a stream: server-sent events, and a client that keeps what they tell it."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

from downhaul.engine import Ruleset, change_ruleset, decode_ruleset
from downhaul.engine.checksum import checksum
from downhaul_server.services.actors import SdkKey
from downhaul_server.services.container import Services
from downhaul_server.services.stream import Stream
from support.server import Server
from support.waiting import wait_until
from support.wire import Wire


@dataclass(frozen=True)
class Heard:
    """One event as a client sees it."""

    event: str
    id: str | None
    retry: int | None
    data: dict[str, Any]


def parse(text: str) -> Heard:
    """One event, without its blank line. Fails for what our events never have: other fields, several lines of data."""
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    assert len(fields) == len(text.splitlines()) and set(fields) <= {"id", "event", "retry", "data"}, text
    retry = int(fields["retry"]) if "retry" in fields else None
    return Heard(fields["event"], fields.get("id"), retry, json.loads(fields["data"]))


class Listener:
    """Takes what a stream of the services has for its client, in a thread of its own. Close it with `with`."""

    def __init__(self, services: Services, stream: Stream) -> None:
        self.stream = stream
        self.raw: list[Any] = []
        self._services = services
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._services.streams.close(self.stream)
        self._thread.join(timeout=5)

    @property
    def heard(self) -> list[Heard]:
        return [parse(item.text.decode("ascii").removesuffix("\n\n")) for item in self.raw]

    def of(self, event: str) -> list[Heard]:
        """Those of one kind, so far."""
        return [heard for heard in self.heard if heard.event == event]

    def next(self, event: str, known: int = 0) -> Heard:
        """Wait for one of this kind beyond the `known` ones."""
        wait_until(lambda: len(self.of(event)) > known, f"a {event} arrives")
        return self.of(event)[known]

    def ended(self) -> bool:
        """Whether nothing will come any more."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self.stream.take()) is not None:
            self.raw.append(item)


def listen(
    services: Services, key: SdkKey, service: str, *, process: str | None = None, last: tuple[str, int] | None = None
) -> Listener:
    """Open a stream and listen to it."""
    return Listener(services, services.streams.open(key, service, process, last))


class Replica:
    """What a client holds: it takes events as the SDK does, and refuses what the SDK would."""

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.revision = 0
        self.flags: dict[str, Any] = {}
        self.segments: dict[str, Any] = {}
        self.ruleset = Ruleset()

    def take(self, heard: Heard) -> None:
        """Apply one event."""
        data = heard.data
        if heard.event == "snapshot":
            assert data["checksum"] == checksum(data["flags"], data["segments"])
            self.flags, self.segments = dict(data["flags"]), dict(data["segments"])
            self.ruleset = decode_ruleset({"flags": self.flags, "segments": self.segments})
            self.epoch, self.revision = data["epoch"], data["revision"]
        elif heard.event == "change":
            assert (data["epoch"], data["base"]) == (self.epoch, self.revision), "a gap"
            assert data["revision"] > data["base"]
            assert data["checksum"] == checksum(data["flags"], data["segments"])
            _apply(self.flags, data["flags"])
            _apply(self.segments, data["segments"])
            self.ruleset = change_ruleset(self.ruleset, data["flags"], data["segments"])
            assert len(self.flags) == data["flag_count"]
            self.revision = data["revision"]
        if heard.event in ("snapshot", "change"):
            assert heard.id == f"{self.epoch}:{self.revision}"
            assert self.ruleset == decode_ruleset({"flags": self.flags, "segments": self.segments})


def _apply(target: dict[str, Any], changed: dict[str, Any]) -> None:
    for name, value in changed.items():
        if value is None:
            del target[name]
        else:
            target[name] = value


class Tap:
    """A stream over a real connection. Close it with `with`."""

    def __init__(self, server: Server, token: str, query: str, *, version: str = "1.1", **headers: str) -> None:
        """`headers` as Python writes them: `last_event_id="e1:42"`."""
        lines = [f"GET /sdk/v1/stream?{query} HTTP/{version}", "Host: tests", f"Authorization: Bearer {token}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.wire = Wire(server)
        self.wire.send("\r\n".join((*lines, "", "")).encode("ascii"))
        self.answer = self.wire.answer()

    def next(self, event: str | None = None) -> Heard:
        """The next event, or the next of this kind. Fails when the stream ends before."""
        while True:
            lines: list[str] = []
            while line := self.answer.readline().decode("ascii").removesuffix("\n"):
                lines.append(line)
            assert lines, f"the stream has ended, and no {event or 'event'} has come"
            heard = parse("\n".join(lines))
            if event in (None, heard.event):
                return heard

    def ended(self) -> bool:
        """Whether nothing more comes, and the answer is whole."""
        return self.answer.read() == b""

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.close()
        self.wire.close()

"""A line between a client and a server, with every fault that networks have; switched while connections are open."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")

CHUNK = 1 << 16
PATIENCE_S = 10.0
_REQUEST = re.compile(rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE) (/[^\s?]*)\S* HTTP/1\.[01]\r\n")
_LONGEST_REQUEST_LINE = 1024


class Way(Enum):
    """A direction."""

    UP = "up"
    """From the client."""
    DOWN = "down"


BOTH = frozenset(Way)
UP = frozenset({Way.UP})
DOWN = frozenset({Way.DOWN})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong with the line. The base of them all, and by itself nothing: everything passes."""

    ways: frozenset[Way] = BOTH


@dataclass(frozen=True, kw_only=True)
class Reset(Fault):
    """Connections are reset, new ones at once."""


@dataclass(frozen=True, kw_only=True)
class Silence(Fault):
    """Half-open: what is sent is lost without a word. Connections that it befell never recover."""


@dataclass(frozen=True, kw_only=True)
class Hold(Fault):
    """Nothing passes. What was sent arrives when the fault is over, in one piece: a cut cable, or a hoarding proxy."""


@dataclass(frozen=True, kw_only=True)
class Delay(Fault):
    """Everything arrives so many seconds later."""

    seconds: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Drip(Fault):
    """Byte by byte, with a pause (seconds) after each."""

    pause_s: float = 0.002


@dataclass(frozen=True, kw_only=True)
class Cut(Fault):
    """Each connection ends in the middle, after so many more bytes (at most; how many is random)."""

    most_bytes: int = 400


@dataclass(frozen=True, kw_only=True)
class Corrupt(Fault):
    """One byte in so many (on average) arrives changed: upwards never into another ASCII character, downwards into any.

    Upwards, because nothing but TCP protects what a client says; a request that still makes sense is another request.
    """

    one_in: int = 300


CLEAR = Fault()


@dataclass(eq=False)
class _Line:
    """One connection of a client, and the one to the server that belongs to it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    lost: set[Way] = field(default_factory=set)
    """Half-open in these directions, for ever."""
    left: dict[Way, int] = field(default_factory=dict)
    """Bytes until it is cut."""
    tail: bytes = b""

    def end(self, *, reset: bool) -> None:
        for writer in (self.client, self.server):
            if writer is not None:
                _end(writer, reset)


class Proxy:
    """Listens on a loopback port; each connection goes to the next of `targets` (ports) that accepts one."""

    def __init__(self, *targets: int, seed: int = 0) -> None:
        self.targets = targets
        self.fault: Fault = CLEAR
        self.requests: list[tuple[float, str]] = []
        """HTTP requests that clients have sent: when (monotonic), and the path."""
        self.connections: list[float] = []
        """When clients have connected."""
        self._random = random.Random(seed)
        self._lines: set[_Line] = set()
        self._turn = 0
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()
        self._server = self._wait(asyncio.start_server(self._serve, sock=listener))

    @property
    def url(self) -> str:
        """For HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def redis_url(self) -> str:
        """For Redis."""
        return f"redis://127.0.0.1:{self.port}/0"

    def set(self, fault: Fault) -> None:
        """From now on, on the connections that are open too."""
        self._wait(self._set(fault))

    def clear(self) -> None:
        """All is well again; but what was half-open stays so."""
        self.set(CLEAR)

    def reset(self) -> None:
        """Reset the connections that are open, this once."""
        self._call(lambda: [line.end(reset=True) for line in list(self._lines)])

    def open_lines(self) -> int:
        """How many connections there are."""
        return len(self._lines)

    def close(self) -> None:
        """Cut everything, and listen no more. Idempotent."""
        if self._loop.is_closed():
            return
        self._wait(self._end_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    # What follows runs in the thread.

    async def _set(self, fault: Fault) -> None:
        self.fault = fault
        for line in list(self._lines):
            self._strike(line)
        self._changed.set()
        self._changed = asyncio.Event()

    def _strike(self, line: _Line) -> None:
        line.left.clear()
        match self.fault:
            case Reset():
                line.end(reset=True)
            case Silence(ways=ways):
                line.lost |= ways
            case Cut(ways=ways, most_bytes=most):
                line.left = {way: self._random.randint(1, most) for way in ways}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(time.monotonic())
        line = _Line(writer)
        self._lines.add(line)
        try:
            self._strike(line)
            reply, line.server = await self._connect()
            await asyncio.gather(
                self._pump(line, Way.UP, reader, line.server), self._pump(line, Way.DOWN, reply, line.client)
            )
            line.end(reset=False)
        except EOFError:
            line.end(reset=False)
        except (OSError, asyncio.CancelledError):
            line.end(reset=True)
        finally:
            self._lines.discard(line)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._turn += 1
        for index in range(len(self.targets)):
            with suppress(OSError):
                target = self.targets[(self._turn + index) % len(self.targets)]
                return await asyncio.open_connection("127.0.0.1", target, limit=CHUNK)
        raise ConnectionRefusedError

    async def _pump(self, line: _Line, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK):
            if way is Way.UP:
                self._count(line, data)
            await self._carry(line, way, data, sink)
        while way not in line.lost and self._holds(way):
            await self._changed.wait()
        if way not in line.lost:
            if way is Way.DOWN:
                raise EOFError
            sink.write_eof()

    async def _carry(self, line: _Line, way: Way, data: bytes, sink: asyncio.StreamWriter) -> None:
        while way not in line.lost and self._holds(way):
            await self._changed.wait()
        if way in line.lost:
            return None
        fault = self.fault if way in self.fault.ways else CLEAR
        match fault:
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
            case Corrupt(one_in=one_in):
                data = self._corrupted(data, one_in, way)
            case Drip(pause_s=pause_s):
                return await self._drip(line, way, data, sink, pause_s)
        if (left := line.left.get(way)) is not None:
            line.left[way] = left - len(data)
            if line.left[way] <= 0:
                sink.write(data[:left])
                await sink.drain()
                raise EOFError
        sink.write(data)
        await sink.drain()
        return None

    async def _drip(self, line: _Line, way: Way, data: bytes, sink: asyncio.StreamWriter, pause_s: float) -> None:
        for index in range(len(data)):
            if not (isinstance(self.fault, Drip) and way in self.fault.ways):
                await self._carry(line, way, data[index:], sink)  # something else is wrong by now, or nothing
                return
            sink.write(data[index : index + 1])
            await sink.drain()
            await asyncio.sleep(pause_s)

    def _holds(self, way: Way) -> bool:
        return isinstance(self.fault, Hold) and way in self.fault.ways

    def _corrupted(self, data: bytes, one_in: int, way: Way) -> bytes:
        changed = bytearray(data)
        for index in range(len(changed)):
            if self._random.randrange(one_in) == 0:
                changed[index] ^= 0x80 if way is Way.UP else self._random.randint(1, 255)
        return bytes(changed)

    def _count(self, line: _Line, data: bytes) -> None:
        text, end = line.tail + data, 0
        for found in _REQUEST.finditer(text):
            self.requests.append((time.monotonic(), found[1].decode("ascii", "replace")))
            end = found.end()
        line.tail = text[end:][-_LONGEST_REQUEST_LINE:]

    async def _end_all(self) -> None:
        self._server.close()
        for line in list(self._lines):
            line.end(reset=True)
        own = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not own]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def _call(self, work: Callable[[], Any]) -> None:
        async def run() -> None:
            work()

        self._wait(run())


def _end(writer: asyncio.StreamWriter, reset: bool) -> None:
    made = writer.get_extra_info("socket")
    if not reset:
        writer.close()
        return
    with suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

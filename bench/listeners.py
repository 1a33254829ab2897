"""A process that holds many streams: raw sockets and epoll, so that what is measured is the server.

    python bench/listeners.py PORT COUNT        # the token comes on the first line of stdin

Prints one JSON line when all streams have had their first event: {"seconds": ..., "bytes": ...}. Then, for each line
`changes N` that it is given on stdin, one when every stream has had N changes in all, or after 30 s:
{"arrived": [wall clock of each arrival]}. Ends with its stdin.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import sys
import time

BATCH_S = 0.001
"""Between two looks: else the system would switch to us for every single arrival, on the server's own processors."""
UNDER_WAY = 100
"""Connections that are being opened at once, well below any backlog."""
PATIENCE_S = 60.0
REQUEST = (
    "GET /sdk/v1/stream?service=bench HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n"
    "Authorization: Bearer {token}\r\n\r\n"
)
BEGUN, CHANGE = b"event: snapshot\n", b"event: change\n"


class Listeners:
    """All the streams of this process."""

    def __init__(self, port: int, count: int, token: str) -> None:
        self._port = port
        self._request = REQUEST.format(token=token).encode()
        self._buffer = bytearray(1 << 18)
        self._epoll = select.epoll(count)
        self._lines: dict[int, socket.socket] = {}
        self._tails: dict[int, bytes] = {}
        self._to_open = count
        self.count = count
        self.begun = 0
        self.bytes = 0
        self.arrived: list[float] = []

    def open_all(self) -> None:
        """Open them; returns when each has had its first event."""
        deadline = time.monotonic() + PATIENCE_S
        while self.begun < self.count:
            while self._to_open and len(self._lines) - self.begun < UNDER_WAY:
                self._open()
            self.listen(0.1)
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.begun} of {self.count} streams have begun within {PATIENCE_S:.0f} s")

    def listen(self, timeout: float) -> None:
        """Take what has arrived."""
        arrivals = self._epoll.poll(timeout)
        time.sleep(BATCH_S)
        for descriptor, _ in arrivals:
            size = self._lines[descriptor].recv_into(self._buffer)
            now = time.time()
            if not size:
                raise SystemExit("the server has ended a stream")
            self.bytes += size
            text = self._tails[descriptor] + self._buffer[:size]
            self.begun += text.count(BEGUN)
            self.arrived += [now] * text.count(CHANGE)
            self._tails[descriptor] = _unfinished(text)

    def _open(self) -> None:
        line = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_S)
        line.sendall(self._request)
        self._lines[line.fileno()] = line
        self._tails[line.fileno()] = b""
        self._epoll.register(line.fileno(), select.EPOLLIN)
        self._to_open -= 1


def _unfinished(text: bytes) -> bytes:
    """The end of what has arrived, where a marker may have begun that is not whole yet."""
    end = text[-len(BEGUN) :]
    return end.rpartition(b"\n")[2] if end[-1:] != b"\n" else b""


def main() -> None:
    """See the module."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listeners = Listeners(int(sys.argv[1]), int(sys.argv[2]), sys.stdin.readline().strip())
    began = time.perf_counter()
    listeners.open_all()
    _say(seconds=time.perf_counter() - began, bytes=listeners.bytes)
    while True:
        while not select.select([sys.stdin], [], [], 0)[0]:
            listeners.listen(0.02)
        command = sys.stdin.readline().split()
        if not command:
            return
        wanted, deadline = listeners.count * int(command[1]), time.monotonic() + PATIENCE_S / 2
        while len(listeners.arrived) < wanted and time.monotonic() < deadline:
            listeners.listen(0.1)
        _say(arrived=listeners.arrived[wanted - listeners.count :])


def _say(**found: object) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

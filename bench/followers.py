"""Processes that follow a flag, and say when it has changed for them: `<nanoseconds, monotonic> <0 or 1>` a line."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

START_S = 120.0
END_S = 20.0


class Followers:
    """So many processes of one program, from `with` to its end. Each ends when its standard input does."""

    def __init__(self, command: Sequence[str], environ: dict[str, str], count: int) -> None:
        self._command, self._environ, self._count = command, environ, count
        self._children: list[subprocess.Popen[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._told: dict[int, tuple[int, bool]] = {}
        """What each said last: nanoseconds, and whether the flag is on."""
        self._buffers: dict[int, bytes] = {}

    def __enter__(self) -> Followers:
        for _ in range(self._count):
            child = subprocess.Popen(
                self._command, env=self._environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
            assert child.stdout is not None
            self._children.append(child)
            self._buffers[child.stdout.fileno()] = b""
            self._selector.register(child.stdout, selectors.EVENT_READ)
        return self

    def wait_all(self, on: bool, seconds: float) -> list[int]:
        """Wait until the flag is `on` or off for all of them; gives when it became so for each, in nanoseconds."""
        deadline = time.monotonic() + max(seconds, START_S if len(self._told) < self._count else 0.0)
        while len(self._told) < self._count or any(said is not on for _, said in self._told.values()):
            if time.monotonic() > deadline:
                late = sum(said is not on for _, said in self._told.values()) + self._count - len(self._told)
                raise SystemExit(f"{late} of {self._count} processes did not follow within {seconds:.0f} s")
            self._read()
        return [moment for moment, _ in self._told.values()]

    def processor_s(self) -> float:
        """Seconds of a processor that all of them have used so far (Linux)."""
        tasks = [task for child in self._children for task in Path(f"/proc/{child.pid}/task").glob("*/schedstat")]
        return sum(int(task.read_text("ascii").split()[0]) for task in tasks) / 1e9

    def _read(self) -> None:
        for key, _ in self._selector.select(1.0):
            data = os.read(key.fd, 65536)
            if not data:
                raise SystemExit("a process that should follow has ended")
            *lines, self._buffers[key.fd] = (self._buffers[key.fd] + data).split(b"\n")
            for line in lines:
                moment, on = line.split()
                before = self._told.get(key.fd)
                if before is None or before[1] is not (on == b"1"):
                    self._told[key.fd] = (int(moment), on == b"1")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            assert child.stdin is not None
            child.stdin.close()
        deadline = time.monotonic() + END_S
        for child in self._children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._selector.close()

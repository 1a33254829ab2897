"""OpenFeature's clients for Node and browsers, as npm has them; a program of theirs, and the lines that it prints."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CLIENTS = Path(__file__).parents[1] / "ofrep" / "clients"
PATIENCE_S = 30.0


def node() -> str:
    """Node, with the clients installed. Without: skips the test on a laptop, fails it in CI."""
    found = shutil.which("node") or shutil.which("nodejs")
    if found and (CLIENTS / "node_modules" / "@openfeature").is_dir():
        return found
    message = "NO CLIENTS: this test needs Node and OpenFeature's clients (`make clients` installs them)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def run(program: str, *arguments: str, given: Any) -> Any:
    """A program to its end: JSON in, JSON out."""
    command = [node(), str(CLIENTS / program), *arguments]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Program:
    """One that goes on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def tell(self, document: Any) -> None:
        """A line for it."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(document) + "\n")
        self._process.stdin.flush()

    def next(self, event: str) -> dict[str, Any]:
        """Its next line about this event; others before are dropped."""
        heard = []
        while True:
            try:
                found: dict[str, Any] = json.loads(self._lines.get(timeout=PATIENCE_S))
            except queue.Empty:
                pytest.fail(f"no {event}, but {heard}")
            if found["event"] == event:
                return found
            heard.append(found)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)


@contextmanager
def running(program: str, *arguments: str) -> Iterator[Program]:
    """A program, ended afterwards."""
    command = [node(), str(CLIENTS / program), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Program(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdin and process.stdout
        process.stdin.close()
        process.stdout.close()

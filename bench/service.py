"""Downhaul as the benchmarks run it: asked as the administrator, filled with flags."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

ADMIN = "dh_admin_of-the-benchmark"
PATIENCE_S = 90.0


def call(port: int, method: str, path: str, body: Any = None) -> Any:
    """One request as the administrator; gives the answer's JSON."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status < 300, content
    return json.loads(content)


def fill(port: int, service: str, flags: int) -> str:
    """A service with flags that are on in production; gives the token of an SDK key for it."""
    call(port, "POST", "/api/v1/services", {"key": service})
    for number in range(flags):
        flag = {"key": f"flag-{number}", "type": "boolean", "environments": {"production": {"on": True}}}
        call(port, "POST", f"/api/v1/services/{service}/flags", flag)
    key = {"kind": "sdk", "name": service, "environment": "production", "services": [service]}
    return str(call(port, "POST", "/api/v1/keys", key)["token"])


@contextmanager
def running(folder: Path, *, workers: int = 2) -> Iterator[tuple[int, int]]:
    """`downhaul-server run` with an embedded Redis and its data in `folder`; gives its port and its process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = {
        "DOWNHAUL_BIND": f"127.0.0.1:{port}",
        "DOWNHAUL_DATA_DIR": str(folder / "data"),
        "DOWNHAUL_ADMIN_TOKEN": ADMIN,
        "DOWNHAUL_WORKERS": str(workers),
        "DOWNHAUL_LOG_LEVEL": "warning",
    }
    log = folder / "downhaul.log"
    with process([sys.executable, "-m", "downhaul_server.cli", "run"], ours() | given, log) as child:
        wait_until(lambda: call(port, "GET", "/readyz")["status"] == "ok", child, log)
        yield port, child.pid


def ours() -> dict[str, str]:
    """This process's environment without settings of Downhaul."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DOWNHAUL_")}


@contextmanager
def process(command: list[str], environ: dict[str, str], log: Path, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ended by its process id; what it prints goes to `log`. `more` is for Popen."""
    with open(log, "ab") as output:
        child = subprocess.Popen(command, env=environ, stdout=output, stderr=output, **more)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(timeout=PATIENCE_S)


def wait_until(condition: Any, child: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the program answers as it should. Raises SystemExit with the end of its log when it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while child.poll() is None and time.monotonic() < deadline:
        try:
            if condition():
                return
        except (OSError, AssertionError, ValueError):
            pass
        time.sleep(0.1)
    raise SystemExit(f"{child.args!r} did not start:\n{log.read_text('utf-8', 'replace')[-2000:]}")

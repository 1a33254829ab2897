"""What the SDK costs a process: time to import, memory and threads of a running client."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import flags as measured
from downhaul.engine.checksum import checksum

IMPORT = """
import time
start = time.perf_counter()
from downhaul import flags
print((time.perf_counter() - start) * 1000)
"""

CLIENT = """
import json, sys, threading
import requests
requests.Session().close()

def kilobytes():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

threads, before = threading.active_count(), kilobytes()
from downhaul.flags import Client
client = Client(url=sys.argv[1], key="bench", service="bench")
assert client.wait_ready(20), client.status()
assert client.enabled("flag-0"), client.status()
print(json.dumps({"kilobytes": kilobytes() - before, "threads": threading.active_count() - threads}))
client.close()
"""


def import_ms() -> float:
    """Milliseconds for `from downhaul import flags` in a fresh interpreter, the best of ten."""
    return min(float(_python(IMPORT)) for _ in range(10))


def memory_mb() -> float:
    """Megabytes that a running client with 100 flags adds to a process that has imported requests."""
    return float(_client()["kilobytes"]) / 1024


def threads() -> int:
    """Threads that a running client adds to a process."""
    return int(_client()["threads"])


@cache
def _client() -> dict[str, Any]:
    with service() as url:
        found: dict[str, Any] = json.loads(_python(CLIENT, url))
        return found


def _python(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


@contextmanager
def service() -> Iterator[str]:
    """A service that has one snapshot."""
    documents = measured.many(100)
    envelope = {
        "schema": 1,
        "epoch": "bench",
        "revision": 1,
        "service": "bench",
        "environment": "production",
        "flag_count": len(documents),
        "checksum": checksum(documents, {}),
        "flags": documents,
        "segments": {},
    }
    body = json.dumps(envelope).encode("ascii")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("ETag", '"bench:1"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- overrides http.server's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()

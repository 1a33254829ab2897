"""What an unchanged poll (304) costs the server, as a ratio to an empty Flask view under the same gunicorn.

    python bench/poll.py [--seconds 2] [--rounds 5] [--json FILE]

Two web servers of one worker each take turns, so that a busy moment of the machine hits both: one answers nothing with
an empty Flask application, the other is Downhaul as it is shipped, on an embedded Redis with a hundred flags. A few
keep-alive connections ask each as fast as they are answered. DESIGN asks for a ratio of 0.8. Needs a redis-server.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

REACH = 0.8
CONNECTIONS = 4
FLAGS = 100
ADMIN = "dh_admin_of-the-benchmark"
PATIENCE_S = 30.0
EMPTY = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


def serve(kind: str, descriptor: int) -> None:
    """In a child: gunicorn, with one of the two applications."""
    from downhaul_server.serve import Web  # first of all: it patches the process for gevent
    from downhaul_server.settings import Settings
    from flask import Flask

    class EmptyWeb(Web):
        """The same gunicorn around nothing."""

        def load(self) -> Flask:
            app = Flask("empty")
            app.add_url_rule("/", view_func=lambda: "")
            return app

    settings = Settings.from_environment().prepare()
    (EmptyWeb if kind == "empty" else Web)(settings, descriptor).run()


@contextmanager
def server(kind: str, folder: Path, redis_url: str) -> Iterator[int]:
    """A server in a process of its own; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    metrics = folder / f"metrics-{kind}"
    metrics.mkdir()
    given = {
        "DOWNHAUL_DATA_DIR": str(folder / kind),
        "DOWNHAUL_REDIS_URL": redis_url,
        "DOWNHAUL_ADMIN_TOKEN": ADMIN,
        "DOWNHAUL_WORKERS": "1",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }
    with open(folder / f"{kind}.log", "wb") as log:
        child = subprocess.Popen(
            [sys.executable, __file__, "--serve", kind, str(listener.fileno())],
            env=os.environ | given,
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=log,
        )
    try:
        yield listener.getsockname()[1]
    finally:
        child.terminate()
        child.wait(timeout=PATIENCE_S)
        listener.close()


def call(port: int, method: str, path: str, body: Any = None, token: str = ADMIN) -> tuple[Any, str]:
    """One request to Downhaul: the answer's JSON and its ETag."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status < 300, content
    return json.loads(content), answer.headers.get("ETag", "")


def poll(port: int) -> bytes:
    """Fill Downhaul; gives the request that an instance sends when nothing has changed."""
    call(port, "POST", "/api/v1/services", {"key": "bench"})
    for number in range(FLAGS):
        call(port, "POST", "/api/v1/services/bench/flags", {"key": f"flag-{number}", "type": "boolean"})
    key = {"kind": "sdk", "name": "bench", "environment": "production", "services": ["bench"]}
    token = call(port, "POST", "/api/v1/keys", key)[0]["token"]
    path = "/sdk/v1/snapshot?service=bench"
    etag = call(port, "GET", path, token=token)[1]
    lines = (f"GET {path} HTTP/1.1", "Host: bench", f"Authorization: Bearer {token}", f"If-None-Match: {etag}")
    return "\r\n".join((*lines, "\r\n")).encode()


def rate(port: int, request: bytes, status: bytes, seconds: float) -> float:
    """Requests a second over `CONNECTIONS` connections. Every answer must have the status."""
    counts = [0] * CONNECTIONS
    end = time.perf_counter() + seconds

    def ask(index: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as line:
            while time.perf_counter() < end:
                line.sendall(request)
                # Neither answer has a body, so its head is all of it.
                answer = line.recv(65536)
                assert answer.startswith(status), answer
                assert answer.endswith(b"\r\n\r\n"), answer
                counts[index] += 1

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(CONNECTIONS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def measure(seconds: float, rounds: int) -> dict[str, float]:
    """Both servers in turn; the median of the rounds' ratios counts."""
    from downhaul_server.store import Embedded

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="downhaul-bench-")))
        redis = Embedded(folder)
        stack.callback(redis.stop)
        url = redis.start()
        empty = stack.enter_context(server("empty", folder, url))
        downhaul = stack.enter_context(server("downhaul", folder, url))
        request = poll(downhaul)
        rate(empty, EMPTY, b"HTTP/1.1 200", 0.5)
        rate(downhaul, request, b"HTTP/1.1 304", 0.5)
        pairs = [
            (rate(empty, EMPTY, b"HTTP/1.1 200", seconds), rate(downhaul, request, b"HTTP/1.1 304", seconds))
            for _ in range(rounds)
        ]
    return {
        "empty_view_per_s": statistics.median(floor for floor, _ in pairs),
        "poll_304_per_s": statistics.median(polls for _, polls in pairs),
        "ratio": statistics.median(polls / floor for floor, polls in pairs),
        "reach": REACH,
    }


def main() -> int:
    """Print the figures; 1 when the ratio is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve[0], int(arguments.serve[1]))
        return 0
    found = measure(arguments.seconds, arguments.rounds)
    for name, value in found.items():
        print(f"{name:20}{value:12.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if found["ratio"] >= REACH else 1


if __name__ == "__main__":
    sys.exit(main())

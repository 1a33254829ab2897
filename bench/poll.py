"""What polls cost the server, as ratios to an empty Flask view under the same gunicorn.

    python bench/poll.py [--seconds 2] [--rounds 5] [--json FILE]

Two web servers of one worker each take turns, so that a busy moment of the machine hits both: one answers nothing with
an empty Flask application, the other is Downhaul as it is shipped, on an embedded Redis. A few keep-alive connections
ask each as fast as they are answered: for an unchanged snapshot (304) and for a whole one, of 50 and of 500 flags.
DESIGN asks for a ratio of 0.8 where nothing has changed. Needs a redis-server.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from service import ADMIN, PATIENCE_S, call, fill, ours, process, wait_until

REACH = 0.8
CONNECTIONS = 4
SIZES = (50, 500)
OK, UNCHANGED = b"HTTP/1.1 200", b"HTTP/1.1 304"
EMPTY = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)
ETAG = re.compile(rb"\r\nETag: (\S+)", re.IGNORECASE)


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
    port = listener.getsockname()[1]
    metrics = folder / f"metrics-{kind}"
    metrics.mkdir()
    given = {
        "DOWNHAUL_DATA_DIR": str(folder / kind),
        "DOWNHAUL_REDIS_URL": redis_url,
        "DOWNHAUL_ADMIN_TOKEN": ADMIN,
        "DOWNHAUL_WORKERS": "1",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }
    log = folder / f"{kind}.log"
    command = [sys.executable, __file__, "--serve", kind, str(listener.fileno())]
    with listener, process(command, ours() | given, log, pass_fds=[listener.fileno()]) as child:
        if kind != "empty":
            wait_until(lambda: call(port, "GET", "/readyz"), child, log)
        yield port


def polls(port: int, flags: int) -> tuple[bytes, bytes, int]:
    """Fill a service; gives the request of an instance that has its snapshot, of one that has none, and its bytes."""
    token = fill(port, f"bench-{flags}", flags)
    lines = (f"GET /sdk/v1/snapshot?service=bench-{flags} HTTP/1.1", "Host: bench", f"Authorization: Bearer {token}")
    whole = "\r\n".join((*lines, "\r\n")).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as line:
        head, body = ask(line, whole, OK)
    found = ETAG.search(head)
    assert found, head
    return whole[:-2] + b"If-None-Match: " + found[1] + END, whole, body


def ask(line: socket.socket, request: bytes, status: bytes) -> tuple[bytes, int]:
    """One request; gives the head of the answer, which must have the status, and how many bytes its body had."""
    line.sendall(request)
    answer = line.recv(65536)
    while (at := answer.find(END)) < 0:
        answer += line.recv(65536)
    head = answer[:at]
    assert head.startswith(status), answer[:1000]
    found = LENGTH.search(head) if status == OK else None
    length = int(found[1]) if found else 0
    left = length - (len(answer) - at - len(END))
    while left > 0:
        left -= len(line.recv(1 << 20))
    return head, length


def rate(port: int, request: bytes, status: bytes, seconds: float) -> float:
    """Requests a second over `CONNECTIONS` connections. Every answer must have the status."""
    counts = [0] * CONNECTIONS
    end = time.perf_counter() + seconds

    def work(index: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as line:
            while time.perf_counter() < end:
                ask(line, request, status)
                counts[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(CONNECTIONS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def measure(seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    """All of them in turn; the median of the rounds' ratios counts."""
    from downhaul_server.store import Embedded

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="downhaul-bench-")))
        redis = Embedded(folder)
        stack.callback(redis.stop)
        url = redis.start()
        empty = stack.enter_context(server("empty", folder, url))
        downhaul = stack.enter_context(server("downhaul", folder, url))
        kinds: dict[str, tuple[bytes, bytes, int]] = {}
        for flags in SIZES:
            unchanged, whole, size = polls(downhaul, flags)
            kinds[f"unchanged, {flags} flags"] = (unchanged, UNCHANGED, 0)
            kinds[f"whole, {flags} flags"] = (whole, OK, size)
        rate(empty, EMPTY, OK, 0.5)
        floors: list[float] = []
        rates: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(rounds):
            floors.append(rate(empty, EMPTY, OK, seconds))
            for name, (request, status, _) in kinds.items():
                rates[name].append(rate(downhaul, request, status, seconds))
    found = {"empty view": {"per_s": statistics.median(floors), "ratio": 1.0, "bytes": 0.0}}
    for name, each in rates.items():
        ratios = [polled / floor for polled, floor in zip(each, floors, strict=True)]
        found[name] = {"per_s": statistics.median(each), "ratio": statistics.median(ratios), "bytes": kinds[name][2]}
    return found


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
    for name, each in found.items():
        print(f"{name:24}{each['per_s']:10.0f}/s{each['ratio']:8.2f} ×{each['bytes'] / 1000:9.1f} kB")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    reached = all(each["ratio"] >= REACH for name, each in found.items() if name.startswith("unchanged"))
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())

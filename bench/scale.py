"""How many nodes a fleet takes: what each thing costs one node is measured, the rest is arithmetic.

    python bench/scale.py [--services 100] [--instances 1000] [--streams 2000] [--reports 4000] [--json FILE]

One node of two workers holds streams (as in `fanout.py`); then two nodes of one worker each share a Redis, instances
report to the first, and the second hears of them. Only processor time and memory of the workers count, so that whatever
else runs on this machine changes little. Then the fleet, on paper: its streams, heartbeats, reports and reconnects, at
half of each core, for nodes of four workers. Needs a redis-server.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from downhaul_server.store.embedded import Embedded
from fanout import Crowd, change, kilobytes, processor_s, workers
from service import ADMIN, call, fill, ours, process, running, wait_until

IDLE_S = 10.0
CHANGES = 5
STREAM_AGE_S = 900.0
REPORT_S = 60.0
"""What a large fleet is told; see `services/fleet.py`."""
REPORTS_A_SECOND = 2500
"""At most so many follow a change: instances are told to spread them."""
WORKERS_A_NODE = 4
STREAMS_A_WORKER = 10_000
BUSY = 0.5
"""Of each core: the rest is for kills, restarts and the loss of a node."""


@dataclass(frozen=True)
class Costs:
    """Of one worker; processor time in milliseconds."""

    connect_ms: float
    """To take a stream and send its snapshot."""
    hold_ms: float
    """A stream for one second: its heartbeats."""
    event_ms: float
    """To bring a change to one stream."""
    report_ms: float
    """To take a report."""
    heard_ms: float
    """To hear of a report that another worker took."""
    stream_kb: float
    instance_kb: float
    """To know of an instance."""
    worker_mb: float
    """With nothing to do."""


def measure(streams: int, reports: int) -> Costs:
    """On this machine, now."""
    return Costs(**_streams(streams), **_reports(reports))


def _streams(streams: int) -> dict[str, float]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="downhaul-bench-")))
        port, pid = stack.enter_context(running(folder, workers=2))
        token = fill(port, "bench", 50)
        held = workers(pid)
        used, room = processor_s(held), kilobytes(held)
        crowd = Crowd(port, token, streams)
        stack.callback(crowd.close)
        connected = processor_s(held)
        time.sleep(IDLE_S)
        idle, began = processor_s(held), time.monotonic()
        for number in range(CHANGES):
            change(port, number)
            crowd.arrivals(number + 1)
        resting = (idle - connected) / IDLE_S
        changed = processor_s(held) - idle - resting * (time.monotonic() - began)
        return {
            "connect_ms": (connected - used) * 1000 / streams,
            "hold_ms": resting * 1000 / streams,
            "event_ms": max(changed, 0.0) * 1000 / streams / CHANGES,
            "stream_kb": (kilobytes(held) - room) / streams,
            "worker_mb": room / len(held) / 1024,
        }


def _reports(reports: int) -> dict[str, float]:
    """Half of them by instances that are new, half by the same again."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="downhaul-bench-")))
        port, pid = stack.enter_context(running(folder, workers=1))
        token = fill(port, "bench", 50)
        _, other_pid = stack.enter_context(_second_node(folder))
        revision = call(port, "GET", "/readyz")["revision"]
        epoch = call(port, "GET", "/readyz")["epoch"]
        taking, hearing = workers(pid), workers(other_pid)
        before = [processor_s(taking), processor_s(hearing)]
        room = kilobytes(hearing)
        for _ in range(2):
            _report(port, token, epoch, revision, reports // 2)
        time.sleep(3)  # what waits to be told to the other node is told within a second
        took, heard = processor_s(taking) - before[0], processor_s(hearing) - before[1]
        return {
            "report_ms": took * 1000 / reports,
            "heard_ms": heard * 1000 / reports,
            "instance_kb": max(kilobytes(hearing) - room, 0) / (reports // 2),
        }


def _report(port: int, token: str, epoch: str, revision: int, instances: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    for number in range(instances):
        said = {
            "service": "bench",
            "process": f"process-{number}",
            "instance": f"bench-{number}",
            "host": f"node-{number % 50}",
            "build": "2.1.0",
            "sdk": "python/0.1",
            "link": "stream",
            "epoch": epoch,
            "revision": revision,
        }
        connection.request("POST", "/sdk/v1/report", json.dumps(said), headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"a report was answered with {answer.status}: {content!r}")
    connection.close()


@contextmanager
def _second_node(folder: Path) -> Iterator[tuple[int, int]]:
    """On the Redis of the first."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = {
        "DOWNHAUL_BIND": f"127.0.0.1:{port}",
        "DOWNHAUL_DATA_DIR": str(folder / "second"),
        "DOWNHAUL_REDIS_URL": Embedded(folder / "data").url,
        "DOWNHAUL_ADMIN_TOKEN": ADMIN,
        "DOWNHAUL_WORKERS": "1",
        "DOWNHAUL_LOG_LEVEL": "warning",
    }
    log = folder / "second.log"
    with process([sys.executable, "-m", "downhaul_server.cli", "run"], ours() | given, log) as child:
        wait_until(lambda: call(port, "GET", "/readyz")["status"] == "ok", child, log)
        yield port, child.pid


def on_paper(costs: Costs, services: int, instances: int) -> dict[str, Any]:
    """What a fleet asks for, and the nodes that give it, one of them to spare."""
    fleet = services * instances
    shared = {  # milliseconds of processor time a second, over all workers
        "heartbeats": fleet * costs.hold_ms,
        "reconnects": fleet / STREAM_AGE_S * costs.connect_ms,
        "reports": fleet / REPORT_S * costs.report_ms,
    }
    heard = fleet / REPORT_S * costs.heard_ms  # in each worker: it knows all of the fleet
    room = BUSY * 1000 - heard
    by_time = math.ceil(sum(shared.values()) / room) if room > 0 else 0
    by_streams = math.ceil(fleet / STREAMS_A_WORKER)
    needed = max(by_time, by_streams)
    nodes = math.ceil(needed / WORKERS_A_NODE) + 1
    streams = fleet / (nodes * WORKERS_A_NODE)
    return {
        "instances": fleet,
        "cores for heartbeats": shared["heartbeats"] / 1000,
        "cores for reconnects": shared["reconnects"] / 1000,
        "cores for reports": shared["reports"] / 1000,
        "each worker hears reports, % of its core": heard / 10,
        "workers by processor time": by_time,
        "workers by streams": by_streams,
        f"nodes of {WORKERS_A_NODE} workers, one to spare": nodes,
        "streams a worker": streams,
        "each worker's core is busy, %": (heard + sum(shared.values()) / nodes / WORKERS_A_NODE) / 10,
        "memory of a worker, MB": (streams * costs.stream_kb + fleet * costs.instance_kb) / 1024 + costs.worker_mb,
        "a kill in one service, ms of each worker": instances / nodes / WORKERS_A_NODE * costs.event_ms,
        "a change for all, ms of each worker": streams * costs.event_ms,
        "reports after a kill in one service, s of one core": instances * costs.report_ms / 1000,
        "while reports of a change come, % of each core to hear them": min(fleet, REPORTS_A_SECOND)
        * costs.heard_ms
        / 10,
        "all come back after a restart of one node, s of each core": streams
        * WORKERS_A_NODE
        / max(nodes - 1, 1)
        / WORKERS_A_NODE
        * costs.connect_ms
        / 1000,
    }


def main() -> int:
    """Print both; 1 when no number of nodes suffices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--instances", type=int, default=1000, help="of each service")
    parser.add_argument("--streams", type=int, default=2000, help="to measure with")
    parser.add_argument("--reports", type=int, default=4000, help="to measure with")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    costs = measure(arguments.streams, arguments.reports)
    for name, value in asdict(costs).items():
        print(f"{name:<60}{value:12.3f}")
    print()
    sizes = [(10, 100), (50, 200), (arguments.services, arguments.instances)]
    papers = [on_paper(costs, *size) for size in sizes]
    for name in papers[0]:
        print(f"{name:<60}" + "".join(f"{paper[name]:12,.2f}" for paper in papers))
    if arguments.json:
        found = {"costs": asdict(costs), "fleets": papers}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if all(paper["workers by processor time"] for paper in papers) else 1


if __name__ == "__main__":
    sys.exit(main())

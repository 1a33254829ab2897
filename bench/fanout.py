"""What it costs to hold many streams, and how long a change takes to the last of them.

    python bench/fanout.py [--sizes 100,1000,10000] [--changes 10] [--flags 50] [--json FILE]

A real `downhaul-server run` of two workers with an embedded Redis, and two processes that hold the streams (see
`listeners.py`), all on this machine. A flag is killed and restored in turn; from the moment of the commit, by Redis's
clock, to each arrival. DESIGN asks for 25 ms to the last of 100, 250 ms to the last of 10,000, 60 kB a stream.
Needs a redis-server, and a hard limit of 16,000 open files for 10,000 streams.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from service import call, fill, running

PROCESSES = 2
WORKERS = 2
IDLE_S = 10.0
REACH = {100: 25.0, 10_000: 250.0}
MOST_KB = 60.0
TICKS = os.sysconf("SC_CLK_TCK")


class Crowd:
    """The processes that hold the streams."""

    def __init__(self, port: int, token: str, streams: int) -> None:
        self._children = [
            subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("listeners.py")), str(port), str(part)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for part in (streams // PROCESSES, streams - streams // PROCESSES)
        ]
        self._tell(token)
        self.connect_s = max(each["seconds"] for each in self._hear())

    def arrivals(self, changes: int) -> list[float]:
        """When each stream had its latest of so many changes."""
        self._tell(f"changes {changes}")
        return [moment for each in self._hear() for moment in each["arrived"]]

    def close(self) -> None:
        """End them."""
        for child in self._children:
            child.kill()
            child.wait()

    def _tell(self, line: str) -> None:
        for child in self._children:
            assert child.stdin is not None
            child.stdin.write(f"{line}\n")
            child.stdin.flush()

    def _hear(self) -> list[dict[str, Any]]:
        lines = [child.stdout.readline() for child in self._children if child.stdout is not None]
        if not all(lines):
            raise SystemExit("a process that holds streams has ended")
        return [json.loads(line) for line in lines]


def change(port: int, number: int) -> float:
    """Kill a flag, or restore it; gives the wall clock at the commit."""
    verb = "restore" if number % 2 else "kill"
    answer = call(port, "POST", f"/api/v1/services/bench/flags/flag-7/{verb}", {"reason": "measured"})
    return datetime.fromisoformat(answer["committed_at"]).timestamp()


def workers(pid: int) -> list[int]:
    """The process ids of the web server's workers: those without children, under a process that has a session."""
    parents = {int(path.name): _stat(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
    children = [child for child, stat in parents.items() if stat and int(stat[1]) == pid]
    return [each for child in children for each, stat in parents.items() if stat and int(stat[1]) == child]


def _stat(pid: int) -> list[str]:
    """`/proc/<pid>/stat` after the name: state, parent, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def kilobytes(pids: list[int]) -> int:
    """Resident memory."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def processor_s(pids: list[int]) -> float:
    """Time on a processor."""
    return sum(int(field) for pid in pids for field in _stat(pid)[11:13]) / TICKS


def measure(streams: int, changes: int, flags: int) -> dict[str, float]:
    """A fresh server, and all the figures for so many streams."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="downhaul-bench-")))
        port, pid = stack.enter_context(running(folder, workers=WORKERS))
        token = fill(port, "bench", flags)
        held = workers(pid)
        assert len(held) == WORKERS, held
        before = kilobytes(held)
        crowd = Crowd(port, token, streams)
        stack.callback(crowd.close)
        used = processor_s(held)
        time.sleep(IDLE_S)
        idle = (processor_s(held) - used) / IDLE_S
        took: list[float] = []
        last: list[float] = []
        for number in range(changes):
            committed = change(port, number)
            arrived = crowd.arrivals(number + 1)
            if len(arrived) != streams:
                raise SystemExit(f"{len(arrived)} of {streams} streams had the change")
            took += [(moment - committed) * 1000 for moment in arrived]
            last.append(max(took[-streams:]))
            time.sleep(0.3)
        percentiles = statistics.quantiles(took, n=100)
        return {
            "streams": streams,
            "connect_s": crowd.connect_s,
            "kb_per_stream": (kilobytes(held) - before) / streams,
            "p50_ms": percentiles[49],
            "p99_ms": percentiles[98],
            "last_median_ms": statistics.median(last),
            "last_max_ms": max(last),
            "idle_cpu_percent": idle * 100,
        }


def reached(found: dict[str, float]) -> bool:
    """Whether it is what DESIGN asks for."""
    streams = int(found["streams"])
    in_time = found["last_max_ms"] <= REACH.get(streams, float("inf"))
    return in_time and (streams < 1000 or found["kb_per_stream"] <= MOST_KB)


def main() -> int:
    """Print a table; 1 when something is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--changes", type=int, default=10)
    parser.add_argument("--flags", type=int, default=50)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = []
    for size in map(int, arguments.sizes.split(",")):
        found = measure(size, arguments.changes, arguments.flags)
        if not rows:
            print("".join(f"{name:>18}" for name in found))
        print("".join(f"{value:18.1f}" for value in found.values()), flush=True)
        rows.append(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0 if all(map(reached, rows)) else 1


if __name__ == "__main__":
    sys.exit(main())

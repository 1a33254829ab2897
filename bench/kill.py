"""How long a kill takes: from the request to the last process that obeys, and to the answer that says so.

    python bench/kill.py [--processes 20,100] [--kills 20] [--json FILE]
    python bench/kill.py --peers [--peer-processes 20] [--peer-kills 6]

Real Python processes with the SDK follow one service of a `downhaul-server run` of two workers with an embedded Redis,
all on this machine. Each kill waits for its acknowledgement. The clock is the system's monotonic one, which all
processes share; each process looks at it when the flag has changed for its callers. Everything counts from the moment
in which the request to kill is sent, so the commit is in all figures. DESIGN asks for 25 ms to the last of 100 streams.

With `--peers` the same is done to Unleash's own server (on PostgreSQL) and its Python client: see `unleash.py`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from followers import Followers
from service import call, fill, ours, running

FLAGS = 50
KILLED = "flag-0"
WAIT_S = 30.0
INSTANCE = f"""
import os, sys, time
from downhaul import flags

def tell(names):
    os.write(1, b"%d %d\\n" % (time.monotonic_ns(), flags.enabled({KILLED!r})))

flags.on_change(tell)
assert flags.wait_ready(60), flags.status()
tell(())
sys.stdin.read()
flags.close()
"""


def measure(processes: int, kills: int) -> dict[str, float]:
    """Milliseconds: `last_*` to the last process that obeys, `each_*` to each of them, `answer_*` to the answer;
    `processor`: what each of them spends on a change and its report.
    """
    with tempfile.TemporaryDirectory(prefix="downhaul-bench-") as folder, running(Path(folder)) as (port, _):
        told = {
            "DOWNHAUL_URL": f"http://127.0.0.1:{port}",
            "DOWNHAUL_KEY": fill(port, "bench", FLAGS),
            "DOWNHAUL_SERVICE": "bench",
        }
        with Followers([sys.executable, "-c", INSTANCE], ours() | told, processes) as followers:
            followers.wait_all(True, WAIT_S)
            _wait_for_streams(port, processes)
            path = f"/api/v1/services/bench/flags/{KILLED}"
            used = followers.processor_s()
            rounds = [_round(port, path, followers) for _ in range(kills)]
            # Each round is two changes.
            per_change = (followers.processor_s() - used) * 1000 / (2 * kills * processes)
    confirmed = sum(each["confirmed"] for each in rounds)
    return summary(rounds) | {"confirmed": float(confirmed), "processor": per_change}


def _wait_for_streams(port: int, processes: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        fleet = call(port, "GET", "/api/v1/services/bench/fleet?environment=production&limit=500")["items"]
        if sum(each["link"] == "stream" and each["applied"] for each in fleet) == processes:
            return
        time.sleep(0.2)
    raise SystemExit(f"of {processes} processes these stream: {fleet}")


def _round(port: int, path: str, followers: Followers) -> dict[str, Any]:
    time.sleep(random.uniform(0.2, 0.7))
    began = time.monotonic_ns()
    answer = call(port, "POST", f"{path}/kill", {"wait": WAIT_S})
    answered = time.monotonic_ns()
    obeyed = followers.wait_all(False, WAIT_S)
    call(port, "POST", f"{path}/restore", {"reason": "once more", "wait": WAIT_S})
    followers.wait_all(True, WAIT_S)
    return {
        "each": [(moment - began) / 1e6 for moment in obeyed],
        "answer": (answered - began) / 1e6,
        "confirmed": answer["confirmed"] and answer["applied"] == len(obeyed),
        "told": answer["latency_ms"],
    }


def summary(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Over all kills."""
    found: dict[str, float] = {"kills": len(rounds), "processes": len(rounds[0]["each"])}
    found |= quantiles("each", [each for one in rounds for each in one["each"]])
    found |= quantiles("last", [max(one["each"]) for one in rounds])
    found |= quantiles("answer", [one["answer"] for one in rounds])
    told = [one["told"]["max"] for one in rounds if one.get("told")]
    return found | (quantiles("told_last", told) if told else {})


def quantiles(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile (nearest rank) and maximum, named so."""
    ordered = sorted(values)
    p99 = ordered[math.ceil(0.99 * len(ordered)) - 1]
    return {f"{name}_p50": statistics.median(ordered), f"{name}_p99": p99, f"{name}_max": ordered[-1]}


def show(title: str, found: dict[str, float]) -> None:
    """One candidate's figures."""
    print(f"{title}: {found['kills']:.0f} kills, {found['processes']:.0f} processes, milliseconds", end="")
    print(f", {found['confirmed']:.0f} confirmed" if "confirmed" in found else "")
    rows = {
        "each": "until a process obeys",
        "last": "until the last one does",
        "answer": "until the answer",
        "after": "from the answer to the last",
        "told_last": "commit to last, as the answer says",
    }
    for name, text in rows.items():
        if f"{name}_p50" in found:
            figures = "".join(f"{found[f'{name}_{part}']:12.1f}" for part in ("p50", "p99", "max"))
            print(f"  {text:36}{figures}")
    if "processor" in found:
        print(f"  {'processor time of each for a change':36}{found['processor']:12.1f}")


def main() -> int:
    """Print the figures; 1 when a kill was not confirmed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", default="20,100")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--peer-processes", type=int, default=20)
    parser.add_argument("--peer-kills", type=int, default=6)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    work: dict[str, Callable[[], dict[str, float]]] = {
        f"Downhaul, {count}": lambda count=int(count): measure(count, arguments.kills)  # type: ignore[misc]
        for count in arguments.processes.split(",")
    }
    if arguments.peers:
        import unleash

        work["Unleash"] = lambda: summary_of_peer(unleash.measure(arguments.peer_processes, arguments.peer_kills))
    found = {}
    for name, run in work.items():
        found[name] = run()
        show(name, found[name])
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if all(each.get("confirmed", each["kills"]) == each["kills"] for each in found.values()) else 1


def summary_of_peer(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """As `summary`; nobody tells when all have obeyed, so the wait that begins with the answer is added."""
    return summary(rounds) | quantiles("after", [max(one["each"]) - one["answer"] for one in rounds])


if __name__ == "__main__":
    sys.exit(main())

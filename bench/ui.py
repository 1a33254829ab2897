"""How long the pages take with many flags, as ratios to an empty answer of the same server.

    python bench/ui.py [--flags 5000] [--services 100] [--rounds 15] [--json FILE]

A real `downhaul-server run` with an embedded Redis. Somebody logs in and asks for each page in turn, so that a busy
moment of the machine hits all of them; `/livez` of the same server is what nothing costs. Needs a redis-server.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import requests
from service import ADMIN, call, running

PAGES = {
    "environment view": "/?environment=production",
    "search": "/?environment=production&q=flag-4711",
    "killed ones": "/?environment=production&state=killed",
    "service": "/services/service-0",
    "flag": "/services/service-0/flags/flag-0?environment=production",
    "kill of one": "/services/service-0/flags/flag-0/kill?environment=production",
    "/kill": "/kill?environment=production",
    "changes": "/changes",
    "stale flags": "/stale",
    "fleet": "/fleet",
    "index of the palette": "/ui/index.json",
}
EMPTY = "/livez"


def main() -> None:
    """Print a table."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as (port, _):
        fill(port, options.services, options.flags)
        visitor = log_in(port)
        times = measure(visitor, f"http://localhost:{port}", options.rounds)
    empty = statistics.median(times[EMPTY][0])
    print(f"{options.flags} flags in {options.services} services; an empty answer takes {empty * 1000:.1f} ms")
    results = {}
    for name, path in PAGES.items():
        seconds, size = times[path]
        median, worst = statistics.median(seconds), max(seconds)
        results[name] = {"median_ms": median * 1000, "worst_ms": worst * 1000, "ratio": median / empty, "bytes": size}
        print(f"{name:22} {median * 1000:7.1f} ms, worst {worst * 1000:7.1f}, {median / empty:6.1f} x, {size:8} bytes")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def fill(port: int, services: int, flags: int) -> None:
    """Flags in equal parts, every second one on."""
    for number in range(services):
        call(port, "POST", "/api/v1/services", {"key": f"service-{number}"})
    for number in range(flags):
        state = {"on": number % 2 == 0, "otherwise": {"variant": "on"}}
        flag = {"key": f"flag-{number}", "type": "boolean", "owner": "bench", "environments": {"production": state}}
        call(port, "POST", f"/api/v1/services/service-{number % services}/flags", flag)


def log_in(port: int) -> requests.Session:
    """Somebody with the cookie of a session, as a browser on this machine has it."""
    visitor = requests.Session()
    url = f"http://localhost:{port}/login"
    answer = visitor.post(url, {"token": ADMIN}, headers={"Sec-Fetch-Site": "same-origin"}, allow_redirects=False)
    assert answer.status_code == 303, answer.text
    (cookie,) = answer.cookies
    visitor.cookies.clear()
    visitor.headers["Cookie"] = f"{cookie.name}={cookie.value}"
    return visitor


def measure(visitor: requests.Session, url: str, rounds: int) -> dict[str, tuple[list[float], int]]:
    """Seconds of each page, and how large it was."""
    times: dict[str, tuple[list[float], int]] = {path: ([], 0) for path in (EMPTY, *PAGES.values())}
    for turn in range(rounds + 1):
        for path in times:
            began = time.perf_counter()
            answer = visitor.get(url + path, allow_redirects=False, timeout=60)
            took = time.perf_counter() - began
            assert answer.status_code == 200, (path, answer.status_code)
            if turn:  # the first round warms up
                times[path] = ([*times[path][0], took], len(answer.content))
    return times


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flags", type=int, default=5000)
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()

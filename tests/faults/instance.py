"""A microservice of the fault suite: evaluates its flags again and again, and writes down what it sees.

`python -m faults.instance FILE FLAGS` with the settings of the SDK in the environment; FLAGS is a JSON list. Each line
says what was seen `at` a moment (monotonic), and that the line before was still true at `since`. A line is written when
something has changed, and now and then. Ends when its standard input does, or at SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from typing import Any

from downhaul import flags
from downhaul.forks import guard
from faults.recording import ABSENT, USERS

PAUSE_S = 0.005
ALIVE_S = 0.25


def seen(names: list[str]) -> dict[str, Any]:
    """All flags of one revision: under this lock the SDK changes nothing."""
    with guard():
        status = flags.status()
        values = {name: [flags.value(name, default=ABSENT, **user) for user in USERS] for name in names}
    return {
        "epoch": status.epoch,
        "revision": status.revision,
        "values": values,
        "state": status.state,
        "link": status.link,
        "source": status.source,
        "error": status.last_error,
    }


def main() -> None:
    """Until the end."""
    path, names = sys.argv[1], json.loads(sys.argv[2])
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    before: dict[str, Any] = {}
    since = written = 0.0
    with open(path, "a", encoding="utf-8") as file:
        while not over.wait(PAUSE_S):
            at = time.monotonic()  # first: what is seen is at least as new as the time says
            now = seen(names)
            if now != before or at - written > ALIVE_S:
                file.write(json.dumps({"at": at, "since": since, **now}) + "\n")
                file.flush()
                written = at
            before, since = now, at
    flags.close()


if __name__ == "__main__":
    main()

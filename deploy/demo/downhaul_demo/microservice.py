"""How a demo microservice is run: gunicorn with two processes, loaded before they fork, as many a Flask service is.

`python -m downhaul_demo.microservice checkout 0.0.0.0:8081` is one of them alone, as a container runs it; the SDK reads
its settings from the environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PROCESSES = 2
POLL_S = 1
OURS = "DOWNHAUL_"


MODULES = ("checkout", "payments")


def command(module: str, descriptor: int) -> tuple[str, ...]:
    """Serve `downhaul_demo.<module>:app` on an inherited socket."""
    return _gunicorn(module, f"fd://{descriptor}")


def _gunicorn(module: str, bind: str) -> tuple[str, ...]:
    options = {
        "bind": bind,
        "workers": PROCESSES,
        # Threads, because a browser opens connections that it may never use.
        "worker-class": "gthread",
        "threads": 8,
        # A new connection for each look, so that both processes get to answer.
        "keep-alive": 0,
        "graceful-timeout": 2,
        "log-level": "warning",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    return (sys.executable, "-P", "-m", "gunicorn", "--preload", "--no-control-socket", *arguments,
            f"downhaul_demo.{module}:app")  # fmt: skip


def environment(environ: Mapping[str, str], service: str, url: str, key_file: Path, folder: Path) -> dict[str, str]:
    """All that the process is told. The server's own settings, its secrets above all, stay out."""
    cache = folder / f"{service}-cache"
    cache.mkdir(mode=0o700, exist_ok=True)
    return {
        **{name: value for name, value in environ.items() if not name.startswith(OURS)},
        "DOWNHAUL_URL": url,
        "DOWNHAUL_KEY_FILE": str(key_file),
        "DOWNHAUL_SERVICE": service,
        "DOWNHAUL_BUILD": "2.1.0",
        "DOWNHAUL_CACHE_DIR": str(cache),
        "DOWNHAUL_POLL_INTERVAL": str(POLL_S),
    }


def main(arguments: list[str]) -> None:
    """Become the microservice. Exits with 1 and a sentence when it is none."""
    if len(arguments) != 2 or arguments[0] not in MODULES:
        raise SystemExit(f"expected one of {', '.join(MODULES)}, and an address such as 0.0.0.0:8081")
    module, address = arguments
    os.execv(sys.executable, _gunicorn(module, address))  # noqa: S606 - there is no shell, which is the point


if __name__ == "__main__":
    main(sys.argv[1:])

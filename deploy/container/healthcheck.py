"""Whether the server in this container answers: exit code 0 when it does, 1 when not. Needs nothing but Python.

`healthcheck.py [PATH]`: `/livez` when no path is given. Take `/readyz` to wait for a start, never to restart: a server
that has lost its Redis is not ready, and a restart would take away what it still serves.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT_S = 2.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


def main(arguments: list[str]) -> int:
    """Gives the exit code."""
    path = arguments[0] if arguments else "/livez"
    host, _, port = os.environ.get("DOWNHAUL_BIND", "127.0.0.1:8080").rpartition(":")
    host = host.strip("[]")
    connection = HTTPConnection(EVERYWHERE.get(host, host), int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        print(f"{path}: {error}")  # Docker keeps what a health check prints
        return 1
    finally:
        connection.close()
    print(f"{path}: {status}")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

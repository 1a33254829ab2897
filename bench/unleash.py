"""The same kill through Unleash: its own server on PostgreSQL, and its Python client as it comes.

The client asks every 15 s by default. It can stream as well, but not from this server: the open-source one answers 404
to that. Needs PostgreSQL (`apt-get install postgresql`), node and npm; the server is installed beside the other
vendors' SDKs, and runs with its data in a temporary folder. PostgreSQL is as safe as it is by default.
"""

from __future__ import annotations

import json
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import peers
from followers import Followers
from service import PATIENCE_S, process, wait_until

SERVER = "unleash-server@8.2.0"
INSTALLED = peers.ENVIRONMENT / "unleash-server"
ADMIN, INSTANCE = "*:*.of-the-benchmark", "default:production.of-the-benchmark"
FLAGS = 50
KILLED = "flag-0"
INSTALL_S = 600
WAIT_S = 60.0
LOOK_EVERY_S = 0.01
USER = "nobody"
"""Who runs PostgreSQL where we are root, which it refuses."""
FOLLOWER = f"""
import os, sys, threading, time
from UnleashClient import UnleashClient

url, token, folder = sys.argv[1:]
client = UnleashClient(
    url, "bench", custom_headers={{"Authorization": token}}, cache_directory=f"{{folder}}/{{os.getpid()}}"
)
client.initialize_client()

def watch():
    last = None
    while True:
        on = client.is_enabled({KILLED!r})
        if on is not last:
            last = on
            os.write(1, b"%d %d\\n" % (time.monotonic_ns(), on))
        time.sleep({LOOK_EVERY_S})

threading.Thread(target=watch, daemon=True).start()
sys.stdin.read()
os._exit(0)
"""


def measure(processes: int, kills: int) -> list[dict[str, Any]]:
    """Of each kill, in milliseconds since it was sent: `each`, when each process obeyed, and the server's `answer`."""
    python = peers.environment()
    _install()
    with tempfile.TemporaryDirectory(prefix="downhaul-bench-") as folder, _server(Path(folder)) as port:
        _fill(port)
        command = [str(python), "-c", FOLLOWER, f"http://127.0.0.1:{port}/api", INSTANCE, folder]
        with Followers(command, dict(os.environ), processes) as followers:
            followers.wait_all(True, WAIT_S)
            return [_round(port, followers) for _ in range(kills)]


def _round(port: int, followers: Followers) -> dict[str, Any]:
    time.sleep(random.uniform(0.2, 5.0))
    began = time.monotonic_ns()
    _switch(port, "off")
    answered = time.monotonic_ns()
    obeyed = followers.wait_all(False, WAIT_S)
    _switch(port, "on")
    followers.wait_all(True, WAIT_S)
    return {"each": [(moment - began) / 1e6 for moment in obeyed], "answer": (answered - began) / 1e6}


def _fill(port: int) -> None:
    for number in range(FLAGS):
        _call(port, "POST", "", {"name": f"flag-{number}", "type": "release"})
        _call(port, "POST", f"/flag-{number}/environments/production/strategies", {"name": "default"})
        _call(port, "POST", f"/flag-{number}/environments/production/on")


def _switch(port: int, how: str) -> None:
    _call(port, "POST", f"/{KILLED}/environments/production/{how}")


def _call(port: int, method: str, path: str, body: Any = None) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    headers = {"Authorization": ADMIN, "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body)
    connection.request(method, f"/api/admin/projects/default/features{path}", data, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status < 300, content


def _install() -> None:
    if (INSTALLED / "node_modules" / "unleash-server").exists():
        return
    INSTALLED.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--omit=dev", "--prefix", str(INSTALLED), SERVER]
    subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S)


@contextmanager
def _server(folder: Path) -> Iterator[int]:
    """Unleash's server, on a PostgreSQL of its own; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with _postgres() as database:
        told = {
            "DATABASE_HOST": str(database),
            "DATABASE_USERNAME": "unleash",
            "DATABASE_NAME": "postgres",
            "DATABASE_PASSWORD": "none",
            "DATABASE_SSL": "false",
            "INIT_ADMIN_API_TOKENS": ADMIN,
            "INIT_BACKEND_API_TOKENS": INSTANCE,
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(port),
            "NODE_ENV": "production",
            "SEND_TELEMETRY": "false",
            "CHECK_VERSION": "false",
            "LOG_LEVEL": "error",
        }
        main = INSTALLED / "node_modules" / "unleash-server" / "dist" / "server.js"
        log = folder / "unleash.log"
        with process(["node", str(main)], os.environ | told, log) as child:
            wait_until(lambda: _healthy(port), child, log)
            yield port


def _healthy(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/health")
    return connection.getresponse().status == 200


@contextmanager
def _postgres() -> Iterator[Path]:
    """A database server that only listens in a folder; gives that."""
    programs = _programs()
    as_user: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="downhaul-bench-") as made:
        folder = Path(made)
        if os.geteuid() == 0:
            found = pwd.getpwnam(USER)
            os.chown(folder, found.pw_uid, found.pw_gid)
            as_user = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": [], "cwd": folder}
        data = str(folder / "data")
        initialise = [programs / "initdb", "-D", data, "-U", "unleash", "--auth=trust", "-E", "UTF8"]
        subprocess.run(initialise, check=True, capture_output=True, timeout=PATIENCE_S, **as_user)
        command = [str(programs / "postgres"), "-D", data, "-k", made, "-c", "listen_addresses="]
        with process(command, dict(os.environ), folder / "log", **as_user) as child:
            wait_until((folder / ".s.PGSQL.5432").exists, child, folder / "log")
            yield folder


def _programs() -> Path:
    found = shutil.which("initdb")
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found and not packaged:
        raise SystemExit("no PostgreSQL here: apt-get install postgresql")
    return Path(found or packaged[-1]).parent

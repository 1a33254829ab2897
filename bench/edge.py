"""What nginx in front of the service brings and costs: polls a second, the age that a kill gains, visits by flag.

    python bench/edge.py [--seconds 3] [--rounds 3] [--kills 20] [--json FILE]

A real `downhaul-server run` of two workers, and nginx with the files of `deploy/nginx`, all on this machine, with the
load generator. In each round the same poll for an unchanged snapshot (304) goes to the service itself, through nginx
without TLS, and with it; the median of the rounds' ratios counts. Then kills, each followed by polls in a row, directly
and through the cache: from the answer to the kill to the first poll that has it. Then `/route`, and visits to a site
whose proxy asks it for each (the two versions are nginx's own answers, so what is seen is what asking costs).
Needs redis-server, nginx, openssl and wrk (Debian: `apt-get install nginx wrk`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from service import PATIENCE_S, call, fill, process, running, wait_until

FILES = Path(__file__).parents[1] / "deploy" / "nginx"
CONNECTIONS = 32
FLAGS = 50
SNAPSHOT = "/sdk/v1/snapshot?service=bench"
FLAG = "/api/v1/services/bench/flags/flag-0"
RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
PORTS = {"plain": 0, "tls": 0, "shop": 0, "versions": 0}
VISITOR = f"{7:032x}"

VERSIONS = """
server {{
    listen 127.0.0.1:{versions};
    keepalive_requests 1000000;
    location / {{ return 200 "$http_x_downhaul_variant\\n"; }}
}}
"""


@contextmanager
def nginx(folder: Path, service: int, token: str) -> Iterator[dict[str, int]]:
    """nginx with the files of `deploy/nginx`; gives its ports: `plain` and `tls` (the edge), `shop`, `versions`."""
    ports = {name: _free_port() for name in PORTS}
    for name in ("conf.d", "cache", "logs", "secrets"):
        (folder / name).mkdir(parents=True)
    names = ["-subj", "/CN=127.0.0.1", "-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names], check=True, capture_output=True
    )
    tls = {
        r"/etc/nginx/tls/\w+\.pem": str(folder / "certificate.pem"),
        r"/etc/nginx/tls/\w+\.key": str(folder / "key.pem"),
    }
    here = {
        r"127\.0\.0\.1:8080": f"127.0.0.1:{service}",
        r"127\.0\.0\.1:809[12]": f"127.0.0.1:{ports['versions']}",
        "/var/cache/nginx": str(folder / "cache"),
        "/var/log/nginx": str(folder / "logs"),
        "user www-data;": "user root;" if os.getuid() == 0 else "",
        "/run/nginx.pid": str(folder / "pid"),
        "/etc/nginx/(conf.d|secrets)": rf"{folder}/\1",
    }
    edge = {"listen 443 ssl http2;": f"listen 127.0.0.1:{ports['plain']}; listen 127.0.0.1:{ports['tls']} ssl;"}
    shop = {"listen 8443 ssl http2;": f"listen 127.0.0.1:{ports['shop']};", " Secure;": ""}
    _write(folder / "nginx.conf", "nginx.conf", here)
    _write(folder / "conf.d" / "downhaul.conf", "downhaul.conf", tls | here | edge)
    _write(folder / "conf.d" / "blue-green.conf", "blue-green.conf", tls | here | shop)
    (folder / "conf.d" / "versions.conf").write_text(VERSIONS.format(**ports))
    secret = folder / "secrets" / "shop-key.conf"
    secret.write_text(f'proxy_set_header Authorization "Bearer {token}";\n')
    log = folder / "logs" / "error.log"
    command = [
        _program("nginx"),
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        str(log),
        "-g",
        "daemon off;",
    ]
    with process(command, dict(os.environ), log) as child:
        wait_until(lambda: _answers(ports["plain"], "/livez"), child, log)
        yield ports


def rate(url: str, seconds: float, headers: dict[str, str]) -> float:
    """Requests a second, by wrk. Every answer must be 2xx or 3xx."""
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", *given, url]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + PATIENCE_S).stdout
    found = RATE.search(said)
    assert found, said
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    return float(found[1])


def kill_ages(service: int, port: int, token: str, kills: int) -> list[float]:
    """Milliseconds from the answer to each kill to the first poll, of polls in a row, that has it."""
    found = []
    for number in range(kills):
        call(service, "POST", f"{FLAG}/restore", {"reason": "the next kill"})
        _await(lambda: _killed(port, token) is False)
        # Anywhere within the life of an entry.
        time.sleep(0.37 * (number % 5))
        _killed(port, token)
        call(service, "POST", f"{FLAG}/kill", {})
        began = time.perf_counter()
        _await(lambda: _killed(port, token) is True)
        found.append((time.perf_counter() - began) * 1000)
    call(service, "POST", f"{FLAG}/restore", {"reason": "as it was"})
    return found


def visit_ages(service: int, shop: int, kills: int) -> list[float]:
    """The same for a visitor of the shop: to the first visit that is answered by blue."""
    found = []
    for _ in range(kills):
        call(service, "POST", "/api/v1/services/shop/flags/new-version/restore", {"reason": "the next kill"})
        _await(lambda: _visit(shop) == "green")
        call(service, "POST", "/api/v1/services/shop/flags/new-version/kill", {})
        began = time.perf_counter()
        _await(lambda: _visit(shop) == "blue")
        found.append((time.perf_counter() - began) * 1000)
    call(service, "POST", "/api/v1/services/shop/flags/new-version/restore", {"reason": "as it was"})
    _await(lambda: _visit(shop) == "green")
    return found


def measure(seconds: float, rounds: int, kills: int) -> dict[str, dict[str, float]]:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="downhaul-bench-") as temporary:
        folder = Path(temporary)
        (folder / "data").mkdir()
        with running(folder / "data") as (service, _):
            token, shop_token = fill(service, "bench", FLAGS), _shop(service)
            with nginx(folder / "nginx", service, shop_token) as ports:
                return _measured(service, ports, token, shop_token, (seconds, rounds, kills))


def _measured(
    service: int, ports: dict[str, int], token: str, shop_token: str, how: tuple[float, int, int]
) -> dict[str, dict[str, float]]:
    seconds, rounds, kills = how
    etag = _ask(service, SNAPSHOT, {"Authorization": f"Bearer {token}"})[1]["ETag"]
    poll = {"Authorization": f"Bearer {token}", "If-None-Match": etag}
    route = {"Authorization": f"Bearer {shop_token}", "X-Downhaul-User": VISITOR}
    cookie = {"Cookie": f"shop_visitor={VISITOR}"}
    candidates = {
        "poll, gunicorn alone": (f"http://127.0.0.1:{service}{SNAPSHOT}", poll),
        "poll, through nginx": (f"http://127.0.0.1:{ports['plain']}{SNAPSHOT}", poll),
        "poll, through nginx with TLS": (f"https://127.0.0.1:{ports['tls']}{SNAPSHOT}", poll),
        "route, gunicorn alone": (f"http://127.0.0.1:{service}/route/v1/shop/new-version", route),
        "visit, the version itself": (f"http://127.0.0.1:{ports['versions']}/", cookie),
        "visit, by flag": (f"http://127.0.0.1:{ports['shop']}/", cookie),
    }
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, (url, headers) in candidates.items():
            rates[name].append(rate(url, seconds, headers))
    floor = rates["poll, gunicorn alone"]
    found = {
        name: {
            "per_s": statistics.median(each),
            "ratio": statistics.median(one / other for one, other in zip(each, floor, strict=True)),
        }
        for name, each in rates.items()
    }
    for name, ages in (
        ("kill to poll, gunicorn alone", kill_ages(service, service, token, kills)),
        ("kill to poll, through nginx", kill_ages(service, ports["plain"], token, kills)),
        ("kill to visit, by flag", visit_ages(service, ports["shop"], kills)),
    ):
        found[name] = {"median_ms": statistics.median(ages), "worst_ms": max(ages)}
    return found


def _shop(service: int) -> str:
    call(service, "POST", "/api/v1/services", {"key": "shop"})
    variants = {"blue": "2.0.0", "green": "2.1.0"}
    flag = {"key": "new-version", "type": "string", "variants": variants, "off_variant": "blue"}
    call(service, "POST", "/api/v1/services/shop/flags", flag)
    state = {"on": True, "rollout": 100}
    call(service, "PATCH", "/api/v1/services/shop/flags/new-version/environments/production", state)
    key = {"kind": "sdk", "name": "shop", "environment": "production", "services": ["shop"]}
    return str(call(service, "POST", "/api/v1/keys", key)["token"])


def _ask(port: int, path: str, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, (answer.status, body)
    return body, dict(answer.getheaders())


def _killed(port: int, token: str) -> bool:
    body, _ = _ask(port, SNAPSHOT, {"Authorization": f"Bearer {token}"})
    return bool(json.loads(body)["flags"]["flag-0"]["killed"])


def _visit(port: int) -> str:
    return _ask(port, "/", {"Cookie": f"shop_visitor={VISITOR}"})[0].decode().strip()


def _answers(port: int, path: str) -> bool:
    return bool(_ask(port, path, {})[0])


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"


def _write(path: Path, name: str, changes: dict[str, str]) -> None:
    text = (FILES / name).read_text(encoding="utf-8")
    for old, new in changes.items():
        text = re.sub(old, new, text)
    path.write_text(text, encoding="utf-8")


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SystemExit(f"this needs {name}; on Debian: apt-get install nginx wrk")
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    _program("wrk")
    found = measure(arguments.seconds, arguments.rounds, arguments.kills)
    for name, each in found.items():
        if "per_s" in each:
            print(f"{name:32}{each['per_s']:10.0f}/s{each['ratio']:8.2f} ×")
        else:
            print(f"{name:32}{each['median_ms']:10.1f} ms at the median, {each['worst_ms']:.1f} ms at worst")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

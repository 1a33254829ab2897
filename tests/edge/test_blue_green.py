"""Blue-green by flag, as docs/blue-green.md tells it: a real nginx, a real server, two real versions of a shop."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from downhaul.engine import position
from support.nginx import Nginx
from support.redis import free_port
from support.server import Server
from support.tls import make_certificate
from support.visitors import Visitors, shopper
from support.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "blue-green.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- tried by tests/edge: (.+?) -->\n```sh\n(.*?)```", GUIDE, re.DOTALL))
SALT, COOKIE = "shop/new-version", "shop_visitor"
VISITORS = [f"{number:032x}" for number in range(60)]


@dataclass
class Shop:
    """Everything that the guide sets up."""

    server: Server
    nginx: Nginx
    ports: dict[str, int]
    certificate: Path
    session: requests.Session

    def typed(self, block: str) -> str:
        """What a block of the guide prints, typed here. Every line has to succeed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(BLOCKS["set-up"]).split("downhaul services")[0] + self.here(BLOCKS[block])],
            env=_environ(),
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.server.data_dir,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def here(self, text: str) -> str:
        """The text for this test's places in place of the guide's."""
        text = text.replace("source .venv/bin/activate\n", "").replace("http://127.0.0.1:8080", self.server.url)
        for name, port in (("blue", "8091"), ("green", "8092"), ("shop", "8443"), ("gate", "8085")):
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.ports[name]}")
        text = text.replace("sudo ", "").replace("/etc/nginx/", f"{self.nginx.folder}/")
        return text.replace(".data/", f"{self.server.data_dir}/")

    def ask(self, visitor: str | None = None, **headers: str) -> requests.Response:
        """One request of a visitor."""
        if visitor:
            headers["Cookie"] = f"{COOKIE}={visitor}"
        return self.session.get(f"https://127.0.0.1:{self.ports['shop']}/", headers=headers, timeout=30)

    def processes(self) -> dict[str, dict[str, Any]]:
        """What each process of both versions says, asked directly, by its name."""
        found: dict[str, dict[str, Any]] = {}

        def everybody() -> bool:
            for color in ("blue", "green"):
                said = requests.get(f"http://127.0.0.1:{self.ports[color]}/", timeout=10).json()
                found[said["instance"]] = said
            return len(found) == 4

        wait_until(everybody, "all processes have answered")
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = Path(tmp_path_factory.mktemp("shop"))
    nginx, certificate = Nginx(folder / "nginx"), make_certificate(folder)
    nginx.certificate("shop", certificate.path, certificate.key)
    ports = {"blue": free_port(), "green": free_port()}
    with ExitStack() as stack:
        server = stack.enter_context(Server(folder / "data"))
        (server.data_dir / "admin-token").write_text(server.token)
        flags = {"server 127.0.0.1:8080;": f"server 127.0.0.1:{server.port};"}
        versions = {f"server 127.0.0.1:{old};": f"server 127.0.0.1:{ports[name]};" for old, name in ((8091, "blue"), (8092, "green"))}
        ports["shop"] = nginx.add("blue-green.conf", "8443", {**flags, **versions})
        ports["gate"] = nginx.add("gate.conf", "8085", flags)
        session = stack.enter_context(shopper(certificate.path))
        made = Shop(server, nginx, ports, certificate.path, session)
        made.typed("set-up")
        made.typed("secret")
        for color in ("blue", "green"):
            stack.callback(_end, _started(made, color))
        stack.enter_context(nginx)
        wait_until(lambda: all(_answers(ports[color]) for color in ("blue", "green")), "both versions answer", 60)
        yield made


def test_ten_percent_then_half_then_an_outage_then_all_then_a_kill_and_nobody_is_ever_refused(shop: Shop) -> None:
    url = f"https://127.0.0.1:{shop.ports['shop']}/"
    with Visitors(url, shop.certificate, COOKIE, VISITORS) as visitors:
        visitors.see(dict.fromkeys(VISITORS, "blue"))

        shop.typed("ten percent")
        visitors.see(expected(10))
        assert set(expected(10).values()) == {"blue", "green"}
        shop.typed("half")
        visitors.see(expected(50))

        # Nobody is sent to the other side because the service is away: each stays where they were.
        shop.server.stop()
        visitors.come_again()
        assert visitors.sides(time.monotonic() - 1.0).items() <= expected(50).items()
        assert shop.ask("f" * 32).json()["color"] == "blue"  # a new one, for whom nobody can decide
        shop.server.start().ready()
        visitors.see(expected(50))

        # Nor because it hangs.
        stopped = list(shop.server.processes())
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        visitors.come_again()
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        visitors.see(expected(50))

        shop.typed("all")
        visitors.see(expected(100))
        shop.typed("kill")
        visitors.see(dict.fromkeys(VISITORS, "blue"))
        visitors.come_again()

    assert visitors.failed == []
    # From blue to green at most once, and back with the kill: never to and fro.
    assert set(map(tuple, visitors.paths().values())) == {("blue", "green", "blue")}
    assert all(look.said["variant"] == look.color for look in visitors.looks)


def test_a_visitor_cannot_choose_and_is_known_by_a_cookie_that_they_get_once(shop: Shop) -> None:
    shop.typed("restore")
    green, blue = (next(name for name, side in expected(50).items() if side == color) for color in ("green", "blue"))
    wait_until(lambda: shop.ask(green).json()["color"] == "green", "half of them are green again")
    theirs = {"X-Downhaul-Variant": "green", "X-Downhaul-User": green, "X-Downhaul-Attribute-User": green}
    assert shop.ask(blue, **theirs).json() | {"instance": ""} == shop.ask(blue).json() | {"instance": ""}
    assert shop.ask(blue, **theirs).json()["variant"] == "blue"
    assert "Set-Cookie" not in shop.ask(blue).headers

    new = shop.ask(None)
    found = re.fullmatch(rf"{COOKIE}=([0-9a-f]{{32}}); Path=/; .*HttpOnly; Secure; SameSite=Lax", new.headers["Set-Cookie"])
    assert found, new.headers
    assert new.json()["color"] == expected(50, [found[1]])[found[1]]
    assert shop.ask(found[1]).json()["color"] == new.json()["color"]
    for odd in ("", "green", "x; shop_visitor=", "&user=1&plan=pro"):
        assert "Set-Cookie" in shop.ask(odd or None).headers


def test_a_request_with_a_body_arrives_whole(shop: Shop) -> None:
    for visitor in VISITORS[:8]:
        url, headers = f"https://127.0.0.1:{shop.ports['shop']}/", {"Cookie": f"{COOKIE}={visitor}"}
        answer = shop.session.post(url, data=b"x" * 100_000, headers=headers, timeout=30)
        assert answer.json()["color"] == expected(50)[visitor]


def test_whatever_is_wrong_with_the_flag_or_the_key_everybody_is_served_by_blue(shop: Shop) -> None:
    key = next(key for key in shop.server.call("GET", "/api/v1/keys?kind=sdk").json()["items"])
    green = next(name for name, side in expected(50).items() if side == "green")
    assert shop.server.call("DELETE", "/api/v1/services/shop/flags/new-version").ok
    wait_until(lambda: shop.ask(green).json()["color"] == "blue", "without the flag it is blue")
    shop.typed("flag")
    shop.typed("all")
    wait_until(lambda: shop.ask(green).json()["color"] == "green", "it is green again")
    assert shop.server.call("DELETE", f"/api/v1/keys/{key['id']}").ok
    wait_until(lambda: shop.ask(green).json()["color"] == "blue", "without a key it is blue")
    assert shop.ask(green).status_code == 200


def expected(percent: int, visitors: list[str] = VISITORS) -> dict[str, str]:
    """The side of each visitor, by the engine's own arithmetic."""
    return {name: "green" if position(SALT, name) < percent * 1000 else "blue" for name in visitors}


def _started(shop: Shop, color: str) -> subprocess.Popen[bytes]:
    with open(shop.server.data_dir / f"{color}.output", "wb") as output:
        command = shop.here(BLOCKS[f"{color}, runs until it is ended"]).strip()
        return subprocess.Popen(
            ["bash", "-euc", f"exec {command}"], env=_environ(), stdout=output, stderr=output, cwd=shop.server.data_dir
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=20)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=5).ok
    except requests.RequestException:
        return False


def _environ() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DOWNHAUL_")}
    return {**ours, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

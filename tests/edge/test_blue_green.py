"""Blue-green by flag, as docs/blue-green.md tells it: a real nginx, a real server, two real versions of a shop."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from downhaul.engine import position
from support.nginx import Nginx
from support.redis import free_port
from support.server import Server
from support.tls import make_certificate
from support.visitors import Visitors, shopper
from support.waiting import wait_until

pytestmark = [pytest.mark.nginx, pytest.mark.redis, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "blue-green.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- tried by tests/edge: (.+?) -->\n```sh\n(.*?)```", GUIDE, re.DOTALL))
SALT, COOKIE = "shop/new-version", "shop_visitor"
VISITORS = [f"{number:032x}" for number in range(24)]


@dataclass
class Shop:
    """Everything that the guide sets up."""

    folder: Path
    """What is `.data` in the guide."""
    server: Server
    nginx: Nginx
    ports: dict[str, int]
    certificate: Path
    session: requests.Session

    def typed(self, block: str) -> str:
        """What a block of the guide prints, typed here. Every line has to succeed."""
        done = subprocess.run(
            [
                "bash",
                "-euo",
                "pipefail",
                "-c",
                self.here(BLOCKS["set-up"]).split("downhaul services")[0] + self.here(BLOCKS[block]),
            ],
            env=_environ(),
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def here(self, text: str) -> str:
        """The text for this test's places in place of the guide's."""
        text = text.replace("source .venv/bin/activate\n", "").replace("http://127.0.0.1:8080", self.server.url)
        for name, port in (("blue", "8091"), ("green", "8092"), ("shop", "8443"), ("gate", "8085")):
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.ports[name]}")
        text = text.replace("sudo ", "").replace("/etc/nginx/", f"{self.nginx.folder}/")
        return text.replace(".data/", f"{self.folder}/")

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
    files = folder / "files"
    files.mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(Server(folder / "data"))
        (files / "admin-token").write_text(server.token)
        flags = {"server 127.0.0.1:8080;": f"server 127.0.0.1:{server.port};"}
        versions = {
            f"server 127.0.0.1:{old};": f"server 127.0.0.1:{ports[name]};"
            for old, name in ((8091, "blue"), (8092, "green"))
        }
        ports["shop"] = nginx.add("blue-green.conf", "8443", {**flags, **versions})
        ports["gate"] = nginx.add("gate.conf", "8085", flags)
        session = stack.enter_context(shopper(certificate.path))
        made = Shop(files, server, nginx, ports, certificate.path, session)
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
        sides = list(expected(50, VISITORS[1:21]).values())
        assert shop.typed("look").split() == [
            *(str(sides.count("blue")), '"color":"blue"'),
            *(str(sides.count("green")), '"color":"green"'),
        ]

        # Nobody is sent to the other side because the service is away: each stays where they were.
        shop.server.stop()
        assert visitors.come_again() == expected(50)
        assert shop.ask("f" * 32).json()["color"] == "blue"  # a new one, for whom nobody can decide
        shop.server.start().ready()
        visitors.see(expected(50))

        # Nor because it hangs.
        with shop.server.hanging():
            assert visitors.come_again() == expected(50)
        visitors.see(expected(50))

        shop.typed("all")
        visitors.see(expected(100))
        shop.typed("kill")
        visitors.see(dict.fromkeys(VISITORS, "blue"))
        visitors.come_again()  # and stay there: their paths, below, would have a fourth part

    assert visitors.failed == []
    # From blue to green at most once, and back with the kill: never to and fro.
    assert set(map(tuple, visitors.paths().values())) == {("blue", "green", "blue")}
    assert all(look.said["variant"] == look.color for look in visitors.looks)
    metrics = requests.get(f"{shop.server.url}/metrics", timeout=10).text
    asked = [
        line for line in metrics.splitlines() if line.startswith("downhaul_http_requests_total") and "/route/" in line
    ]
    assert any('status="304"' in line for line in asked)  # what nginx keeps for an outage is renewed, not sent again


def test_a_visitor_cannot_choose_and_is_known_by_a_cookie_that_they_get_once(shop: Shop) -> None:
    shop.typed("restore")
    green, blue = (next(name for name, side in expected(50).items() if side == color) for color in ("green", "blue"))
    wait_until(lambda: shop.ask(green).json()["color"] == "green", "half of them are green again")
    theirs = {"X-Downhaul-Variant": "green", "X-Downhaul-User": green, "X-Downhaul-Attribute-User": green}
    assert shop.ask(blue, **theirs).json() | {"instance": ""} == shop.ask(blue).json() | {"instance": ""}
    assert shop.ask(blue, **theirs).json()["variant"] == "blue"
    assert "Set-Cookie" not in shop.ask(blue).headers

    new = shop.ask(None)
    found = re.fullmatch(
        rf"{COOKIE}=([0-9a-f]{{32}}); Path=/; .*HttpOnly; Secure; SameSite=Lax", new.headers["Set-Cookie"]
    )
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
        assert answer.json()["received"] == 100_000


class TestInsideTheService:
    """No proxy, no user: what the process is."""

    def test_a_flag_is_on_from_a_build_on(self, shop: Shop) -> None:
        shop.typed("by build")
        wait_until(lambda: any(said["new_search"] for said in shop.processes().values()), "the rule has arrived")
        wait_until(lambda: _by_build(shop) == {"2.0.0": {False}, "2.1.0": {True}}, "only the new build has it")

    def test_a_split_by_instance_gives_each_process_its_side_and_a_kill_takes_it_from_all(self, shop: Shop) -> None:
        shop.typed("by instance")
        sides = {name: position("shop/new-index", name) < 50_000 for name in shop.processes()}
        wait_until(
            lambda: {name: said["new_index"] for name, said in shop.processes().items()} == sides,
            "each process is on its side",
        )
        shop.server.call("PATCH", "/api/v1/services/shop/flags/new-index/environments/production", {"rollout": 100})
        wait_until(lambda: all(said["new_index"] for said in shop.processes().values()), "all have it")
        shop.server.call("POST", "/api/v1/services/shop/flags/new-index/kill")
        wait_until(lambda: not any(said["new_index"] for said in shop.processes().values()), "nobody has it")


class TestGates:
    """What a pipeline does, and what Flagger and Argo Rollouts ask."""

    def test_a_pipeline_goes_on_waits_and_is_stopped(self, shop: Shop) -> None:
        shop.typed("gate")
        assert '"open":true' in shop.typed("go on")
        assert "shop/go-on is on" in shop.typed("wait")
        shop.server.call("POST", "/api/v1/services/shop/flags/go-on/kill")
        with pytest.raises(AssertionError, match="403"):
            shop.typed("go on")
        assert _waited(shop, "shop/go-on", "0") == (1, "shop/go-on was not on for 0 s (the last answer: 403)\n")
        assert _waited(shop, "shop/go-one", "60") == (2, "shop/go-one: the answer is 404; it would not help to wait\n")

        waiting = _wait(shop, "shop/go-on", "60")
        shop.server.call("POST", "/api/v1/services/shop/flags/go-on/restore", {"reason": "go on"})
        assert waiting.communicate(timeout=40) == ("shop/go-on is on\n", "")

    def test_flagger_needs_no_token_and_gets_nothing_else(self, shop: Shop) -> None:
        assert '"open":true' in shop.typed("flagger")
        canary = yaml.safe_load((ROOT / "deploy" / "flagger" / "canary.yaml").read_text(encoding="utf-8"))
        hooks = {hook["type"]: _statuses(shop, hook["url"]) for hook in canary["spec"]["analysis"]["webhooks"]}
        assert hooks == {
            "confirm-rollout": (200, 403),
            "confirm-traffic-increase": (200, 403),
            "confirm-promotion": (200, 403),
            "rollback": (403, 200),
        }
        gate = f"http://127.0.0.1:{shop.ports['gate']}"
        assert requests.get(f"{gate}/route/v1/shop/go-on", timeout=10).status_code == 404
        assert requests.get(f"{gate}/sdk/v1/snapshot?service=shop", timeout=10).status_code == 404

    def test_argo_gets_a_value_for_yes_and_for_no(self, shop: Shop) -> None:
        documents = yaml.safe_load_all((ROOT / "deploy" / "argo-rollouts" / "rollout.yaml").read_text(encoding="utf-8"))
        template, rollout = documents
        (metric,), (argument,) = template["spec"]["metrics"], rollout["spec"]["strategy"]["canary"]["analysis"]["args"]
        web = metric["provider"]["web"]
        assert (web["jsonPath"], metric["successCondition"]) == ("{$.value}", "result == true")
        token = (shop.folder / "pipeline.token").read_text().strip()
        path = web["url"].partition(":8080")[2].replace("{{args.flag}}", argument["value"])
        url = shop.server.url + path.replace("{{args.environment}}", "production")
        headers = {web["headers"][0]["key"]: web["headers"][0]["value"].replace("{{args.token}}", token)}

        def value(url: str = url) -> Any:
            answer = requests.get(url, headers=headers, timeout=10)
            assert answer.status_code == 200
            return answer.json()["value"]

        wait_until(lambda: value() is True, "yes")
        shop.server.call("POST", "/api/v1/services/shop/flags/go-on/kill")
        wait_until(lambda: value() is False, "no")
        assert value(url.replace("go-on", "nothing")) is None


def test_whatever_is_wrong_with_the_flag_or_the_key_everybody_is_served_by_blue(shop: Shop) -> None:
    key = next(key for key in shop.server.call("GET", "/api/v1/keys?kind=sdk").json()["items"])
    green = next(name for name, side in expected(50).items() if side == "green")
    assert shop.server.call("DELETE", "/api/v1/services/shop/flags/new-version").ok
    wait_until(lambda: shop.ask(green).json()["color"] == "blue", "without the flag it is blue")
    variants = {"blue": "2.0.0", "green": "2.1.0"}
    shop.server.made(
        "services/shop/flags", {"key": "new-version", "type": "string", "variants": variants, "off_variant": "blue"}
    )
    shop.typed("all")
    wait_until(lambda: shop.ask(green).json()["color"] == "green", "it is green again")
    assert shop.server.call("DELETE", f"/api/v1/keys/{key['id']}").ok
    wait_until(lambda: shop.ask(green).json()["color"] == "blue", "without a key it is blue")
    assert shop.ask(green).status_code == 200


def expected(percent: int, visitors: list[str] = VISITORS) -> dict[str, str]:
    """The side of each visitor, by the engine's own arithmetic."""
    return {name: "green" if position(SALT, name) < percent * 1000 else "blue" for name in visitors}


def _by_build(shop: Shop) -> dict[str, set[bool]]:
    found: dict[str, set[bool]] = {}
    for said in shop.processes().values():
        found.setdefault(said["build"], set()).add(said["new_search"])
    return found


def _wait(shop: Shop, flag: str, seconds: str) -> subprocess.Popen[str]:
    token = {"DOWNHAUL_URL": shop.server.url, "DOWNHAUL_TOKEN_FILE": str(shop.folder / "pipeline.token")}
    return subprocess.Popen(
        [str(ROOT / "deploy" / "pipelines" / "wait-for-flag.sh"), flag, seconds],
        env={**_environ(), **token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _waited(shop: Shop, flag: str, seconds: str) -> tuple[int, str]:
    process = _wait(shop, flag, seconds)
    _, errors = process.communicate(timeout=40)
    return process.returncode, errors


def _statuses(shop: Shop, url: str) -> tuple[int, int]:
    """What a hook gets while the flag is on, and while it is killed."""
    here = url.replace("http://downhaul-gate.downhaul:8085", f"http://127.0.0.1:{shop.ports['gate']}")
    found = []
    for act, state, body in (("restore", False, {"reason": "the next hook"}), ("kill", True, None)):
        assert shop.server.call("POST", f"/api/v1/services/shop/flags/go-on/{act}", body).ok
        wait_until(lambda state=state: _killed(shop) is state, "both workers know")  # type: ignore[misc]
        found.append(requests.post(here, json={"name": "shop", "namespace": "shop"}, timeout=10).status_code)
    shop.server.call("POST", "/api/v1/services/shop/flags/go-on/restore", {"reason": "as it was"})
    return found[0], found[1]


def _killed(shop: Shop) -> bool | None:
    """Whether the flag is killed, where several looks say the same: there are two workers."""
    looks = {shop.server.call("GET", "/route/v1/shop/go-on").json()["reason"] == "KILLED" for _ in range(8)}
    return looks.pop() if len(looks) == 1 else None


def _started(shop: Shop, color: str) -> subprocess.Popen[bytes]:
    with open(shop.folder / f"{color}.output", "wb") as output:
        command = shop.here(BLOCKS[f"{color}, runs until it is ended"]).strip()
        return subprocess.Popen(
            ["bash", "-euc", f"exec {command}"], env=_environ(), stdout=output, stderr=output, cwd=ROOT
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGCONT)
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

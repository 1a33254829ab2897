"""The image and the compose file, typed as docs/deploying.md says into a machine with Debian's Docker.

What is typed differs from the guide in the names of images (see `support.engine`) and in what it leaves to the reader:
the name of a container, and a digest. One machine, one story, told by the tests from top to bottom.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from support.engine import REGISTRY, Engine, running_engine
from support.guides import ROOT, blocks
from support.machine import HOME, LONG_S, REPOSITORY, USER
from support.typed import Terminal
from support.waiting import wait_until

pytestmark = pytest.mark.machine

PAGE = "docs/deploying.md"
BUILD_AND_RUN, NEWER, UP, UP_WITH_DEMO = (block.text for block in blocks(PAGE, "sh") if "docker " in block.text)
BUILD, RUN = BUILD_AND_RUN.strip().splitlines()
INLINE = re.findall(r"`(docker [^`]+)`", re.sub(r"\s+", " ", (ROOT / PAGE).read_text("utf-8")))
TOKEN_OF_CONTAINER = next(line for line in INLINE if "docker exec CONTAINER cat" in line)
CHECK = next(line for line in INLINE if line.endswith("downhaul-server check"))
COMPOSE = "docker compose -f deploy/compose/compose.yaml"
IMAGE = "downhaul:local"
SMALL_MB = 100
"""What the image may have on top of its base."""
PATIENCE_S = 180.0

PLAIN, EDGE = "http://127.0.0.1:8080", "https://localhost:8443"
CERTIFICATE = f"{REPOSITORY}/deploy/compose/secrets/tls.pem"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running_engine() as running:
        yield running


@pytest.fixture(scope="module")
def terminal(engine: Engine) -> Iterator[Terminal]:
    """Of a user who may use Docker, in the repository."""
    with engine.machine.terminal() as terminal:
        yield terminal


def curl(engine: Engine, url: str, *words: str) -> tuple[int, str]:
    """Status and body, as a user on the machine gets them; status 0 when nobody answers. TLS is verified."""
    command = ["curl", "-sS", "-w", "\n%{http_code}", "--cacert", CERTIFICATE, *words, url]
    body, _, status = engine.machine.attempt(shlex.join(command), user="root")[1].rpartition("\n")
    return int(status), body


def answers(engine: Engine, url: str) -> bool:
    return curl(engine, url)[0] == 200


def ask(engine: Engine, url: str, token: str, **body: Any) -> Any:
    """What the API answers to this token; the answer is a good one."""
    words = ["-H", f"Authorization: Bearer {token}", *(("--json", json.dumps(body)) if body else ())]
    status, text = curl(engine, url, *words)
    assert status in (200, 201), (status, text)
    return json.loads(text)


def make_flag(engine: Engine, url: str, token: str) -> None:
    ask(engine, f"{url}/api/v1/services", token, key="shop")
    ask(engine, f"{url}/api/v1/services/shop/flags", token, key="kept", type="boolean")


def has_flag(engine: Engine, url: str, token: str) -> bool:
    flags = ask(engine, f"{url}/api/v1/services/shop/flags", token)["items"]
    return [flag["key"] for flag in flags] == ["kept"]


def log_in(engine: Engine, url: str, token: str) -> str:
    """The page that somebody with a browser sees then."""
    jar = f"{HOME}/jar"
    status, _ = curl(engine, f"{url}/login", "--data-urlencode", f"token={token}", "-c", jar, "-b", jar)
    assert status == 303
    status, page = curl(engine, f"{url}/", "-L", "-c", jar, "-b", jar)
    assert status == 200
    engine.machine.run(f"rm {jar}")
    return page


def is_healthy(engine: Engine, container: str) -> bool:
    state = engine.inspect(container)["State"]
    return bool(state["Running"] and state["Health"]["Status"] == "healthy")


@pytest.fixture(scope="module")
def container(engine: Engine, terminal: Terminal) -> str:
    """`docker run` stays in the foreground, and so has a `&` here."""
    terminal.type(BUILD)
    terminal.type(f"{RUN} >{HOME}/log 2>&1 &")
    wait_until(lambda: engine.docker("ps --quiet"), "there is a container", PATIENCE_S)
    return engine.docker("ps --quiet")


class TestContainer:
    """`docker build` and `docker run`: a whole Downhaul in one container."""

    def test_it_becomes_healthy(self, engine: Engine, container: str) -> None:
        wait_until(lambda: is_healthy(engine, container), "Docker finds it healthy", PATIENCE_S)
        engine.docker(f"exec {container} python /opt/downhaul/healthcheck.py /readyz")

    def test_it_is_no_root_and_writes_to_its_data_only(self, engine: Engine, container: str) -> None:
        assert engine.inspect(container)["HostConfig"]["ReadonlyRootfs"] is True
        assert engine.docker(f"exec {container} id -u") == "10001"
        assert engine.docker(f"exec {container} id -g") == "10001"
        owner = engine.docker(f"exec {container} stat -c '%u:%g %a' /var/lib/downhaul")
        assert owner == "10001:10001 700"
        code, said = engine.machine.attempt(f"docker exec {container} touch /opt/downhaul/x")
        assert code != 0 and "Read-only file system" in said

    def test_its_token_logs_in(self, engine: Engine, terminal: Terminal, container: str) -> None:
        token = terminal.type(TOKEN_OF_CONTAINER.replace("CONTAINER", container)).strip()
        assert "Log out" in log_in(engine, PLAIN, token)
        make_flag(engine, PLAIN, token)

    def test_no_tool_of_its_build_is_in_it(self, engine: Engine, container: str) -> None:
        programs = engine.docker(f"exec {container} ls /opt/downhaul/bin").split()
        assert "downhaul-server" in programs
        assert not {"uv", "pip", "hatchling"} & set(programs)
        assert engine.machine.attempt(f"docker exec {container} sh -c 'command -v uv cc'")[0] != 0

    def test_it_is_small(self, engine: Engine, container: str) -> None:
        size = (engine.inspect(IMAGE)["Size"] - engine.inspect("python")["Size"]) / 1e6
        print(f"{IMAGE} is {size:.0f} MB larger than its base")
        assert 0 < size < SMALL_MB

    def test_it_ends_by_itself_in_time_though_somebody_listens(
        self, engine: Engine, terminal: Terminal, container: str
    ) -> None:
        # `docker stop` kills after ten seconds, and the exit code would be 137.
        token = engine.docker(f"exec {container} cat /var/lib/downhaul/admin-token")
        key = ask(engine, f"{PLAIN}/api/v1/keys", token, kind="sdk", name="a test", environment="production",
                  services=["*"])["token"]  # fmt: skip
        listener = f"curl -sSN -H 'Authorization: Bearer {key}' '{PLAIN}/sdk/v1/stream?service=shop' >{HOME}/heard 2>&1"
        terminal.type(f"{listener} & listener=$!")
        heard = engine.machine.root / f"{HOME}/heard".lstrip("/")
        wait_until(lambda: heard.exists() and "event: snapshot" in heard.read_text(), "the stream is there")
        engine.docker(f"stop {container}")
        assert terminal.type("wait %1; echo ended with $?").strip().endswith("ended with 0")
        terminal.type("wait $listener || true")

    def test_flags_and_token_outlive_the_container(self, engine: Engine, terminal: Terminal, container: str) -> None:
        terminal.type(f"{RUN} >{HOME}/log 2>&1 &")
        wait_until(lambda: answers(engine, f"{PLAIN}/readyz"), "the next container is ready", PATIENCE_S)
        another = engine.docker("ps --quiet")
        assert another != container
        token = terminal.type(TOKEN_OF_CONTAINER.replace("CONTAINER", another)).strip()
        assert has_flag(engine, PLAIN, token)
        engine.docker(f"stop {another}")

    def test_newer_bases_by_the_digest_that_is_looked_up(self, engine: Engine, terminal: Terminal) -> None:
        newest = engine.push("python", "3.12-slim-trixie").partition("@")[2]
        look_up, build = NEWER.replace("docker.io/library/", "").replace("python:", f"{REGISTRY}/python:").splitlines()
        digest = terminal.type(look_up).strip()
        assert digest == newest
        terminal.type(f"{build.replace('sha256:...', digest)} --quiet")


class Composed:
    """What `docker compose up` has made."""

    def __init__(self, engine: Engine, terminal: Terminal) -> None:
        self.engine, self.terminal = engine, terminal

    @property
    def token(self) -> str:
        return self.terminal.type("cat deploy/compose/secrets/admin-token").strip()

    def containers(self) -> dict[str, dict[str, Any]]:
        """By the names of their services, those that have ended too."""
        names = self.engine.docker("ps --all --format '{{.Names}}' --filter label=com.docker.compose.project=downhaul")
        found = [self.engine.inspect(name) for name in names.split()]
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def all_are_healthy(self, *services: str) -> bool:
        return all(is_healthy(self.engine, f"downhaul-{service}-1") for service in services)

    def kill_process(self, service: str) -> None:
        """As when the kernel has run out of memory: the container's first process is gone at once."""
        self.engine.machine.run(f"kill -KILL {self.containers()[service]['State']['Pid']}")

    def redis(self, command: str) -> str:
        """What its Redis says to somebody who may look into the secrets."""
        secret = (self.engine.repository / "deploy/compose/secrets/redis-password.conf").read_text()
        password = secret.removeprefix("requirepass ").strip()
        return self.engine.docker(f"exec -e REDISCLI_AUTH={password} downhaul-redis-1 redis-cli {command}")

    def from_front(self, program: str) -> tuple[int, str]:
        """Exit code and output of Python in a container of a user's that has joined the network of the guide."""
        command = f"docker run --rm --network downhaul_front --entrypoint python {IMAGE} -c {shlex.quote(program)}"
        return self.engine.machine.attempt(command, user=USER)


@pytest.fixture(scope="module")
def composed(engine: Engine, terminal: Terminal) -> Composed:
    terminal.type(UP)
    return Composed(engine, terminal)


CORE = ("redis", "downhaul", "nginx")


class TestCompose:
    def test_all_of_it_is_healthy_and_came_in_its_order(self, composed: Composed) -> None:
        containers = composed.containers()
        assert set(containers) == set(CORE)
        assert composed.all_are_healthy(*CORE)
        started = [containers[name]["State"]["StartedAt"] for name in CORE]
        assert started == sorted(started)
        assert all(container["RestartCount"] == 0 for container in containers.values())

    def test_each_process_can_do_as_little_as_possible(self, composed: Composed) -> None:
        for name, container in composed.containers().items():
            process = composed.engine.machine.run(f"cat /proc/{container['State']['Pid']}/status")
            assert re.search(r"^NoNewPrivs:\s+1$", process, re.M), name
            assert re.search(r"^CapEff:\s+0+$", process, re.M) and re.search(r"^CapBnd:\s+0+$", process, re.M), name
            assert not re.search(r"^Uid:.*\b0\b", process, re.M), name
            assert container["HostConfig"]["ReadonlyRootfs"] is True, name

    def test_people_log_in_through_nginx(self, engine: Engine, composed: Composed) -> None:
        assert answers(engine, f"{EDGE}/readyz")
        # The cookie is for TLS alone: the service has believed nginx that there was some.
        assert "Log out" in log_in(engine, EDGE, composed.token)

    def test_the_log_has_the_address_that_nginx_saw(self, engine: Engine, composed: Composed) -> None:
        make_flag(engine, EDGE, composed.token)
        (entry,) = ask(engine, f"{EDGE}/api/v1/log?limit=1", composed.token)["items"]
        nginx = composed.containers()["nginx"]["NetworkSettings"]["Networks"]["downhaul_edge"]
        assert entry["by"]["address"] == nginx["Gateway"] != nginx["IPAddress"]

    def test_check_is_content(self, composed: Composed) -> None:
        said = composed.terminal.type(CHECK.replace("docker compose ...", COMPOSE))
        assert "a crash keeps every acknowledged write" in said

    def test_its_redis_has_its_settings(self, composed: Composed) -> None:
        for name, value in (("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction")):
            assert composed.redis(f"config get {name}").split() == [name, value]

    def test_containers_of_yours_reach_the_service_and_nobody_reaches_redis(self, composed: Composed) -> None:
        code, said = composed.from_front(
            "from urllib.request import urlopen; print(urlopen('http://downhaul:8080/livez', timeout=20).status)"
        )
        assert code == 0 and said.strip() == "200"
        networks = composed.containers()["redis"]["NetworkSettings"]["Networks"]
        assert set(networks) == {"downhaul_store"}
        for host in ("redis", networks["downhaul_store"]["IPAddress"]):
            code, said = composed.from_front(f"import socket; socket.create_connection(('{host}', 6379), timeout=5)")
            assert code == 1 and re.search("Name or service|No address|timed out|unreachable", said), said

    def test_a_container_alone_takes_a_redis_that_is_there(self, engine: Engine, composed: Composed) -> None:
        url = (engine.repository / "deploy/compose/secrets/redis-url").read_text().strip()
        options = f"--network downhaul_store -e DOWNHAUL_REDIS_URL={url} --read-only --tmpfs /tmp"
        container = engine.docker(f"run --rm --detach {options} {IMAGE}")
        wait_until(lambda: is_healthy(engine, container), "Docker finds it healthy", PATIENCE_S)
        said = engine.docker(f"exec {container} downhaul-server check")
        assert "the Redis that DOWNHAUL_REDIS_URL names" in said and "a crash keeps every acknowledged write" in said
        engine.docker(f"stop {container}")

    def test_only_nginx_is_published_and_only_to_this_machine(self, composed: Composed) -> None:
        published = {name: each["NetworkSettings"]["Ports"] for name, each in composed.containers().items()}
        bound = {name: [host for hosts in ports.values() for host in hosts or ()] for name, ports in published.items()}
        assert bound == {"redis": [], "downhaul": [], "nginx": [{"HostIp": "127.0.0.1", "HostPort": "8443"}]}

    def test_what_crashes_comes_back(self, engine: Engine, composed: Composed) -> None:
        for service in CORE:
            composed.kill_process(service)
            wait_until(lambda: composed.all_are_healthy(*CORE), f"all is well after {service} crashed", PATIENCE_S)
            wait_until(lambda: answers(engine, f"{EDGE}/readyz"), f"it is reached after {service} crashed", PATIENCE_S)
        assert has_flag(engine, EDGE, composed.token)

    def test_it_comes_back_with_the_machine(self, engine: Engine, composed: Composed) -> None:
        # All that containers see of a reboot: they end with the engine, which then starts them in an order of its own.
        engine.machine.run("systemctl stop docker.socket docker.service && systemctl start docker.service")
        wait_until(lambda: composed.all_are_healthy(*CORE), "all is well after a reboot", PATIENCE_S)
        assert has_flag(engine, EDGE, composed.token)

    def test_a_new_version_takes_the_place_of_the_old_one(self, engine: Engine, composed: Composed) -> None:
        before = composed.containers()
        (engine.repository / "README.md").write_text("A new version.\n")
        composed.terminal.type(UP.splitlines()[-1])
        after = composed.containers()
        assert after["downhaul"]["Image"] != before["downhaul"]["Image"]
        assert answers(engine, f"{EDGE}/readyz") and has_flag(engine, EDGE, composed.token)

    def test_a_kill_reaches_the_demonstration(self, engine: Engine, composed: Composed) -> None:
        composed.terminal.type(UP_WITH_DEMO)
        assert composed.all_are_healthy(*CORE, "checkout", "payments")
        assert composed.containers()["demo-setup"]["State"]["ExitCode"] == 0
        fleet = f"{EDGE}/api/v1/services/checkout/fleet?environment=production"
        wait_until(lambda: len(ask(engine, fleet, composed.token)["items"]) >= 2, "its processes are there", PATIENCE_S)
        kill = f"{EDGE}/api/v1/services/checkout/flags/new-checkout/kill"
        killed = ask(engine, kill, composed.token, reason="a test", wait=60)
        assert killed["confirmed"] and killed["applied"] == killed["instances"] >= 2
        wait_until(lambda: "KILLED" in curl(engine, "http://localhost:8081/")[1], "the shop says so")
        assert answers(engine, "http://localhost:8082/")

    def test_flags_outlive_down_and_up(self, engine: Engine, composed: Composed) -> None:
        token = composed.token
        composed.terminal.type(f"{COMPOSE} --profile demo down")
        assert composed.containers() == {}
        composed.terminal.type(UP)
        assert composed.token == token and has_flag(engine, EDGE, token)
        killed = ask(engine, f"{EDGE}/api/v1/services/checkout/flags/new-checkout", token)
        assert "kill" in json.dumps(killed)

    def test_it_is_published_to_the_world_where_somebody_wants_that(self, engine: Engine, composed: Composed) -> None:
        up = UP.splitlines()[-1]
        composed.terminal.type(f"DOWNHAUL_PUBLISH=443 DOWNHAUL_PUBLIC_URL=https://flags.example.com {up}")
        assert curl(engine, "https://localhost/readyz")[0] == 200
        hosts = {host["HostIp"] for host in composed.containers()["nginx"]["NetworkSettings"]["Ports"]["443/tcp"]}
        assert "0.0.0.0" in hosts

    def test_what_to_do_when_its_network_is_taken(self, engine: Engine, composed: Composed) -> None:
        composed.terminal.type(f"{COMPOSE} down")
        engine.docker("network create --subnet 10.213.87.0/24 somebody-elses")
        up = UP.splitlines()[-1]
        code, said = engine.machine.attempt(f"cd {REPOSITORY} && {up}", patience=LONG_S)
        assert code != 0 and "overlaps" in said
        composed.terminal.type("echo DOWNHAUL_EDGE_NETWORK=10.99.1 > deploy/compose/.env")
        composed.terminal.type(up)
        assert answers(engine, f"{EDGE}/readyz")

"""The image, as far as it can be tried without a container engine: its steps in an empty folder, and what they make as
the user that the image names; then the services of compose.yaml as processes, in their order. With an engine, and more
slowly, tests/machines/test_containers.py does the same."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from downhaul_server.settings import Settings
from downhaul_server.store.connections import Connections
from downhaul_server.store.durability import inspect, is_durable
from support.containerfile import REPOSITORY, BuildError, Stage, build, clean_environment, stages
from support.redis import free_port, redis_binary
from support.tools import BIN
from support.waiting import wait_until

COMPOSE = REPOSITORY / "deploy" / "compose"
SERVICES: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
STAGES = stages()
RUN = STAGES["run"]
BY_DIGEST = re.compile(r"\S+:\S+@sha256:[0-9a-f]{64}")
PATIENCE_S = 60.0

pytestmark = pytest.mark.timeout(300)


def exec_form(arguments: str) -> list[str]:
    """The words of an instruction in its exec form; anything else is none."""
    words: list[str] = json.loads(arguments)
    return words


class TestContainerfile:
    def test_each_base_is_named_by_its_digest(self) -> None:
        assert set(STAGES) == {"uv", "build", "run"}
        for stage in STAGES.values():
            assert BY_DIGEST.fullmatch(stage.base), stage.base

    def test_the_user_is_a_number_and_not_root(self) -> None:
        (user,) = RUN.all("USER")
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)

    def test_nothing_goes_through_a_shell(self) -> None:
        assert exec_form(RUN.all("ENTRYPOINT")[0]) == ["/opt/downhaul/bin/downhaul-server"]
        assert exec_form(RUN.all("CMD")[0]) == ["run"]
        assert exec_form(RUN.all("HEALTHCHECK")[0].partition("CMD ")[2])[0] == "/opt/downhaul/bin/python"
        assert all(exec_form(step) for step in STAGES["build"].all("RUN"))

    def test_no_tool_of_the_build_is_in_the_image(self) -> None:
        assert RUN.all("RUN") == []
        assert all(source.startswith("--from=build ") for source in RUN.all("COPY"))


CONTAINED = """
for folder in "$1" "$2"; do mount --bind "$folder" "$folder"; done
mount -o remount,bind,ro /
for folder in "$1" "$2"; do mount -o remount,bind,rw "$folder"; done
cd "$1"
user=$3
shift 3
exec unshare --user --map-user="$user" --map-group="$user" -- "$@"
"""
"""What a container engine does with `read_only`, `tmpfs`, a volume and a numeric user, in as many words."""


@dataclass
class Image:
    """What the build stage made. Processes see a root that is read-only, but for two folders, and have no rights."""

    root: Path
    user: str = RUN.all("USER")[0].partition(":")[0]

    @property
    def environment(self) -> dict[str, str]:
        """What ENV says, with the root's place put in."""
        return {name: self.place(value) for name, value in RUN.environment().items()} | {
            "PATH": f"{self.root}/opt/downhaul/bin:/usr/bin:/bin",
            "TMPDIR": f"{self.root}/tmp",
        }

    def place(self, text: str) -> str:
        """With the paths of the image, where they are on this machine."""
        return re.sub(r"(?<![\w/])/(opt/downhaul|var/lib/downhaul|run/secrets)", rf"{self.root}/\1", text)

    def contained(self, command: list[str]) -> list[str]:
        """This command, in a container's place."""
        alone = ["unshare", *([] if os.getuid() == 0 else ["--user", "--map-root-user"]), "--mount"]
        folders = [f"{self.root}/var/lib/downhaul", f"{self.root}/tmp"]
        return [*alone, "sh", "-euc", CONTAINED, "sh", *folders, self.user, *map(self.place, command)]

    def start(self, command: list[str], output: Path, **environ: str) -> subprocess.Popen[bytes]:
        with open(output, "ab") as out:
            return subprocess.Popen(
                self.contained(command),
                env=self.environment | environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def run(self, command: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.contained(command),
            env=self.environment | environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Built by the steps of the Containerfile, with the Python of this machine."""
    root = tmp_path_factory.mktemp("image")
    for folder in ("var/lib/downhaul", "tmp"):
        (root / folder).mkdir(parents=True, mode=0o700)
    image = Image(root)
    _demand_namespaces(image)
    # Owners are the engine's business: here one user owns everything, and the root is read-only.
    stage = Stage("build", "", [step for step in STAGES["build"].steps if not step[1].startswith('["install"')])
    environ = clean_environment()
    try:
        build(stage, root, environ | {"PATH": f"{BIN}:{environ['PATH']}"})
    except BuildError as error:
        if os.environ.get("CI") or "Failed to fetch" not in str(error):
            raise
        pytest.skip(f"NO INDEX: this test installs what requirements.txt locks ({error})")
    return image


def _demand_namespaces(image: Image) -> None:
    tried = image.run(["true"])
    if tried.returncode == 0:
        return
    message = f"NO NAMESPACES: this test needs unshare and a kernel that lets us ({tried.stderr.strip()})"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def test_what_was_built_is_ours_and_needs_nothing_of_the_source(image: Image) -> None:
    where = image.run(["/opt/downhaul/bin/python", "-c", "import downhaul_server, downhaul; print(downhaul.__file__)"])
    assert where.returncode == 0, where.stderr
    assert where.stdout.startswith(f"{image.root}/opt/downhaul/lib")
    compiled = list((image.root / "opt/downhaul/lib").rglob("downhaul_server/__pycache__/*.pyc"))
    assert compiled, "bytecode was made when the image was: nothing can be written later"


class Played:
    """The services of compose.yaml as processes: names of hosts are this machine, mounts are folders."""

    def __init__(self, image: Image, folder: Path) -> None:
        self.image = image
        self.folder = folder
        self.ports = {name: free_port() for name in ("redis", "downhaul", "checkout", "payments")}
        self.secrets = image.root / "run/secrets"
        self._stack = ExitStack()

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def here(self, text: str) -> str:
        """What a container reads, as this machine has it."""
        for name, port in self.ports.items():
            text = re.sub(rf"(?<=//){name}:\d+|(?<=@){name}:\d+", f"127.0.0.1:{port}", text)
        return self.image.place(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))

    def environment(self, service: str) -> dict[str, str]:
        return {name: self.here(str(value)) for name, value in SERVICES[service].get("environment", {}).items()}

    def make_secrets(self) -> None:
        """By the script that people run, then what it wrote is read as the containers do."""
        subprocess.run([COMPOSE / "secrets.sh", self.secrets], check=True, capture_output=True, timeout=60)
        assert self.secrets.stat().st_mode & 0o077 == 0
        self.secrets.chmod(0o755)  # a mount is the file alone: whoever has it mounted reads it
        url = self.secrets / "redis-url"
        url.chmod(0o644)
        url.write_text(self.here(url.read_text()))

    def start_redis(self) -> None:
        data = self.folder / "redis"
        data.mkdir()
        configuration = (COMPOSE / "redis.conf").read_text().replace("dir /data", f"dir {data}")
        (self.folder / "redis.conf").write_text(self.here(configuration))
        assert SERVICES["redis"]["command"][0] == "redis-server"
        self._keep([redis_binary(), str(self.folder / "redis.conf"), "--port", str(self.ports["redis"])])

    def start_downhaul(self) -> None:
        command = [*exec_form(RUN.all("ENTRYPOINT")[0]), *exec_form(RUN.all("CMD")[0])]
        bind = f"0.0.0.0:{self.ports['downhaul']}"
        output = self.folder / "downhaul.output"
        process = self.image.start(command, output, **self.environment("downhaul"), DOWNHAUL_BIND=bind)
        self._end_later(process)
        wait_until(
            lambda: process.poll() is not None or self.healthy(SERVICES["downhaul"]["healthcheck"]["test"][1:]),
            "the health check of compose.yaml says that it is ready",
            PATIENCE_S,
        )
        assert process.poll() is None, output.read_text()

    def healthy(self, check: list[str]) -> bool:
        bind = f"0.0.0.0:{self.ports['downhaul']}"
        # The name is looked up on PATH, as in the container.
        command = [f"/opt/downhaul/bin/{check[0]}" if "/" not in check[0] else check[0], *check[1:]]
        return self.image.run(command, DOWNHAUL_BIND=bind).returncode == 0

    def set_demo_up(self) -> None:
        service = SERVICES["demo-setup"]
        # `demo` and `data` are volumes of their own, mounted at the same place.
        command = [f"/opt/downhaul/bin/{service['entrypoint'][0]}", *service["entrypoint"][1:], *service["command"]]
        done = self.image.run(command, **self.environment("demo-setup"))
        assert done.returncode == 0, done.stderr

    def start_microservice(self, name: str) -> None:
        service = SERVICES[name]
        address = service["command"][1].rpartition(":")[0] + f":{self.ports[name]}"
        entrypoint = [f"/opt/downhaul/bin/{service['entrypoint'][0]}", *service["entrypoint"][1:]]
        command = [*entrypoint, service["command"][0], address]
        process = self.image.start(command, self.folder / f"{name}.output", **self.environment(name))
        self._end_later(process)

    def _keep(self, command: list[str]) -> None:
        with open(self.folder / "redis.output", "ab") as out:
            self._end_later(subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL))

    def _end_later(self, process: subprocess.Popen[bytes]) -> None:
        def end() -> None:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=PATIENCE_S)

        self._stack.callback(end)


@pytest.fixture(scope="module")
def played(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    redis_binary()
    with Played(image, tmp_path_factory.mktemp("compose")) as played:
        played.make_secrets()
        played.start_redis()
        played.start_downhaul()
        yield played


@pytest.mark.redis
class TestCompose:
    def test_its_redis_keeps_what_it_acknowledges(self, played: Played) -> None:
        url = (played.secrets / "redis-url").read_text().strip()
        connections = Connections.to(url)
        report = inspect(connections.reads, 0)
        assert is_durable(report), report
        assert re.fullmatch(r"redis://:[\w-]{40,}@127\.0\.0\.1:\d+/0", url)

    def test_its_health_check_tells_a_server_that_is_there_from_one_that_is_not(self, played: Played) -> None:
        check = exec_form(RUN.all("HEALTHCHECK")[0].partition("CMD ")[2])
        assert played.healthy(check)
        assert not played.healthy([*check, "/nowhere"])
        nobody = played.image.run(check, DOWNHAUL_BIND=f"127.0.0.1:{free_port()}")
        assert nobody.returncode == 1 and "refused" in nobody.stdout

    def test_it_runs_as_the_images_user_on_a_root_that_is_read_only(self, played: Played) -> None:
        assert played.image.run(["id", "-u"]).stdout.strip() == played.image.user
        for place in ("/opt/downhaul/x", "/etc/x", "/run/secrets/x"):
            assert "Read-only file system" in played.image.run(["touch", place]).stderr
        wait_until((played.image.root / "var/lib/downhaul/checkpoint.lock").exists, "its data folder is written to")

    def test_the_demonstration_comes_up_and_obeys_a_kill(self, played: Played) -> None:
        played.set_demo_up()
        played.set_demo_up()
        for name in ("checkout", "payments"):
            played.start_microservice(name)
        token = (played.secrets / "admin-token").read_text().strip()
        api = f"http://127.0.0.1:{played.ports['downhaul']}/api/v1/services"

        def ask(method: str, path: str, **body: Any) -> dict[str, Any]:
            answer = requests.request(
                method, f"{api}/{path}", json=body or None, headers={"Authorization": f"Bearer {token}"}, timeout=90
            )
            assert answer.ok, answer.text
            found: dict[str, Any] = answer.json()
            return found

        everybody: Callable[[str], bool] = lambda name: (  # noqa: E731 - it is a condition
            len(ask("GET", f"{name}/fleet?environment=production")["items"]) >= 2
        )
        for name in ("checkout", "payments"):
            wait_until(lambda name=name: everybody(name), f"the processes of {name} are there", PATIENCE_S)
        killed = ask("POST", "checkout/flags/new-checkout/kill", reason="a test", wait=60)
        assert killed["confirmed"] and killed["instances"] >= 2
        shop = f"http://127.0.0.1:{played.ports['checkout']}/"  # a process that has just come was not counted yet
        wait_until(lambda: "KILLED" in requests.get(shop, timeout=60).text, "the shop says so")


class TestComposeFile:
    def test_every_file_that_is_mounted_is_there_or_made_by_the_script(self, tmp_path: Path) -> None:
        document = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
        for configuration in document["configs"].values():
            assert (COMPOSE / configuration["file"]).is_file(), configuration
        subprocess.run([COMPOSE / "secrets.sh", tmp_path / "secrets"], check=True, capture_output=True, timeout=60)
        for secret in document["secrets"].values():
            assert (tmp_path / secret["file"]).is_file(), secret

    def test_what_the_script_makes_stays_when_it_is_run_again(self, tmp_path: Path) -> None:
        def made() -> dict[str, bytes]:
            subprocess.run([COMPOSE / "secrets.sh", tmp_path], check=True, capture_output=True, timeout=60)
            return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

        first = made()
        assert first == made()
        token = first["admin-token"].decode().strip()
        assert Settings.from_environment({"DOWNHAUL_ADMIN_TOKEN": token}).admin_token == token

    @pytest.mark.parametrize("name", SERVICES)
    def test_each_container_can_do_as_little_as_possible(self, name: str) -> None:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service and "cap_add" not in service
        assert service["image"].startswith("downhaul:") or BY_DIGEST.fullmatch(service["image"])

    def test_each_container_says_whether_it_is_well(self) -> None:
        # `up --wait` takes one without a health check for well, or gives up on it: versions of compose differ.
        unchecked = [name for name, service in SERVICES.items() if "test" not in service.get("healthcheck", {})]
        assert unchecked == ["demo-setup"]
        assert SERVICES["demo-setup"]["restart"] == "no", "it does its work and ends"

    def test_what_is_published_is_for_this_machine_alone(self) -> None:
        ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
        assert ports and all(re.match(r"(\$\{\w+:-)?127\.0\.0\.1:", port) for port in ports)

    def test_only_the_service_reaches_redis(self) -> None:
        networks = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["networks"]
        assert networks["store"]["internal"] is True
        assert [name for name, service in SERVICES.items() if "store" in service.get("networks", ())] == [
            "redis",
            "downhaul",
        ]

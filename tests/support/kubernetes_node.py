"""A node for the stand-in of Kubernetes: each pod that is asked for is a process of this machine, with the settings,
files and ports that its manifest gives it. Images are what is in this tree, and this machine's Redis."""

from __future__ import annotations

import base64
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from support.kubernetes_api import Cluster
from support.kubernetes_objects import Object
from support.redis import free_port, redis_binary
from support.server import Server
from support.waiting import PATIENCE_S

Files = Mapping[str, bytes]


class Node:
    """The pods of one namespace, once they are `run`. Use it with `with`.

    Where a pod names a secret, a key, a configuration or an account that is not there, it does not start in a cluster:
    here `run` fails with AssertionError and says which.
    """

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._folder = folder
        self._stack = ExitStack()
        self.servers: dict[str, Server] = {}
        """Those of ours, by the name of the pod."""
        self.redis: subprocess.Popen[bytes] | None = None
        self._redis_port = free_port()

    def run(self) -> None:
        """Make the pods of all workloads, start them, and wait until they serve."""
        for kind in ("StatefulSet", "Deployment"):
            for name, workload in self._all(kind).items():
                for number in range(workload["spec"]["replicas"]):
                    self._start(f"{name}-{number}", workload["spec"]["template"])
        for server in self.servers.values():
            server.ready()

    def pause_redis(self) -> None:
        """It is there, and does not answer any more."""
        assert self.redis is not None
        self.redis.send_signal(signal.SIGSTOP)

    def resume_redis(self) -> None:
        """It answers again."""
        assert self.redis is not None
        self.redis.send_signal(signal.SIGCONT)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _start(self, name: str, template: Object) -> None:
        (container,) = template["spec"]["containers"]
        account = template["spec"].get("serviceAccountName")
        assert account is None or account in self._all("ServiceAccount"), f"{name}: there is no account {account}"
        root = self._folder / name
        self._mount(name, template["spec"], container["volumeMounts"], root)
        ports = {each["containerPort"]: free_port() for each in container["ports"]}
        if "envFrom" in container:
            self._serve(name, dict(self._settings(name, container)), root, ports)
        else:
            self._start_redis(container["command"], root, *ports)
        labels = template["metadata"]["labels"]
        metadata = {"name": name, "namespace": self._namespace, "labels": labels}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        self._cluster.create({**pod, "status": {"phase": "Running"}})
        self._cluster.ports[name] = ports

    def _serve(self, name: str, settings: dict[str, str], root: Path, ports: Mapping[int, int]) -> None:
        (port,) = ports.values()
        here = {key: self._here(value, root) for key, value in settings.items()}
        assert here["DOWNHAUL_BIND"] == "0.0.0.0:{}".format(*ports)
        data = root / "var/lib/downhaul"
        server = Server(data, port=port, **{**here, "DOWNHAUL_BIND": f"127.0.0.1:{port}"})
        del server.environ["DOWNHAUL_ADMIN_TOKEN"]
        server.token = Path(here["DOWNHAUL_ADMIN_TOKEN_FILE"]).read_text()
        self._cluster.logs[name] = lambda: server.output
        self.servers[name] = server
        self._stack.callback(_end, server)
        server.start()

    def _start_redis(self, command: list[str], root: Path, port: int) -> None:
        program, configuration = command
        assert (program, port) == ("redis-server", 6379)
        for path in root.rglob("*.conf"):
            path.write_text(self._here(path.read_text(), root))
        here = ["--port", str(self._redis_port), "--bind", "127.0.0.1"]
        self.redis = subprocess.Popen([redis_binary(), f"{root}{configuration}", *here], stdout=subprocess.DEVNULL)
        self._stack.callback(self._end_redis)

    def _end_redis(self) -> None:
        assert self.redis is not None
        self.redis.kill()
        self.redis.wait(timeout=PATIENCE_S)

    def _mount(self, name: str, spec: Object, mounts: list[Object], root: Path) -> None:
        volumes = {each["name"]: each for each in spec["volumes"]}
        for mount in mounts:
            folder = root / mount["mountPath"].lstrip("/")
            folder.mkdir(parents=True)
            for file, content in self._files(name, volumes.get(mount["name"], {})).items():
                text = content.decode()
                (folder / file).write_text(self._named(text))

    def _files(self, name: str, volume: Object) -> Files:
        """What a volume brings."""
        if "configMap" in volume:
            return {
                key: text.encode() for key, text in self._of("ConfigMap", volume["configMap"]["name"], name).items()
            }
        if "secret" not in volume:
            return {}
        secret = volume["secret"]
        data = {key: base64.b64decode(each) for key, each in self._of("Secret", secret["secretName"], name).items()}
        wanted = secret.get("items", [{"key": key, "path": key} for key in data])
        for item in wanted:
            assert item["key"] in data, f"{name}: the secret {secret['secretName']} has no key {item['key']}"
        return {item["path"]: data[item["key"]] for item in wanted}

    def _settings(self, name: str, container: Object) -> Iterator[tuple[str, str]]:
        for source in container["envFrom"]:
            yield from self._of("ConfigMap", source["configMapRef"]["name"], name).items()

    def _of(self, kind: str, wanted: str, name: str) -> Mapping[str, str]:
        assert wanted in self._all(kind), f"{name}: there is no {kind} {wanted}"
        data: Mapping[str, str] = self._all(kind)[wanted].get("data", {})
        return data

    def _all(self, kind: str) -> dict[str, Object]:
        found: dict[str, Object] = self._cluster.objects(kind, self._namespace)
        return found

    def _here(self, text: str, root: Path) -> str:
        """With the folders of the pod where they are on this machine."""
        return re.sub(r"(?<![\w/])/(run/secrets|var/lib|data)\b", rf"{root}/\1", text)

    def _named(self, text: str) -> str:
        """With the names of services, which only a cluster resolves, as addresses of this machine."""
        found = re.search(r"@(?P<host>[\w.-]+):(?P<port>\d+)", text)
        if found is None:
            return text
        (port,) = self._all("Service")[found["host"]]["spec"]["ports"]
        assert port["port"] == int(found["port"])
        return text.replace(found.group(), f"@127.0.0.1:{self._redis_port}")


def _end(server: Server) -> None:
    """At once: how a node ends in order has tests of its own."""
    server.stop(signal.SIGKILL)
    server.__exit__(None, None, None)

"""Docker on a machine of its own, which is Debian with Debian's packages of it, and a registry beside it.

No registry of the world's can be reached, so the images that our files name by digest have stand-ins: Debian with the
same program at the same place, under the same user. They are pushed to the registry, and their names and digests take
the place of the real ones in the machine's copy of our files. Nothing else is replaced, but a limit that this machine
may not set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.debian import debian, need_machines, pip_settings
from support.machine import LONG_S, REPOSITORY, USER, Machine
from support.tools import BIN

SUITE = "trixie"
"""Debian 12 has no `docker compose`."""
PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "docker-compose", "docker-registry", "openssl")
REGISTRY = "localhost:5000"
SERVED = f"""\
version: 0.1
storage: {{filesystem: {{rootdirectory: /var/lib/docker-registry}}}}
http: {{addr: "{REGISTRY}"}}
"""

STAND_INS = {
    "ghcr.io/astral-sh/uv": "uv",
    "docker.io/library/python": "python",
    "docker.io/library/redis": "redis",
    "docker.io/nginxinc/nginx-unprivileged": "nginx",
}
"""What our files name -> the stage below."""
DOCKERFILE = """\
FROM scratch AS uv
COPY uv /uv

FROM debian:python AS python
COPY uv.toml /etc/uv/uv.toml
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt

FROM debian:servers AS redis
RUN install --directory --owner=999 --group=1000 /data

FROM debian:servers AS nginx
RUN ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log \\
 && rm -r /etc/nginx/conf.d && mkdir /etc/nginx/conf.d \\
 && rm -r /var/lib/nginx && ln -s /var/cache/nginx /var/lib/nginx
STOPSIGNAL SIGQUIT
USER 101
"""
ROOTS = {"python": ("python3",), "servers": ("redis-server", "nginx-light", "curl")}
"""Debian with these packages. No Redis is beside Python: the image brings its own."""
LEFT_OUT = " ".join(
    f"--exclude=./{path}/*" for path in ("usr/share/doc", "usr/share/locale", "var/cache", "var/lib/apt")
)
ALLOWED = ("--capability=all", "--system-call-filter=add_key keyctl bpf")
WRITABLE = {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1"}
"""What systemd-nspawn keeps from a machine otherwise, and an engine needs."""


class Engine:
    """See above. Commands of tests are root's; what a guide says is typed by the user, who is in the group docker."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.repository = machine.root / REPOSITORY.lstrip("/")

    def docker(self, command: str, *, patience: float = 120.0) -> str:
        """What `docker COMMAND` prints."""
        return self.machine.run(f"docker {command}", patience=patience).strip()

    def inspect(self, name: str) -> dict[str, Any]:
        """All that is known of a container, an image, a network or a volume."""
        found: list[dict[str, Any]] = json.loads(self.docker(f"inspect {name}"))
        return found[0]

    def push(self, stage: str, tag: str) -> str:
        """The full name of the stand-in in the registry, with its digest."""
        name = f"{REGISTRY}/{stage}:{tag}"
        self.docker(f"tag {stage} {name}")
        said = self.docker(f"push --quiet=false {name}", patience=LONG_S)
        self.docker(f"image rm {name}")  # so that it comes from the registry
        (digest,) = re.findall(r"digest: (sha256:[0-9a-f]{64})", said)
        return f"{name}@{digest}"

    def set_up(self) -> None:
        """Until our files can be used as they stand."""
        self.machine.run(f"usermod --append --groups docker {USER}")
        self.machine.write("/etc/docker/registry/config.yml", SERVED)
        self.machine.run("chown -R docker-registry: /var/lib/docker-registry && systemctl restart docker-registry")
        self._build_stand_ins()
        self.machine.bring_repository()
        self._name_stand_ins()
        self._name_limits()

    def _build_stand_ins(self) -> None:
        for name in ROOTS:
            self.machine.run(f"tar -C /roots/{name} -c {LEFT_OUT} . | docker import - debian:{name}", patience=LONG_S)
        index = pip_settings().get("global.index-url")
        self.machine.write("/stand-ins/uv.toml", f'index-url = "{index}"\n' if index else "")
        self.machine.write("/stand-ins/Dockerfile", DOCKERFILE)
        uv = self.machine.root / "stand-ins/uv"
        uv.write_bytes((BIN / "uv").read_bytes())
        uv.chmod(0o755)
        for stage in STAND_INS.values():
            self.docker(f"build --quiet --target {stage} --tag {stage} /stand-ins", patience=LONG_S)

    def _name_stand_ins(self) -> None:
        lacking = set(STAND_INS)
        for path in ("deploy/container/Containerfile", "deploy/compose/compose.yaml"):
            text = (self.repository / path).read_text()
            for name, tag, digest in re.findall(r"([\w.]+(?:/[\w-]+)+):([\w.-]+)@(sha256:[0-9a-f]{64})", text):
                text = text.replace(f"{name}:{tag}@{digest}", self.push(STAND_INS[name], tag))
                lacking.remove(name)
            (self.repository / path).write_text(text)
        assert not lacking, lacking

    def _name_limits(self) -> None:
        """An engine may set any limit. Where this machine has lost that right, it cannot give it to one inside."""
        highest = int(self.machine.run("ulimit -Hn"))
        path = self.repository / "deploy/compose/compose.yaml"
        text = path.read_text()
        assert "nofile: 65536" in text
        path.write_text(text.replace("nofile: 65536", f"nofile: {min(65536, highest)}"))


@contextmanager
def running_engine() -> Iterator[Engine]:
    """With stand-ins, and the repository that names them. All of it is gone afterwards."""
    need_machines()
    roots = [f"--bind-ro={debian(*packages, suite=SUITE)}:/roots/{name}" for name, packages in ROOTS.items()]
    # The engine's own overlays cannot lie on that of the machine.
    disks = ("/var/lib/docker", "/var/lib/docker-registry")
    with Machine(debian(*PACKAGES, suite=SUITE), *ALLOWED, *roots, environ=WRITABLE, disks=disks) as machine:
        engine = Engine(machine)
        engine.set_up()
        yield engine

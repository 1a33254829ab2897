"""A real nginx with the files of `deploy/nginx`, on free ports, its cache, logs and keys in a folder of the test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.redis import free_port
from support.waiting import PATIENCE_S, wait_until

FILES = Path(__file__).parents[2] / "deploy" / "nginx"
ELSEWHERE = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"
"""Where nginx is, for whom it is not on PATH."""


def nginx_binary() -> str:
    """nginx on this machine. Without one: skips the test on a laptop, fails it in CI."""
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{ELSEWHERE}")
    if binary:
        return binary
    message = "NO NGINX: this test needs nginx (`make nginx` installs one)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class Nginx:
    """The main file, and those that it includes: `add` them, then use it with `with`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._binary = nginx_binary()
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: list[int] = []
        for name in ("conf.d", "cache", "logs", "tls", "secrets"):
            (folder / name).mkdir(parents=True)
        self._write("nginx.conf", self._adapted("nginx.conf", {"/run/nginx.pid": str(folder / "nginx.pid")}))
        shutil.copy(_mime_types(self._binary), folder / "mime.types")

    def add(self, name: str, listen: str, changes: Mapping[str, str]) -> int:
        """Put in a file of `deploy/nginx`, adapted as its head says; gives the port that it listens on.

        `listen` is the port that stands there; `changes` has what else stands there -> what it becomes.
        """
        port = free_port()
        self._ports.append(port)
        self._write(f"conf.d/{name}", self._adapted(name, {f"listen {listen}": f"listen 127.0.0.1:{port}", **changes}))
        return port

    def secret(self, name: str, token: str) -> None:
        """A file that adds a token to the requests of a location."""
        self._write(f"secrets/{name}", f'proxy_set_header Authorization "Bearer {token}";\n')

    def certificate(self, name: str, path: Path, key: Path) -> None:
        """`tls/<name>.pem` and `.key`."""
        shutil.copy(path, self.folder / "tls" / f"{name}.pem")
        shutil.copy(key, self.folder / "tls" / f"{name}.key")

    @property
    def log(self) -> str:
        """What went wrong."""
        return (self.folder / "logs" / "error.log").read_text("utf-8", "replace")

    def lines(self) -> list[str]:
        """The access log. (It is flushed once in a while.)"""
        return (self.folder / "logs" / "access.log").read_text("utf-8", "replace").splitlines()

    def __enter__(self) -> Nginx:
        command = [self._binary, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-g", "daemon off;"]
        errors = self.folder / "logs" / "error.log"
        checked = subprocess.run(
            [*command[:-2], "-e", str(errors), "-t"], capture_output=True, text=True, timeout=60, check=False
        )
        assert checked.returncode == 0, checked.stderr
        self._process = subprocess.Popen([*command, "-e", str(errors)], start_new_session=True)
        wait_until(lambda: all(map(_listens, self._ports)) or self._ended(), "nginx listens")
        assert not self._ended(), self.log
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=PATIENCE_S)

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _adapted(self, name: str, changes: Mapping[str, str]) -> str:
        text = (FILES / name).read_text(encoding="utf-8")
        here = {"/etc/nginx": str(self.folder), "/var/cache/nginx": str(self.folder / "cache"),
                "/var/log/nginx": str(self.folder / "logs"), "user www-data;": _user()}  # fmt: skip
        for old, new in changes.items():
            assert old in text, f"{name} does not hold {old!r}"
            text = text.replace(old, new)
        for old, new in here.items():
            text = text.replace(old, new)
        return text

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)


def _user() -> str:
    """The folders of tests are their user's own; only root may, and has to, say who the workers are."""
    return f"user {pwd.getpwuid(0).pw_name};" if os.getuid() == 0 else ""


def _mime_types(binary: str) -> Path:
    for folder in ("/etc/nginx", "/usr/local/etc/nginx", "/opt/homebrew/etc/nginx"):
        if (path := Path(folder) / "mime.types").exists():
            return path
    raise AssertionError(f"{binary} has come without mime.types")


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False

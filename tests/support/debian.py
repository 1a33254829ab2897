"""Debian in a folder, for tests that need a whole machine: made by debootstrap once, and kept between runs.

`DOWNHAUL_MACHINES_SUITE` names another release than Debian 12, `DOWNHAUL_MACHINES_MIRROR` another mirror.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SUITE = os.environ.get("DOWNHAUL_MACHINES_SUITE", "bookworm")
MIRROR = os.environ.get("DOWNHAUL_MACHINES_MIRROR", "http://deb.debian.org/debian")
BASE = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "libnss-systemd",
    "sudo",
    "ca-certificates",
    "curl",
    "procps",
)
"""What any server with Debian has."""
AUTHORITIES = "usr/local/share/ca-certificates"
"""Certificates that this machine trusts beside the usual ones: so does the other."""
USER = "keeper"
"""Who may `sudo`."""
VARIABLE = ":env:."
"""How pip calls what it has from the environment."""
RECIPE = 1
"""To be raised when a root is made in another way: older ones are left alone."""
TOOLS = ("debootstrap", "systemd-nspawn", "slirp4netns", "nsenter")


def need_machines() -> None:
    """Fails where no machine can be made. Who asks for these tests wants them run, so they never skip."""
    lacking = [tool for tool in TOOLS if not shutil.which(tool)]
    if sys.platform != "linux" or os.getuid() != 0 or lacking:
        pytest.fail(
            f"NO MACHINE: tests/machines needs root on Linux{', and ' + ', '.join(lacking) if lacking else ''}"
            " (`make machines` as root installs them on Debian)"
        )


def debian(*packages: str, suite: str = SUITE) -> Path:
    """A root file system with these packages beside BASE. Never write to it: put an overlay above."""
    with _lock():
        base = _kept(suite, BASE, lambda folder: _bootstrap(folder, suite))
        return _kept(suite, (*BASE, *packages), lambda folder: _copy(base, folder, packages)) if packages else base


def pip_settings() -> dict[str, str]:
    """How pip is set up here (its index, say), from files and the environment: `section.name` -> value."""
    pairs = [line.partition("=") for line in _run([sys.executable, "-m", "pip", "config", "list"]).splitlines()]
    said = {name: " ".join(str(ast.literal_eval(value)).split()) for name, _, value in pairs}
    variables = {name.replace(VARIABLE, "global."): value for name, value in said.items() if name.startswith(VARIABLE)}
    return {**{name: value for name, value in said.items() if not name.startswith(":")}, **variables}


def cache() -> Path:
    """The folder that outlives a run."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "downhaul" / "machines"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _lock() -> Iterator[None]:
    """One process makes a file system, others wait for it."""
    with (cache() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _kept(suite: str, packages: Sequence[str], make: Callable[[Path], None]) -> Path:
    """The folder in the cache; it has its name only when it is whole."""
    digest = hashlib.sha256(f"{RECIPE} {MIRROR} {' '.join(packages)}".encode()).hexdigest()[:12]
    folder = cache() / f"{suite}-{digest}"
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.rename(folder)
    return folder


def _bootstrap(folder: Path, suite: str) -> None:
    _run(["debootstrap", "--variant=minbase", f"--include={','.join(BASE)}", suite, str(folder), MIRROR])
    _write(folder / "etc/apt/apt.conf.d/90here", _run(["apt-config", "dump", "Acquire::http", "Acquire::https"]))
    _write(folder / "etc/apt/sources.list.d/security.list", f"deb {MIRROR}-security {suite}-security main\n")
    shutil.copytree(Path("/") / AUTHORITIES, folder / AUTHORITIES, dirs_exist_ok=True)
    _inside(folder, "update-ca-certificates")
    _inside(folder, "apt-get update -qq")
    _inside(folder, f"useradd --create-home --shell /bin/bash {USER}")
    _write(folder / "etc/sudoers.d" / USER, f"{USER} ALL=(ALL) NOPASSWD: ALL\n")


def _copy(base: Path, folder: Path, packages: Sequence[str]) -> None:
    _run(["cp", "-a", "--reflink=auto", str(base), str(folder)])
    never = folder / "usr/sbin/policy-rc.d"
    _write(never, "#!/bin/sh\nexit 101\n")  # so packages start nothing: this is no machine yet
    never.chmod(0o755)
    _inside(folder, f"DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {' '.join(packages)}")
    never.unlink()


def _inside(folder: Path, command: str) -> str:
    return _run(["chroot", str(folder), "bash", "-ec", command])


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=1800)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout

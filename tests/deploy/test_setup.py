"""The set-up steps on a machine that has nothing yet ask its package manager for what is missing, and only for that."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "deploy" / "setup.sh"
NEEDED = ("bash", "env", "dirname", "id")
APT = '#!{bash}\necho "$@" >> "{log}"\n'
PROGRAM_OF = {
    "redis": ("redis-server", "redis-server"),
    "chromium": ("chromium", "chromium"),
    "systemd": ("systemd", "systemd-analyze"),
}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The only folder on PATH: a shell, and a package manager that writes down what it is asked for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).symlink_to(shutil.which(name) or name)
    for name in ("apt-get", "sudo"):
        _program(folder / name, APT.format(bash=shutil.which("bash"), log=tmp_path / "asked"))
    return folder


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def run(step: str, machine: Path) -> str:
    """What the package manager was asked for."""
    asked = machine.parent / "asked"
    done = subprocess.run(["bash", SETUP, step], env={"PATH": str(machine)}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return asked.read_text() if asked.exists() else ""


@pytest.mark.parametrize("step", PROGRAM_OF)
def test_what_is_missing_is_installed(step: str, machine: Path) -> None:
    package, _ = PROGRAM_OF[step]
    assert package in run(step, machine).split()


@pytest.mark.parametrize("step", PROGRAM_OF)
def test_what_is_there_is_left_alone(step: str, machine: Path) -> None:
    _, program = PROGRAM_OF[step]
    _program(machine / program, "")
    assert run(step, machine) == ""


TOOLS_OF = {
    "promtool": ["promtool"],
    "kubernetes": ["helm", "kubectl"],
    "machines": ["debootstrap", "systemd-nspawn", "slirp4netns", "ip", "iptables"],
}


@pytest.mark.parametrize(("step", "programs"), TOOLS_OF.items())
def test_tools_that_are_there_are_not_fetched(step: str, programs: list[str], machine: Path, tmp_path: Path) -> None:
    for program in programs:
        _program(machine / program, "")
    done = subprocess.run(
        ["bash", SETUP, step, tmp_path], env={"PATH": str(machine)}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "asked").exists()


def test_what_boots_machines_is_installed_by_the_names_of_its_packages(machine: Path) -> None:
    asked = run("machines", machine).split()
    assert {"systemd-container", "slirp4netns"} <= set(asked) and "systemd-nspawn" not in asked


def test_a_tool_that_cannot_be_had_is_told_and_stops_nobody(machine: Path, tmp_path: Path) -> None:
    _program(machine / "apt-get", f"#!{shutil.which('bash')}\nexit 100\n")
    for name in ("mktemp", "rm"):
        (machine / name).symlink_to(shutil.which(name) or name)
    done = subprocess.run(
        ["bash", SETUP, "promtool", tmp_path], env={"PATH": str(machine)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "the rules for Prometheus are not checked" in done.stderr

"""Imports run one way. The contracts are in pyproject.toml; `make check` runs them, and so does this."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_the_import_contracts_are_kept() -> None:
    done = lint_imports()

    assert done.returncode == 0, done.stdout


def test_a_contract_that_is_broken_is_found(tmp_path: Path) -> None:
    """The judge is judged: a contract that the code does break must fail."""
    contract = tmp_path / "contract.ini"
    contract.write_text(
        "[importlinter]\nroot_packages = downhaul_server\n\n"
        "[importlinter:contract:1]\nname = broken on purpose\ntype = forbidden\n"
        "source_modules = downhaul_server.services\nforbidden_modules = downhaul_server.store\n"
    )

    assert lint_imports("--config", str(contract)).returncode == 1


def test_importing_the_sdk_loads_nothing_that_is_heavy() -> None:
    code = "import sys, downhaul.flags; print(*sorted(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"requests", "urllib3", "ssl", "http.client", "email", "asyncio", "click", "rich"} & set(loaded)


def test_importing_the_server_loads_nothing_that_only_some_settings_need() -> None:
    code = "import sys, downhaul_server.app; print(*sorted(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"authlib", "joserfc", "requests"} & set(loaded)


@pytest.mark.parametrize(
    "room", ["sdk/downhaul/engine", "server/downhaul_server/store", "server/downhaul_server/services"]
)
def test_each_room_says_on_its_door_what_it_is_for(room: str) -> None:
    assert (ROOT / room / "__init__.py").read_text(encoding="utf-8").startswith('"""')

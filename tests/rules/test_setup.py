"""What `make` installs by itself, on a machine where nothing is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "deploy" / "setup.sh"


@pytest.mark.parametrize("wanted", ["chromium", "redis"])
@pytest.mark.parametrize("there", [True, False])
def test_what_is_there_is_taken_and_what_is_not_is_installed(tmp_path: Path, wanted: str, there: bool) -> None:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name in ("dirname", "id", "env"):
        (binaries / name).symlink_to(shutil.which(name) or "")
    program(binaries / "sudo", 'shift; exec "$@"')
    program(binaries / "apt-get", f'echo "$@" >> {tmp_path}/asked')
    if there:
        program(binaries / {"chromium": "google-chrome", "redis": "valkey-server"}[wanted], "exit 0")
    subprocess.run(
        [shutil.which("bash") or "bash", str(SETUP), wanted], env={"PATH": str(binaries)}, check=True, timeout=60
    )
    asked = tmp_path / "asked"
    assert ("install" in asked.read_text() if asked.exists() else False) is not there


def program(path: Path, text: str) -> None:
    path.write_text(f"#!{shutil.which('sh')}\n{text}\n")
    path.chmod(0o755)

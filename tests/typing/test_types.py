"""Both type checkers see in the SDK what is meant: nothing wrong with `usage`, and each marked line of `misuse`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
USAGE, MISUSE = HERE / "usage.py", HERE / "misuse.py"

Faults = dict[tuple[str, int], str]
"""Messages by file and line."""


@pytest.fixture(scope="module", params=["mypy", "pyright"])
def faults(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Faults:
    """What a checker finds in the two files."""
    folder = tmp_path_factory.mktemp(request.param)
    return mypy(folder) if request.param == "mypy" else pyright(folder)


def mypy(folder: Path) -> Faults:
    output = run(["mypy", "--strict", "--config-file=", "--cache-dir", str(folder / "cache")], folder)
    found = re.findall(r"^(.*\.py):(\d+): error: (.*)$", output, re.MULTILINE)
    return {(Path(file).name, int(line)): message for file, line, message in found}


def pyright(folder: Path) -> Faults:
    """It brings its own program and its own Node.js: nothing is fetched when it runs."""
    report = json.loads(run(["pyright", "--outputjson", "--pythonpath", sys.executable], folder))
    assert report["summary"]["filesAnalyzed"] == 2
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1): each["message"]
        for each in report["generalDiagnostics"]
    }


def run(command: list[str], folder: Path) -> str:
    """The output of a checker that cannot reach anything."""
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    result = subprocess.run(
        [sys.executable, "-m", *command, str(USAGE), str(MISUSE)],
        cwd=folder,
        env={**os.environ, **nowhere, "HOME": str(folder), "XDG_CACHE_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stdout


def test_nothing_is_wrong_with_right_use(faults: Faults) -> None:
    assert {place: message for place, message in faults.items() if place[0] == USAGE.name} == {}


def test_each_misuse_is_seen_and_nothing_else(faults: Faults) -> None:
    lines = MISUSE.read_text(encoding="utf-8").splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    found = {line: message for (file, line), message in faults.items() if file == MISUSE.name}
    assert len(marked) > 20
    assert set(found) == marked, found

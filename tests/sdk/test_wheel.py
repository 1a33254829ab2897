"""The wheel, installed alone in an environment of its own: it imports, evaluates and is typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from support.fakeservice import KEY, FakeService
from support.guides import ROOT, Block, blocks, pages
from support.typed import Terminal, environment

MARK = "tried by tests/sdk/test_wheel.py"
INSTALLED = [
    block
    for page in ("README.md", "docs/sdk.md", "docs/openfeature.md")
    for block in blocks(page, "sh", "console")
    if block.mark == MARK
]
"""What has pip install it; pip is told by its settings that there is no index, but a folder with the wheel."""
SDK = Path(__file__).parents[2] / "sdk"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(SDK)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("downhaul-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the wheel, the distributions that its metadata asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    python = folder / "bin" / "python"
    here = {"PIP_PYTHON": str(python), "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_FIND_LINKS": str(wheel.parent)}
    with Terminal(folder, environment(**here)) as terminal:
        for line in dict.fromkeys(_lines(block)[0].partition("#")[0].strip() for block in INSTALLED):
            terminal.type(line)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    for distribution in sorted((_closure("downhaul") | _closure("openfeature-sdk")) - {"downhaul"}):
        _link(metadata.distribution(distribution), site)
    return python


def _lines(block: Block) -> list[str]:
    return [line.removeprefix("$ ") for line in block.text.splitlines()]


def _closure(name: str) -> set[str]:
    """The distribution and all that it requires without an extra, by the metadata of this environment."""
    names, pending = set(), [name]
    while pending:
        each = pending.pop()
        if each not in names:
            names.add(each)
            pending += _required(metadata.requires(each) or ())
    return names


def _link(distribution: metadata.Distribution, site: Path) -> None:
    for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
        (site / top).symlink_to(Path(str(distribution.locate_file(top))))


def run(python: Path, program: str, folder: Path, **environment: str) -> str:
    command = [str(python), "-c", program]
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_holds_the_sdk_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"downhaul"}
    assert {"downhaul/py.typed", "downhaul/flags.py", "downhaul/engine/__init__.py"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_asks_for_requests_and_mmh3_alone(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    required = [line for line in archive.read(path).decode().splitlines() if line.startswith("Requires-Dist")]
    assert [line for line in required if "extra ==" not in line] == [
        "Requires-Dist: mmh3<6,>=5",
        "Requires-Dist: requests<3,>=2.32",
    ]


def test_it_has_the_extras_that_guides_speak_of(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    offered = set(re.findall(r"^Provides-Extra: (\S+)", archive.read(path).decode(), re.MULTILINE))
    guides = "\n".join((ROOT / page).read_text("utf-8") for page in pages())
    named = set(",".join(re.findall(r"downhaul\[([\w,]+)\]", guides)).split(","))
    assert {"openfeature", "cli"} <= named <= offered


def test_pip_brings_these_two_and_what_they_need(wheel: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", report]
    result = subprocess.run([*pip, wheel], capture_output=True, text=True, timeout=120, check=False)
    if result.returncode and not os.environ.get("CI"):
        pytest.skip(f"NO INDEX: this test needs the package index that pip is set up for: {result.stderr}")
    assert result.returncode == 0, result.stderr

    brought = {_plain(each["metadata"]["name"]): each["metadata"] for each in json.loads(report.read_text())["install"]}
    needed, pending = {"downhaul"}, ["requests", "mmh3"]
    while pending:
        name = pending.pop()
        needed.add(name)
        pending += [each for each in _required(brought[name].get("requires_dist", ())) if each in brought]
    assert set(brought) == needed
    assert len(needed) < 10


def _required(lines: Iterable[str]) -> set[str]:
    """Names of the distributions in lines of metadata, but for those that an extra asks for."""
    plain = [line for line in lines if "extra ==" not in line]
    return {_plain(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in plain}


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def test_it_evaluates_with_no_server_files(python: Path, tmp_path: Path) -> None:
    program = """
from importlib.util import find_spec
from downhaul import flags
assert not any(map(find_spec, ("downhaul_server", "redis", "flask", "click", "pytest")))
with flags.override(new_checkout=True):
    print(flags.enabled("new-checkout"), flags.value("colour", default="blue"))
"""
    assert run(python, program, tmp_path) == "True blue\n"


FOLLOWING = "from downhaul import flags; print(flags.wait_ready(10), flags.enabled('new-checkout'))"
ASKING = """
from downhaul.integrations.openfeature import DownhaulProvider
from openfeature import api
api.set_provider_and_wait(DownhaulProvider())
print(api.get_client().get_boolean_value("new-checkout", False))
"""


@pytest.mark.parametrize(("page", "program"), [("docs/sdk.md", FOLLOWING), ("docs/openfeature.md", ASKING)])
def test_with_the_settings_of_the_guide_it_follows_a_service(
    page: str, program: str, python: Path, tmp_path: Path, service: FakeService
) -> None:
    (block,) = (each for each in INSTALLED if each.page == page)
    _, settings = _lines(block)
    for theirs, ours in (("https://flags.example.com", service.url), ("/run/secrets/downhaul", f"{tmp_path}/key")):
        assert theirs in settings
        settings = settings.replace(theirs, ours)
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "program.py").write_text(program)
    with Terminal(tmp_path, environment()) as terminal:
        terminal.type(settings)
        assert terminal.type(f"{python} program.py").strip() in ("True", "True True")


def test_it_offers_the_pytest_plugin_and_the_command(python: Path, tmp_path: Path) -> None:
    program = """
from importlib.metadata import distribution
print(sorted((each.group, each.name, each.value) for each in distribution("downhaul").entry_points))
"""
    expected = [
        ("console_scripts", "downhaul", "downhaul.cli:main"),
        ("pytest11", "downhaul", "downhaul.testing.plugin"),
    ]
    assert run(python, program, tmp_path) == f"{expected}\n"


TYPED = """
from downhaul import flags
from downhaul.client import Client

reveal_type(flags.enabled("a", user="u", plan="pro"))
reveal_type(flags.enabled("a", True))
reveal_type(flags.enabled("a", default=True, user=1))
reveal_type(flags.value("a", default="blue", user="u"))
reveal_type(flags.explain("a", user="u").reason)
reveal_type(flags.status().revision)
reveal_type(flags.counts())

@flags.override(new_checkout=True)
def decorated(number: int) -> str:
    return str(number)

@flags.context(tenant="t")
async def later(number: int) -> str:
    return str(number)

reveal_type(decorated(1))
with flags.context(user="u"), flags.override({"a/b": False}):
    flags.wait_ready(2.0)
remove = flags.on_change(lambda names: print(names))
reveal_type(remove)
Client(url="http://x", key="k", service="s", poll_interval=1)
"""

MISUSED = """
from downhaul import flags
flags.enabled()
flags.enabled(1)
flags.enabled("a", default="yes")
flags.configure(polling=3)
flags.wait_ready("soon")
"""


def check_types(python: Path, program: str, folder: Path) -> tuple[list[str], list[str]]:
    """The types that mypy reveals, and its errors' codes, with the installed wheel."""
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", str(python)]
    command += ["--cache-dir", str(folder / "cache"), "program.py"]
    result = subprocess.run(
        command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=120, check=False
    )
    return re.findall(r'Revealed type is "(.*)"', result.stdout), re.findall(r"error: .*\[([a-z-]+)\]", result.stdout)


def test_its_types_are_seen_by_a_type_checker(python: Path, tmp_path: Path) -> None:
    revealed, errors = check_types(python, TYPED, tmp_path)
    assert errors == []
    assert [each.replace("builtins.", "") for each in revealed] == [
        "bool", "bool", "bool", "str", "str", "int | None", "dict[str, dict[str, int]]", "str", "def ()",
    ]  # fmt: skip


def test_misuse_is_seen_by_a_type_checker(python: Path, tmp_path: Path) -> None:
    _, errors = check_types(python, MISUSED, tmp_path)
    assert errors == ["call-arg", "arg-type", "arg-type", "call-arg", "arg-type"]

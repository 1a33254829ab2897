"""docs/testing.md is typed as it stands there: its files into one folder, its commands, and what it says they print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from downhaul import flags
from downhaul.local.errors import LocalFileError
from downhaul.local.reading import read_ruleset
from support.guides import ROOT, blocks
from support.suites import run_pytest, run_pytest_here, run_unittest

pytest_plugins = ["pytester"]

GUIDE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCKS = [(block.language, block.text) for block in blocks("docs/testing.md")]
FILES = {code.split("\n")[0].removeprefix("# "): code for _, code in BLOCKS if re.match(r"# \w+\.\w+\n", code)}
STRICT, REPORT, FAULT = (code for language, code in BLOCKS if language == "text")


@pytest.fixture
def folder(pytester: pytest.Pytester) -> Path:
    for name, code in FILES.items():
        (pytester.path / name).write_text(code)
    return pytester.path


def test_every_block_is_tried() -> None:
    unnamed = [language for language, code in BLOCKS if code not in FILES.values()]
    assert sorted(unnamed) == ["python", "text", "text", "text"]
    assert set(FILES) == {
        "shop.py", "test_checkout.py", "test_strict.py", "test_unittest.py", "downhaul.toml", "test_file.py",
    }  # fmt: skip


def test_the_suite_passes_and_tells_what_the_guide_says(pytester: pytest.Pytester, folder: Path) -> None:
    told = run_pytest(pytester, "--strict-markers")
    told.assert_outcomes(passed=17, xfailed=1)

    told = run_pytest_here(pytester, "--downhaul-report", "test_checkout.py", "test_strict.py")
    assert REPORT in told.stdout.str()

    told = run_pytest_here(pytester, "--runxfail", "test_strict.py")
    told.assert_outcomes(passed=1, failed=1)
    assert STRICT in told.stdout.str()

    told = run_pytest_here(pytester, "-k", "new-checkout:off", "test_checkout.py")
    told.assert_outcomes(passed=3, deselected=told.parseoutcomes()["deselected"])


def test_the_same_with_unittest(folder: Path) -> None:
    told = run_unittest(folder, (folder / "test_unittest.py").read_text())
    assert "Ran 3 tests" in told and "OK" in told, told


def test_a_fault_in_the_file_reads_as_the_guide_says(folder: Path) -> None:
    path = folder / "downhaul.toml"
    path.write_text(path.read_text().replace('serve = "light"', 'serve = "lihgt"'))
    with pytest.raises(LocalFileError) as caught:
        read_ruleset(str(path))
    assert str(caught.value) == f"{folder}/{FAULT.strip()}"


def test_the_block_for_anything_else_runs() -> None:
    (code,) = (code for language, code in BLOCKS if language == "python" and code not in FILES.values())
    exec(compile(code, "the guide", "exec"), {"__name__": "guide"})  # noqa: S102 -- our own documentation
    assert flags.enabled("new-checkout") is False


def test_every_option_and_mark_is_in_the_guide(pytester: pytest.Pytester) -> None:
    helped = run_pytest_here(pytester, "--help").stdout.str()
    options, settings = set(re.findall(r"--downhaul-\w+", helped)), set(re.findall(r"^  (downhaul_\w+)", helped, re.M))
    assert len(options) == len(settings) == 3
    table = GUIDE.split("\n### Settings\n")[1].split("\n## ")[0]
    assert set(re.findall(r"--downhaul-\w+", table)) == options
    assert set(re.findall(r"^\| `(downhaul_\w+) =", table, re.M)) == settings

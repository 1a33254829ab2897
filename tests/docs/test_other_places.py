"""Lines for other machines, which no test here runs (docker; those with sudo are for `make machines`), and our own
targets of make, which are run by hand and by CI: what they name is there at least."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
from support.guides import ROOT, Block, blocks

HERE = re.compile(
    r"(?<![\w./-])\.?/?((?:deploy|sdk|tests|docs|bench)(?:/[\w./-]*[\w-])?|requirements[\w-]*\.txt)(?![\w/])"
)
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/blue-green.md",
    "docs/deploying.md",
    "docs/edge.md",
)
SHELL = [block for page in PAGES for block in blocks(page, "sh", "console") if not block.mark]


def lines(block: Block) -> list[str]:
    """The commands, without comments and without the prompt of a console."""
    joined = block.text.replace("\\\n", " ")
    found = [line.removeprefix("$ ") for line in joined.splitlines() if block.language == "sh" or line.startswith("$ ")]
    return [line for line in found if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_a_shell_understands_it(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input="\n".join(lines(block)), capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_what_it_names_is_there(block: Block) -> None:
    for line in lines(block):
        for path in HERE.findall(line):
            assert (ROOT / path).exists(), f"{block}: there is no {path}"
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, check=True, timeout=60)

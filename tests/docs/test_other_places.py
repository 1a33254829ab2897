"""Lines for other machines (sudo, docker, kubectl, pip), which the suite cannot run: what they name is there at least.

Those with `sudo` are run by `make machines`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from downhaul.settings import Settings
from downhaul_server.cli import main
from support.guides import ROOT, Block, blocks

EXTRAS = {
    name: set(tomllib.loads((ROOT / path).read_text("utf-8"))["project"].get("optional-dependencies", {}))
    for name, path in (("downhaul", "sdk/pyproject.toml"), ("downhaul-server", "pyproject.toml"))
}
HERE = re.compile(
    r"(?<![\w./-])\.?/?((?:deploy|sdk|tests|docs|bench)(?:/[\w./-]*[\w-])?|requirements[\w-]*\.txt)(?![\w/])"
)
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/blue-green.md",
    "docs/deploying.md",
    "docs/edge.md",
    "docs/openfeature.md",
    "docs/running.md",
    "docs/sdk.md",
    "docs/watching.md",
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
            assert _make_knows(words[1]), f"{block}: make {words[1]}"
        for package, extras in re.findall(r"(downhaul(?:-server)?)\[([\w,]+)\]", line):
            assert set(extras.split(",")) <= EXTRAS[package], f"{block}: {line}"
        if words[0] == "export":
            named = {word.partition("=")[0].removeprefix("DOWNHAUL_").lower() for word in words[1:]}
            assert named <= set(Settings._fields), f"{block}: {line}"
        if words[0] == "downhaul-server":
            command = main.commands[words[1]]
            assert command.make_context(words[1], words[2:], resilient_parsing=False).params is not None


def test_the_line_for_cron_is_five_fields_and_a_command() -> None:
    (line,) = blocks("docs/operations.md", "text")
    *fields, command = line.text.split(None, 5)
    assert all(re.fullmatch(r"\*|\d+", field) for field in fields)
    program, verb, *words = shlex.split(re.sub(r"\$\(.*?\)", "1", command))
    assert program == "downhaul-server"
    assert main.commands[verb].make_context(verb, words).params is not None


def _make_knows(target: str) -> bool:
    return bool(re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def test_the_fragment_for_nginx_is_one(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        if os.environ.get("CI"):
            pytest.fail("NO NGINX: `make nginx` installs one")
        pytest.skip("no nginx on this machine")
    (fragment,) = blocks("docs/running.md", "nginx")
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        "http { access_log off; upstream downhaul { server 127.0.0.1:8080; }\n"
        f"server {{ listen unix:{tmp_path}/socket;\n{fragment.text}}} }}\n"
    )
    done = subprocess.run(
        ["nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr

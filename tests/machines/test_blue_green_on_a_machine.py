"""Blue-green by flag, as docs/blue-green.md tells it, in the terminals of a Debian that has just been installed.

Tests of the edge look at each step more closely; here all of it is typed as it stands, the lines with `sudo` too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.guides import ROOT, blocks
from support.machine import AS_READERS_DO, Machine
from support.typed import Terminal

pytestmark = pytest.mark.machine

PAGE = "docs/blue-green.md"
GUIDE = {block.mark.removeprefix("tried by tests/edge: ") or "proxy": block.text for block in blocks(PAGE, "sh")}
DEBIAN_PACKAGES = ("make", "python3")
"""What has to be there for `make run`, as the README says."""
LONG_S = 900
LEFT_RUNNING = "blue, runs until it is ended", "green, runs until it is ended"


@pytest.fixture(scope="module")
def terminals(machine: Machine) -> Iterator[list[Terminal]]:
    """Four of one reader's, all in the folder of the repository."""
    for path, text in AS_READERS_DO.items():
        machine.write(path, text)
    with ExitStack() as stack:
        yield [stack.enter_context(machine.terminal()) for _ in range(4)]


def test_the_guide_from_top_to_bottom(machine: Machine, terminals: list[Terminal]) -> None:
    asked, first, blue, green = terminals
    (nginx,) = re.findall(r"You need nginx \(`(sudo [^`]+)`\)", (ROOT / PAGE).read_text("utf-8"))
    asked.type(nginx)
    _leave_running(first, "make run", "run")
    machine.wait("curl -sf http://127.0.0.1:8080/readyz", "make run", LONG_S)

    said = {}
    for step in GUIDE:
        if step in LEFT_RUNNING:
            terminal, port = (blue, 8091) if step.startswith("blue") else (green, 8092)
            _leave_running(terminal, GUIDE[step], step.split(",")[0])
            machine.wait(f"curl -sf http://127.0.0.1:{port}/", step)
            continue
        if step == "flagger":  # "Goes to /etc/nginx/conf.d", as the head of the file says
            asked.type("sudo cp deploy/nginx/gate.conf /etc/nginx/conf.d/ && sudo nginx -t && sudo nginx -s reload")
            machine.wait("curl -s http://127.0.0.1:8085/", "nginx listens there, too")
        said[step] = asked.type(GUIDE[step])
        if "rollout" in GUIDE[step] or "downhaul kill" in GUIDE[step]:
            said[f"{step}, looked"] = asked.type(GUIDE["look"])

    assert '"color":"blue"' in said["proxy"]
    assert said["look"].split() == ["20", '"color":"blue"']
    assert said["all, looked"].split() == ["20", '"color":"green"']
    assert said["kill, looked"].split() == ["20", '"color":"blue"']
    assert "green" in said["half, looked"] and said["restore, looked"] == said["half, looked"]
    assert said["wait"] == "shop/go-on is on\n"
    assert '"open":true' in said["go on"] and '"open":true' in said["flagger"]


def _leave_running(terminal: Terminal, text: str, name: str) -> None:
    """A program that stays in its terminal; what it prints goes to a file beside the repository."""
    terminal.type(f"{{ {text.rstrip()}\n}} >../{name}.log 2>&1 &")

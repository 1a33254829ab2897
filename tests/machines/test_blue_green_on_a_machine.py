"""Blue-green by flag, as docs/blue-green.md tells it, in the terminals of a Debian that has just been installed.

The flags and the ways of visitors are looked at by tests/edge, much faster; here it is the set-up, with `sudo`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.guides import blocks
from support.machine import Machine
from support.typed import Terminal
from support.waiting import wait_until

pytestmark = pytest.mark.machine

GUIDE = blocks("docs/blue-green.md", "sh")
MARKED = {block.mark.removeprefix("tried by tests/edge: "): block.text for block in GUIDE if block.mark}
(PROXY,) = (block.text for block in GUIDE if not block.mark)
DEBIAN_PACKAGES = ("make", "python3")


@pytest.fixture(scope="module")
def terminal(machine: Machine) -> Iterator[Terminal]:
    machine.write("/etc/apt/apt.conf.d/90yes", 'APT::Get::Assume-Yes "true";\n')
    with machine.terminal() as terminal:
        yield terminal


def test_make_run(machine: Machine, terminal: Terminal) -> None:
    import time
    t=time.time()
    other = machine.terminal()
    print(other.type("(make run >make.log 2>&1 &)"))
    try:
        wait_until(lambda: machine.attempt("curl -sf localhost:8080/readyz")[0] == 0, "make run", 600)
    finally:
        print(machine.run("tail -60 /home/keeper/downhaul/make.log; ps aux; ls /home/keeper/downhaul/.data; which redis-server; true"))
        print(time.time()-t)

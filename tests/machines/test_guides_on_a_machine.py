"""The guides for machines without containers, typed as they stand into a Debian that has just been installed."""

from __future__ import annotations

import pytest
from support.machine import Machine

pytestmark = pytest.mark.machine


def test_it_is_a_machine_of_its_own(machine: Machine) -> None:
    assert machine.run("systemctl is-system-running").strip() == "running"
    assert "uid=0(root)" in machine.terminal().type("sudo id")

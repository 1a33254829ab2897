"""What holds where a primary is stopped holds where the network cuts it off, too: the same tests, in a network of their
own in which packets are dropped (`support/partitions.py`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.machine

ROOT = Path(__file__).parents[2]
INSIDE = 'ip link set lo up && exec "$@"'
PATIENCE_S = 900


@pytest.mark.parametrize(
    "module",
    [
        "tests/store/test_sentinel.py",
        "tests/faults/test_failover.py",
        "tests/faults/test_random_failover.py",
    ],
)
def test_a_primary_may_be_cut_off(module: str) -> None:
    assert all(map(shutil.which, ("unshare", "ip", "iptables"))), "deploy/setup.sh machines installs what is missing"
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "support.partitions", "-p", "no:cacheprovider", module]
    done = subprocess.run(
        ["unshare", "--net", "sh", "-euc", INSIDE, "sh", *tests],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr

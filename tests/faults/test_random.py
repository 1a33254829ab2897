"""Random faults against the whole of Downhaul: real servers, a real Redis, real instances, every line through a proxy.

Short in a test run: one seed that is always the same, and one of the day. With DOWNHAUL_FAULTS_MINUTES=30 (see
`make faults`) it goes on, with new seeds, for so long. A failure says its seed; DOWNHAUL_FAULTS_SEED repeats it (with
`--timeout=0`: a long round takes more than a test may).
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faults.checker import check
from faults.rounds import play

pytestmark = [pytest.mark.redis, pytest.mark.slow]

MINUTES = float(os.environ.get("DOWNHAUL_FAULTS_MINUTES", "0"))
SEED = os.environ.get("DOWNHAUL_FAULTS_SEED", "")
TODAY = int(f"{datetime.now(UTC):%Y%m%d}")
SHORT_S, LONG_S = 7.0, 45.0
SHOWN = 30


@pytest.mark.parametrize("seed", [1, TODAY], ids=["always the same", "of the day"])
def test_what_was_promised_holds_whatever_happens(tmp_path: Path, seed: int) -> None:
    hold(tmp_path, seed, seconds=SHORT_S)


if SEED:

    def test_one_seed_again(tmp_path: Path) -> None:
        again(tmp_path, int(SEED))


if MINUTES:

    def test_it_holds_for_long(tmp_path: Path) -> None:
        end, seed = time.monotonic() + MINUTES * 60, int(time.time())
        while time.monotonic() < end:
            again(tmp_path / str(seed), seed)
            seed += 1


def again(folder: Path, seed: int) -> None:
    """A long round."""
    folder.mkdir(exist_ok=True)
    hold(folder, seed, seconds=LONG_S, longest_fault_s=25.0 if seed % 3 == 0 else 4.0, disaster=seed % 4 == 0)


def hold(folder: Path, seed: int, **how: object) -> None:
    """Play a round, and check it."""
    recording = play(folder, seed, **how)  # type: ignore[arg-type]
    done = [operation for operation in recording.operations if operation.acknowledged]
    print(f"  {len(done)} of {len(recording.operations)} operations were acknowledged; {recording.convergence}")
    assert len(done) >= 5, "hardly anything was acknowledged: this proves nothing"
    faults = check(recording)
    assert not faults, "\n".join((f"seed {seed}: {len(faults)} faults", *faults[:SHOWN]))

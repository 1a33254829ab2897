"""docs/security.md promises nothing without a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = [line for line in GUIDE.partition("## What is not met")[0].splitlines() if re.match(r"\| \d+\.\d+\.\d+", line)]


def test_each_item_names_a_test_and_each_test_is_there() -> None:
    assert len(ROWS) > 50
    missing = []
    for row in ROWS:
        proofs = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert proofs, f"nothing proves {row}"
        for path, name in proofs:
            file = ROOT / path
            if not file.exists() or f"def {name}(" not in file.read_text(encoding="utf-8"):
                missing.append(f"{path}::{name}")
    assert not missing


def test_what_is_not_met_is_said_with_its_level() -> None:
    rows = GUIDE.partition("## What is not met")[2]
    assert len(re.findall(r"^\| \d+\.\d+\.\d+[\d., ]* \| [123, ]+ \| \w", rows, re.MULTILINE)) >= 8

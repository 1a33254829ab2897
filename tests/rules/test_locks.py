"""What is installed is named by version and hash, from no particular address."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted(
    path.relative_to(ROOT) for path in [*ROOT.glob("requirements*.txt"), *ROOT.glob("bench/requirements*.txt")]
)


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if entry and not entry.startswith("#")]

    assert len(entries) > 5
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._\[\]-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_no_address_is_locked(lock: Path) -> None:
    assert not re.search(r"https?://|--index-url|file:", (ROOT / lock).read_text(encoding="utf-8"))


def test_so_are_the_packages_for_node() -> None:
    lock = json.loads((ROOT / "tests/ofrep/clients/package-lock.json").read_text(encoding="utf-8"))
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert len(packages) > 5
    for name, package in packages.items():
        assert package["version"] and package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name


def test_the_lock_of_uv_stays_out() -> None:
    assert "uv.lock" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()

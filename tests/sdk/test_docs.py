"""The guide says what the code does: every setting, every call, every example."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import pytest
from downhaul import flags
from downhaul.health import Status
from downhaul.settings import Arguments, Settings
from support.guides import Block, blocks

GUIDE = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()
EXAMPLES = [*blocks("docs/sdk.md", "python"), *blocks("sdk/README.md", "python")]


def rows(title: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    section = GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_setting_is_in_the_guide_with_its_default() -> None:
    told = {name.strip("`"): default for name, default, _ in rows("Settings")}
    assert list(told) == [f"DOWNHAUL_{name.upper()}" for name in Settings._fields] + ["DOWNHAUL_AUTOSTART"]
    for each in ("poll_interval", "timeout"):
        assert float(told[f"DOWNHAUL_{each.upper()}"].strip("`")) == getattr(Settings(), each)
    assert set(get_type_hints(Arguments)) == set(Settings._fields)


def test_every_call_is_in_the_guide() -> None:
    told = set(re.findall(r"`(\w+)\(", " ".join(row[0] for row in rows("Calls"))))
    assert told == {name for name in flags.__all__ if name.islower() and name != "client"}
    assert all(callable(getattr(flags, name)) and getattr(flags, name).__doc__ for name in told)


def test_every_state_is_in_the_guide() -> None:
    told = set(re.findall(r"`(\w+)`", " ".join(row[2] for row in rows("When the service is away"))))
    states = set(re.findall(r"`(\w+)`", (Status.__doc__ or "").split("`age_s`")[0])) - {"state"}
    assert states <= told


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_every_example_runs(example: Block, request: pytest.FixtureRequest) -> None:
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(example.text, str(example), "exec"), names)  # noqa: S102 -- our own documentation
    for name, test in names.items():
        if name.startswith("test_") and callable(test):
            test(request.getfixturevalue("flags"))

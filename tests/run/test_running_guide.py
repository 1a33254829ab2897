"""docs/running.md against the code: every setting, every default, every command."""

from __future__ import annotations

import re
from pathlib import Path

from downhaul_demo.catalogue import FLAGS
from downhaul_server import settings, signing_in
from downhaul_server.cli import main
from downhaul_server.settings import Settings

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "running.md").read_text("utf-8")
NUMBERS = {12: "twelve", 13: "thirteen", 14: "fourteen", 15: "fifteen"}


def documented() -> dict[str, str]:
    """Setting -> default, as the table gives it."""
    rows = re.findall(r"^\| `(DOWNHAUL_\w+)`(?:, or `(DOWNHAUL_\w+)`)? \| ([^|]+) \|", GUIDE, re.MULTILINE)
    return {name: default.strip("` ") for one, other, default in rows for name in (one, other) if name}


def test_the_table_names_every_setting_that_is_read_and_no_other() -> None:
    source = Path(settings.__file__).read_text("utf-8") + Path(signing_in.__file__).read_text("utf-8")
    read = set(re.findall(r'source\.(?:read|secret)\("(DOWNHAUL_\w+)"', source))
    read |= {f"{name}_FILE" for name in re.findall(r'source\.secret\("(DOWNHAUL_\w+)"', source)}
    assert set(documented()) == read


def test_the_defaults_are_the_defaults() -> None:
    found = Settings.from_environment({"HOME": "/home/ada"})
    table = documented()
    assert table["DOWNHAUL_BIND"] == found.bind
    assert Path(table["DOWNHAUL_DATA_DIR"]).expanduser() == found.data_dir
    for name in ("workers", "default_environment", "log_level", "log_format", "redis_replicas", "max_body_bytes"):
        assert table[f"DOWNHAUL_{name.upper()}"] == str(getattr(found, name))


def test_every_command_and_option_is_mentioned() -> None:
    for name, command in main.commands.items():
        assert f"downhaul-server {name}" in GUIDE
        for option in (option for parameter in command.params for option in parameter.opts):
            assert option in GUIDE, f"{name} {option}"


def test_the_number_of_demonstration_flags() -> None:
    assert f"makes {NUMBERS[sum(map(len, FLAGS.values()))]} flags" in GUIDE

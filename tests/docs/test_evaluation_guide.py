"""docs/evaluation.md is enough to write an SDK by: its functions, its snapshot and its tables against the engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import Any

import pytest
from downhaul.engine import Reason, explain
from downhaul.engine.operators import OPERATORS
from downhaul.snapshot import read_snapshot
from support.guides import ROOT, blocks

PAGE = "docs/evaluation.md"
GUIDE = (ROOT / PAGE).read_text("utf-8")
PINNED: list[dict[str, Any]] = json.loads((ROOT / "tests/engine/positions.json").read_text("ascii"))
(SNAPSHOT,) = blocks(PAGE, "json")
(PYTHON,) = blocks(PAGE, "python")
(JAVASCRIPT,) = blocks(PAGE, "js")
(FORMULA,) = blocks(PAGE, "text")


def rows(title: str) -> list[list[str]]:
    """The cells of the last table under a heading."""
    section = re.split(r"\n##+ ", GUIDE.split(f" {title}\n")[1])[0]
    table = section.rpartition("|---|")[2].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def named_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]*)`", cell)


def functions() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(PYTHON.text, names)  # noqa: S102 -- our own documentation
    return names


def test_the_python_functions_give_every_pinned_position() -> None:
    position = functions()["position"]
    assert [position(case["salt"], case["unit"] * case["repeat"]) for case in PINNED] == [
        case["position"] for case in PINNED
    ]


def test_so_do_those_in_javascript() -> None:
    ask = (
        '\nconst cases = JSON.parse(require("fs").readFileSync(0));'
        "\nconsole.log(JSON.stringify(cases.map((c) => position(c.salt, c.unit.repeat(c.repeat)))));"
    )
    done = subprocess.run(
        [_node(), "-e", JAVASCRIPT.text + ask], input=json.dumps(PINNED), capture_output=True, text=True, timeout=60
    )
    assert json.loads(done.stdout or "0") == [case["position"] for case in PINNED], done.stderr


def _node() -> str:
    found = shutil.which("node") or shutil.which("nodejs")
    if found:
        return found
    message = "NO NODE: this test needs Node (`make clients` installs it)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def test_the_formula_is_that() -> None:
    murmur = functions()["murmur3_x86_32"]
    for case in PINNED:
        names = {
            "salt": case["salt"],
            "unit": case["unit"] * case["repeat"],
            "utf8": str.encode,
            "murmur3_x86_32": lambda data, seed: murmur(data),
        }
        exec(FORMULA.text, names)  # noqa: S102 -- our own documentation
        assert names["position"] == case["position"]


def test_the_table_of_positions_is_pinned_as_well() -> None:
    pinned = {(case["salt"], case["unit"] * case["repeat"]): case["position"] for case in PINNED}
    told = {
        (named_in(salt)[0], named_in(unit)[0]): int(position)
        for salt, unit, position in rows("Positions to test against")
    }
    assert len(told) >= 10
    assert told == {key: pinned[key] for key in told}


def test_the_snapshot_is_one_that_an_sdk_takes_and_answers_as_the_table_says() -> None:
    ruleset = read_snapshot(SNAPSHOT.text.encode(), "checkout").ruleset
    answers = rows("The snapshot")
    assert len(answers) == 5
    for context, variant, reason, rule in answers:
        found = explain(ruleset, "new-checkout", json.loads(named_in(context)[0]))
        assert (found.variant, found.reason, found.rule or "") == (*named_in(variant), *named_in(reason), rule)


def test_every_member_of_the_snapshot_is_explained() -> None:
    told = set(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", GUIDE.split("## The ladder")[0], re.MULTILINE))
    explained = {name for cell in told for name in named_in(cell)} | {"service", "environment"}
    assert set(json.loads(SNAPSHOT.text)) <= explained


def test_every_operator_and_every_reason_is_explained() -> None:
    assert [name for op, _ in rows("Conditions") for name in named_in(op)] == list(OPERATORS)
    ladder = " ".join(row[-1] for row in rows("The ladder"))
    assert {str(reason) for reason in Reason} <= set(named_in(ladder))

"""What a call of `enabled` costs, and what a running client costs, as ratios to this machine's floor.

    python bench/engine.py [--peers] [--json FILE]

The floor is a bare function call plus a dict look-up. Absolute times differ between machines and moments; ratios within
one run hardly do. `--peers` measures other vendors' SDKs on the same flags in the same run, in a virtual environment of
their own. The figures are printed as a table and written as JSON to bench/results/engine.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from contextvars import Context
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import flags as measured  # noqa: E402
import process  # noqa: E402
from downhaul.engine import change_ruleset, compile_ruleset, decode_ruleset  # noqa: E402
from downhaul.frozen import Frozen  # noqa: E402
from downhaul.tables import Compiled  # noqa: E402
from ours import KNOWN, Work, answers_over, enabled_over, floor  # noqa: E402
from timing import nanoseconds  # noqa: E402


@dataclass(frozen=True)
class Row:
    """One line of the table. `reach` is the most that DESIGN allows, in the unit of `value`."""

    name: str
    value: float
    unit: str
    reach: float | None = None
    detail: str = ""

    @property
    def reached(self) -> bool | None:
        return None if self.reach is None else self.value <= self.reach


def call(enabled: Callable[..., bool], name: str) -> Work:
    """`enabled(name, user=..., country=..., plan=...)`, the context given as keywords."""

    def run(times: int) -> None:
        for _ in repeat(None, times):
            enabled(name, user="user-123", country="DE", plan="pro")

    return run


def call_for_user(enabled: Callable[..., bool], name: str) -> Work:
    """`enabled(name, user=...)`."""

    def run(times: int) -> None:
        for _ in repeat(None, times):
            enabled(name, user="user-123")

    return run


def evaluation_rows() -> list[Row]:
    few = enabled_over(measured.MEASURED)
    many = enabled_over(measured.MEASURED | measured.many(5_000))
    assert [few("plain-on"), few("killed"), few("members", user="user-999"), few("members", user="x")] == [1, 0, 1, 0]
    candidates = {
        "floor": floor(),
        "plain on": call_for_user(few, "plain-on"),
        "killed": call_for_user(few, "killed"),
        "25 % split": call_for_user(few, "split-25"),
        "targeting, then 50 %": call(few, "targeting"),
        "member of 1,000": call_for_user(few, "members"),
        "plain on, 5,000 flags loaded": call_for_user(many, "plain-on"),
        "member of 1,000, 5,000 flags loaded": call_for_user(many, "members"),
    }
    reaches = {"plain on": 5, "killed": 5, "25 % split": 9, "targeting, then 50 %": 14}
    reaches["plain on, 5,000 flags loaded"] = 5
    taken = nanoseconds(candidates)
    rows = [Row("floor: a call and a look-up in a dict", taken.pop("floor"), "ns")]
    return rows + [
        Row(f"enabled: {name}", ns / rows[0].value, "x floor", reaches.get(name), f"{ns:.0f} ns")
        for name, ns in taken.items()
    ]


def getter_rows() -> list[Row]:
    """What else there is than `enabled`, and what `enabled` costs on the longer way."""
    many = measured.MEASURED | measured.many(5_000)
    usual, frozen, heard = (answers_over(many) for _ in range(3))
    block = Frozen(frozen)
    heard.listen(lambda details, context: None)

    def in_a_block(times: int) -> None:
        with block:
            for _ in repeat(None, times):
                frozen.enabled("plain-on", user="user-123")

    def beside_a_block(times: int) -> None:
        with block:
            Context().run(call_for_user(frozen.enabled, "plain-on"), times)

    def blocks(times: int) -> None:
        for _ in repeat(None, times):
            with Frozen(usual):
                pass

    def details(times: int) -> None:
        for _ in repeat(None, times):
            usual.details("plain-on", False, {"user": "user-123"}, "boolean")

    taken = nanoseconds(
        {
            "enabled": call_for_user(usual.enabled, "plain-on"),
            "details, or a getter by type": details,
            "enabled, in a frozen block": in_a_block,
            "enabled, beside a frozen block": beside_a_block,
            "enabled, somebody listens": call_for_user(heard.enabled, "plain-on"),
            "a frozen block, begun and ended": blocks,
        }
    )
    ours = taken.pop("enabled")
    return [Row(f"5,000 flags: {name}", ns / ours, "x enabled", None, f"{ns:.0f} ns") for name, ns in taken.items()]


def compile_rows() -> list[Row]:
    documents = measured.many(1_000)
    data = {"flags": documents, "segments": {}}
    ruleset = decode_ruleset(data)
    before = Compiled().then(ruleset, KNOWN, {})
    changes = [{"flag-500": measured.flag("flag-500", killed=killed)} for killed in (True, False)]

    def decode(times: int) -> None:
        for _ in repeat(None, times):
            decode_ruleset(data)

    def compile_all(times: int) -> None:
        for _ in repeat(None, times):
            compile_ruleset(ruleset, KNOWN)

    def apply(times: int) -> None:
        for number in range(times):
            before.then(change_ruleset(ruleset, changes[number % 2]), KNOWN, {}).tables()

    taken = nanoseconds({"decode": decode, "compile": compile_all, "apply": apply}, rounds=7)
    return [
        Row("decode 1,000 flags", taken["decode"] / 1e6, "ms"),
        Row("compile 1,000 flags", taken["compile"] / 1e6, "ms", 150),
        Row("apply a change of one flag to 1,000", taken["apply"] / 1e6, "ms", 1),
    ]


def process_rows() -> list[Row]:
    return [
        Row("import downhaul and its flags", process.import_ms(), "ms", 30),
        Row("memory of a running client beyond requests", process.memory_mb(), "MB", 5, "100 flags loaded"),
        Row("threads of a running client", process.threads(), "", 1),
    ]


def peer_rows(found: dict[str, Any]) -> list[Row]:
    ours = found["results"]["Downhaul"]
    rows = []
    for peer, cases in found["results"].items():
        for case, ns in cases.items():
            ratio = f"{ns / ours[case]:.1f} x Downhaul" if peer != "Downhaul" and case in ours else ""
            rows.append(Row(f"{peer}: {case}", ns / 1000, "µs", None, ratio))
    return rows


def print_table(rows: list[Row]) -> None:
    width = max(len(row.name) for row in rows)
    for row in rows:
        verdict = {True: "reached", False: "NOT REACHED", None: ""}[row.reached]
        limit = f"at most {row.reach:g}" if row.reach is not None else ""
        print(f"{row.name:<{width}}  {row.value:>9.2f} {row.unit:<8} {limit:<12} {verdict:<12} {row.detail}".rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", action="store_true", help="measure other vendors' SDKs, too (installs them)")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "engine.json", metavar="FILE")
    arguments = parser.parse_args()
    rows = evaluation_rows() + getter_rows() + compile_rows() + process_rows()
    print_table(rows)
    report: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "rows": [asdict(row) | {"reached": row.reached} for row in rows],
    }
    if arguments.peers:
        import peers

        report["peers"] = peers.run()
        print()
        print_table(peer_rows(report["peers"]))
        for name, reason in report["peers"]["errors"].items():
            print(f"{name}: {reason}")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten to {arguments.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

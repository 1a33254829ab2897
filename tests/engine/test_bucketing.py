"""Positions never change: not between processes, machines or releases. Growing a share takes it away from nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from downhaul.engine import position
from downhaul.engine.bucketing import WHOLE, hash_of, thresholds, unit_text

PINNED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "positions.json").read_text(encoding="ascii"))


def murmur3_x86_32(data: bytes) -> int:
    """Austin Appleby's algorithm, written down a second time so that the library is not its own judge."""
    mask, state = 0xFFFFFFFF, 0
    whole = len(data) // 4 * 4

    def mixed(block: bytes) -> int:
        k = int.from_bytes(block, "little") * 0xCC9E2D51 & mask
        return ((k << 15 | k >> 17) & mask) * 0x1B873593 & mask

    for start in range(0, whole, 4):
        state ^= mixed(data[start : start + 4])
        state = ((state << 13 | state >> 19) & mask) * 5 + 0xE6546B64 & mask
    state ^= mixed(data[whole:]) ^ len(data)
    state = (state ^ state >> 16) * 0x85EBCA6B & mask
    state = (state ^ state >> 13) * 0xC2B2AE35 & mask
    return state ^ state >> 16


def test_enough_positions_are_pinned() -> None:
    assert len(PINNED) >= 40


@pytest.mark.parametrize("case", PINNED, ids=lambda case: f"{case['salt']}:{case['unit'][:12]}x{case['repeat']}")
def test_a_position_is_what_it_has_always_been(case: dict[str, Any]) -> None:
    assert position(case["salt"], case["unit"] * case["repeat"]) == case["position"]


@pytest.mark.parametrize("length", range(9))
def test_the_hash_is_murmur3_for_every_length_of_the_tail(length: int) -> None:
    text = "äbcdefgh"[:length]

    assert hash_of(text) == murmur3_x86_32(text.encode("utf-8"))


def test_a_lone_surrogate_has_a_position_too() -> None:
    assert position("checkout/new-checkout", "\ud800") == 38039


def test_a_quarter_of_all_units_is_a_quarter() -> None:
    inside = sum(position("checkout/new-checkout", f"user-{number}") < 25_000 for number in range(100_000))

    assert 24_500 <= inside <= 25_500


def test_two_salts_choose_independently() -> None:
    both = sum(position("one", f"{n}") < 50_000 and position("other", f"{n}") < 50_000 for n in range(20_000))

    assert 4_700 <= both <= 5_300


def test_a_threshold_is_the_first_hash_beyond_a_weight() -> None:
    for weight in (0, 1, 3, 7, 24_999, 25_000, 33_333, 99_999, WHOLE):
        (bound,) = thresholds([weight])

        assert bound == 0 or (bound - 1) * WHOLE >> 32 < weight
        assert bound == 2**32 or bound * WHOLE >> 32 >= weight


@pytest.mark.parametrize(
    ("unit", "text"),
    [("user-1", "user-1"), ("", ""), (42, "42"), (-1, "-1"), (10**30, "1" + "0" * 30), ("007", "007")],
)
def test_strings_and_integers_are_units(unit: Any, text: str) -> None:
    assert unit_text(unit) == text


@pytest.mark.parametrize("unit", [None, True, False, 1.0, float("nan"), b"user-1", [], {}, (), object], ids=repr)
def test_nothing_else_is_a_unit(unit: Any) -> None:
    assert unit_text(unit) is None


def test_an_integer_too_long_to_be_written_is_no_unit() -> None:
    assert unit_text(10**5000) is None


def test_a_subclass_of_a_string_counts_as_its_text() -> None:
    class Loud(str):
        def __str__(self) -> str:
            return self.upper()

    assert unit_text(Loud("user-1")) == "user-1"

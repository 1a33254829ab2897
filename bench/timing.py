"""How long a call takes, on a machine that others use too: the best of many rounds, all candidates in turn."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from time import perf_counter_ns

ROUNDS = 15
ROUND_NS = 20_000_000


def nanoseconds(candidates: Mapping[str, Callable[[int], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Nanoseconds for one repetition of each candidate, a function that repeats its work `n` times.

    Candidates take turns within each round, so that a busy moment of the machine hits all of them; the best round of
    each counts.
    """
    repeats = {name: _calibrate(run) for name, run in candidates.items()}
    best = dict.fromkeys(candidates, float("inf"))
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, run in candidates.items():
                best[name] = min(best[name], _time(run, repeats[name]) / repeats[name])
    finally:
        if collecting:
            gc.enable()
    return best


def _calibrate(run: Callable[[int], object]) -> int:
    repeat = 1
    while (taken := _time(run, repeat)) < ROUND_NS // 10:
        repeat *= 2
    return max(1, int(repeat * ROUND_NS / taken))


def _time(run: Callable[[int], object], repeat: int) -> int:
    start = perf_counter_ns()
    run(repeat)
    return perf_counter_ns() - start

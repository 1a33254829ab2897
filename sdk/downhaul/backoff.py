"""When to ask again: what happened last in, seconds out."""

from __future__ import annotations

import os

CAP_S = 30.0
RETRY_AFTER_CAP_S = 300.0
_FLOOR_S = 1.0


def regular(interval: float) -> float:
    """Seconds until the next poll after a good answer: the interval, give or take a fifth, so that a fleet spreads."""
    return interval * _between(0.8, 1.2)


def after_failure(failures: int, interval: float, retry_after: float | None = None) -> float:
    """Seconds until the next try after `failures` (at least 1) failures in a row: full jitter, capped, never at once.

    The cap is low, because a process that stays away long does not hear of a kill. What the service asked for
    (`retry_after`, seconds) is honoured up to five minutes, and spread, because every process was told the same.
    """
    ceiling = min(CAP_S, interval * 2.0 ** min(failures - 1, 16))
    delay = _between(min(_FLOOR_S, ceiling), ceiling)
    if retry_after is None:
        return delay
    return max(delay, min(retry_after, RETRY_AFTER_CAP_S) * _between(1.0, 1.1))


def after_refusal(interval: float) -> float:
    """Seconds until the next try after the service refused the key: little will change soon, but it may change."""
    return min(CAP_S, interval * 6) * _between(0.8, 1.2)


def _between(low: float, high: float) -> float:
    # Not the `random` module: drawing from it would disturb programs that seed it, and forks would share its state.
    return low + (high - low) * int.from_bytes(os.urandom(4), "big") / 2**32

"""When to ask again: what happened last in, seconds out."""

from __future__ import annotations

import os

CAP_S = 30.0
RETRY_AFTER_CAP_S = 300.0
_FLOOR_S = 1.0


def regular(interval: float) -> float:
    """Seconds until the next poll after a good answer: the interval, give or take a fifth, so that a fleet spreads."""
    return interval * between(0.8, 1.2)


def after_failure(failures: int, interval: float, retry_after: float | None = None) -> float:
    """Seconds until the next try after `failures` (at least 1) failures in a row: full jitter, capped, never at once.

    The cap is low, because a process that stays away long does not hear of a kill. What the service asked for
    (`retry_after`, seconds) is honoured up to five minutes, and spread, because every process was told the same.
    """
    ceiling = min(CAP_S, interval * 2.0 ** min(failures - 1, 16))
    delay = between(min(_FLOOR_S, ceiling), ceiling)
    if retry_after is None:
        return delay
    return max(delay, min(retry_after, RETRY_AFTER_CAP_S) * between(1.0, 1.1))


def after_refusal(interval: float) -> float:
    """Seconds until the next try after the service refused the key: little will change soon, but it may change."""
    return min(CAP_S, interval * 6) * between(0.8, 1.2)


def after_stream(short: int, interval: float, retry: float | None = None) -> float:
    """Seconds until the next stream, after one that was ended in order: spread here too.

    `retry` (seconds) is what the service asked for, different for each of its streams. `short`: streams in a row, this
    one included, that ended soon; they make it longer, so that a service that ends every stream is not stormed.
    """
    if short:
        return max(after_failure(short, interval), between(0.9, 1.1) * min(retry or 0.0, RETRY_AFTER_CAP_S))
    return between(0.9, 1.1) * min(retry, RETRY_AFTER_CAP_S) if retry is not None else between(0.0, _FLOOR_S)


def between(low: float, high: float) -> float:
    """A random number of seconds from `low` to `high`."""
    # Not the `random` module: drawing from it would disturb programs that seed it, and forks would share its state.
    return low + (high - low) * int.from_bytes(os.urandom(4), "big") / 2**32

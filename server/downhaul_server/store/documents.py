"""JSON as the store writes it: one text for one value, so that digests can be compared."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LONG_TEXT = 64 * 1024


def encode(value: Any) -> str:
    """Sorted keys, no spaces, ASCII. Raises ValueError for what is not JSON (NaN, sets, objects, mixed keys)."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without the cycle collector, for decoding much at once: documents are trees, and it would walk them for seconds.

    Safe in several threads: whoever found the collector on turns it on again.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def decode(text: bytes | str) -> Any:
    """The value. Raises ValueError."""
    try:
        if len(text) < LONG_TEXT:
            return json.loads(text)
        with undisturbed():
            return json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error


def decode_object(text: bytes | str) -> dict[str, Any]:
    """The object. Raises ValueError, also for any other JSON."""
    value = decode(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, not {type(value).__name__}")
    return value

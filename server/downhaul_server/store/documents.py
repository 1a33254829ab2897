"""JSON as the store writes it: one text for one value, so that digests can be compared."""

from __future__ import annotations

import json
from typing import Any


def encode(value: Any) -> str:
    """Sorted keys, no spaces, ASCII. Raises ValueError for what is not JSON (NaN, sets, objects, mixed keys)."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error


def decode(text: bytes | str) -> Any:
    """The value. Raises ValueError."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error


def decode_object(text: bytes | str) -> dict[str, Any]:
    """The object. Raises ValueError, also for any other JSON."""
    value = decode(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, not {type(value).__name__}")
    return value

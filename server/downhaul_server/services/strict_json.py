"""JSON as we accept it: UTF-8, no duplicate names, no NaN, no half characters, no number that others cannot hold."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 100
MAX_DIGITS = 308
"""Integers with more digits overflow the double of nearly every other reader of JSON."""


class MalformedError(ValueError):
    """The body is no JSON that we accept. One sentence, fit for the client."""


def loads(raw: bytes) -> Any:
    """The value. Raises MalformedError."""
    try:
        text = raw.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=_float,
            parse_int=_int,
            parse_constant=_constant,
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("the body is not UTF-8 text") from None
    except UnicodeEncodeError:
        raise MalformedError("a text in the body has half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise MalformedError(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise MalformedError(f"the body is nested deeper than {MAX_DEPTH} levels") from None
    _bound_depth(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise MalformedError(f"the name {name[:100]!r} is there twice in one object")
        found[name] = value
    return found


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise MalformedError(f"the number {text[:50]} is too large")
    return value


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise MalformedError(f"the number {text[:50]}... is too large")
    return int(text)


def _constant(text: str) -> None:
    raise MalformedError(f"{text} is not JSON")


def _bound_depth(value: Any) -> None:
    """Level by level, so that no depth can exhaust the stack."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return
    raise MalformedError(f"the body is nested deeper than {MAX_DEPTH} levels")

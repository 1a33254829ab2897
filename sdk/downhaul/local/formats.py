"""From the text of the file to JSON data. Dates become text, and a name that is there twice is a fault."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import date, time
from typing import Any

from downhaul.local.errors import LocalFileError


def read_text(path: str, content: bytes) -> Any:
    """The data in the file, by the ending of its name. Raises LocalFileError."""
    read = READERS[os.path.splitext(path)[1].lower()]
    try:
        return _plain(read(path, content.decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise LocalFileError(path, f"cannot be read: {error}") from None


def _toml(path: str, text: str) -> Any:
    import tomllib

    return tomllib.loads(text)


def _yaml(path: str, text: str) -> Any:
    try:
        from downhaul.local import yamlreader
    except ImportError:
        raise LocalFileError(path, "needs PyYAML: pip install 'downhaul[yaml]', or write TOML") from None
    return yamlreader.load(text)


def _json(path: str, text: str) -> Any:
    return json.loads(text, object_pairs_hook=_no_name_twice)


READERS: Mapping[str, Callable[[str, str], Any]] = {".toml": _toml, ".yaml": _yaml, ".yml": _yaml, ".json": _json}
"""Ending of the file's name -> what reads its text. They raise ValueError, which says the line where it can."""


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} is there twice")
        found[name] = value
    return found


def _plain(value: Any) -> Any:
    """TOML has dates of its own; the engine has them as text."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, date | time) else value

"""The checksum of a snapshot's content: the service writes it, the SDK compares it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def checksum(flags: Mapping[str, Any], segments: Mapping[str, Any]) -> str:
    """`sha256:` and the hex digest of `{"flags", "segments"}` as JSON with sorted keys, no spaces and ASCII only.

    Raises ValueError for what is not JSON.
    """
    content = {"flags": flags, "segments": segments}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()

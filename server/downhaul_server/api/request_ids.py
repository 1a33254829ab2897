"""Request ids: those that clients and proxies send, where they are sane, else our own."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from itertools import count
from typing import Any

SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestIds:
    """One process's. Made after forking: its random part is what tells processes apart."""

    def __init__(self) -> None:
        # Asking the system for randomness at every request would cost more than the rest of a poll.
        self._process = secrets.token_hex(4)
        self._numbers = count(secrets.randbits(31))

    def of(self, environ: Mapping[str, Any]) -> str:
        """The id of a WSGI request."""
        given = environ.get("HTTP_X_REQUEST_ID")
        return given if given and SANE.fullmatch(given) else self.new()

    def new(self) -> str:
        """16 hexadecimal digits, not given before."""
        return f"{self._process}{next(self._numbers) & 0xFFFFFFFF:08x}"

"""How often somebody may fail to log in, or come with a token that is none: by Flask-Limiter, in each process's memory.

Not in Redis: a flood of guesses must not cost its disk, which kills need, and nothing is held up when it is away.
Only failures count, and a kill is never asked.
"""

from __future__ import annotations

import math
import time
from ipaddress import IPv6Address, ip_address
from typing import Final, cast

from flask import Flask, current_app
from flask_limiter import Limiter
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage

from downhaul_server.services.errors import TooMany

EXTENSION = "downhaul_rates"
MOST = 20_000
"""Counters of one process. Beyond, nobody new is counted: memory and time are worth more."""

TOKENS: Final = ("token",)
"""A request with a token that is not known: by address."""
KEYS: Final = ("key",)
"""The same where flags are evaluated: of a page with a wrong key, many visitors come from one address."""
DEPARTURES: Final = ("departure",)
"""Somebody goes to the provider of identities, which Redis remembers on its disk: by address."""
ADDRESS_ALONE: Final = frozenset({"token", "key", "departure", "log-in"})
LOG_INS: Final = ("log-in", "login", "login-there")
"""A log-in that failed: by address, by login, by both."""
LIMITS: Final = {
    "token": parse("60 per minute"),
    "key": parse("600 per minute"),
    "departure": parse("30 per minute"),
    "log-in": parse("20 per 5 minutes"),
    "login": parse("300 per hour"),  # more than one address can use up: nobody alone can lock out somebody else
    "login-there": parse("10 per 5 minutes"),
}


class Rates:
    """Of one process."""

    def __init__(self, app: Flask) -> None:
        self._limiter = Limiter(lambda: "", app=app, storage_uri="memory://", strategy="fixed-window")
        app.extensions[EXTENSION] = self

    def check(self, names: tuple[str, ...], address: str | None, login: str = "") -> None:
        """Raises TooMany."""
        for item, who in _counted(names, address, login):
            if not self._limiter.limiter.test(item, *who):
                reset, _ = self._limiter.limiter.get_window_stats(item, *who)
                raise TooMany("too many attempts have failed; wait a little", max(1, math.ceil(reset - time.time())))

    def failed(self, names: tuple[str, ...], address: str | None, login: str = "") -> None:
        """Count one."""
        if len(cast(MemoryStorage, self._limiter.storage).storage) < MOST:
            for item, who in _counted(names, address, login):
                self._limiter.limiter.hit(item, *who)

    def begin(self, names: tuple[str, ...], address: str | None, login: str = "") -> None:
        """Count a failure before it is one: of many guesses at the same time, none gets through. Raises TooMany."""
        self.check(names, address, login)
        self.failed(names, address, login)

    def succeeded(self, names: tuple[str, ...], address: str | None, login: str = "") -> None:
        """It was none."""
        for item, who in _counted(names, address, login):
            cast(MemoryStorage, self._limiter.storage).decr(item.key_for(*who))


def current() -> Rates:
    """Of the app that answers this request."""
    return cast(Rates, current_app.extensions[EXTENSION])


def _counted(names: tuple[str, ...], address: str | None, login: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
    place, person = _place(address), login.strip().lower()[:100]
    who = {
        "token": (place,),
        "key": (place,),
        "departure": (place,),
        "log-in": (place,),
        "login": (person,),
        "login-there": (place, person),
    }
    return [(LIMITS[name], (name, *who[name])) for name in names if login or name in ADDRESS_ALONE]


def _place(address: str | None) -> str:
    """Whoever has one address of IPv6 has a whole network of them."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return address or ""
    return str(int(found) >> 64) if isinstance(found, IPv6Address) else str(found)

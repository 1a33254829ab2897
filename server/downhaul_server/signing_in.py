"""Settings of logging in: how long a session lives, its cookie, and the provider of identities."""

from __future__ import annotations

from dataclasses import dataclass

HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class SigningIn:
    """How people log in."""

    idle_s: int = 8 * HOUR_S
    """DOWNHAUL_SESSION_IDLE: a session ends when nothing was asked for so long (seconds); 60 to 2592000."""
    absolute_s: int = 24 * HOUR_S
    """DOWNHAUL_SESSION_MAX: it ends so long (seconds) after the log-in; 60 to 2592000."""
    insecure_cookies: bool = False
    """DOWNHAUL_INSECURE_COOKIES=1: people may log in over plain HTTP from elsewhere than this machine."""

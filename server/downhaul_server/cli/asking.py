"""Whether somebody answers at an address, asked directly whatever proxies are set."""

from __future__ import annotations

import requests


def answers(url: str) -> bool:
    """Whether a GET succeeds within two seconds."""
    try:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(url, timeout=2).ok
    except requests.RequestException:
        return False

"""Visitors of a shop behind a proxy, all the time: what each of them has seen, and whether anything ever failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
from support.waiting import wait_until

THREADS = 4
PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class Look:
    """One request of one visitor."""

    visitor: str
    began: float
    status: int | None
    """None: no answer."""
    color: str | None
    said: Any
    """What the shop said, or what went wrong."""


class Visitors:
    """They come again and again, from several threads, until `with` ends."""

    def __init__(self, url: str, certificate: Path, cookie: str, names: Iterable[str]) -> None:
        self._url = url
        self._certificate = str(certificate)
        self._cookie = cookie
        self.names = tuple(names)
        self.looks: list[Look] = []
        self._over = threading.Event()
        shares = [self.names[start::THREADS] for start in range(THREADS)]
        self._threads = [threading.Thread(target=self._visit, args=(share,), daemon=True) for share in shares]

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=60)

    @property
    def failed(self) -> list[Look]:
        """Requests that were not answered as they should be."""
        return [look for look in self.looks if look.status != 200]

    def sides(self, since: float) -> dict[str, str | None]:
        """Where each visitor was at their last request that began after this."""
        return {look.visitor: look.color for look in self.looks if look.began > since}

    def see(self, expected: Mapping[str, str], timeout: float = 30.0) -> None:
        """Wait until each of them is there."""
        since = time.monotonic()
        wait_until(lambda: self.sides(since) == expected, "each visitor is on their side", timeout)

    def come_again(self) -> dict[str, str | None]:
        """Wait until each of them has come once more; gives where they were."""
        since = time.monotonic()
        wait_until(lambda: len(self.sides(since)) == len(self.names), "everybody has come again", 60)
        return self.sides(since)

    def paths(self) -> dict[str, list[str | None]]:
        """The sides that each visitor has been on, each as often as they came to it."""
        found: dict[str, list[str | None]] = {name: [] for name in self.names}
        for look in self.looks:
            path = found[look.visitor]
            if path[-1:] != [look.color]:
                path.append(look.color)
        return found

    def _visit(self, names: tuple[str, ...]) -> None:
        with shopper(self._certificate) as session:
            while not self._over.is_set():
                for name in names:
                    self.looks.append(self._look(session.get, name))
                time.sleep(PAUSE_S)

    def _look(self, get: Callable[..., requests.Response], name: str) -> Look:
        began = time.monotonic()
        try:
            answer = get(self._url, headers={"Cookie": f"{self._cookie}={name}"}, timeout=30)
            said = answer.json() if answer.ok else answer.text
            return Look(name, began, answer.status_code, said["color"] if answer.ok else None, said)
        except (requests.RequestException, ValueError, KeyError) as error:
            return Look(name, began, None, None, repr(error))


def shopper(certificate: Path | str) -> requests.Session:
    """A session that keeps no cookies, and trusts this certificate."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(certificate)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session

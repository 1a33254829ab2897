"""Passwords of local people: which are taken, and their argon2 hashes. At most a few are worked out at a time."""

from __future__ import annotations

import gzip
import re
import threading
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from gevent import get_hub, monkey

from downhaul_server.services.errors import Invalid, Overloaded

T = TypeVar("T")

SHORTEST, LONGEST = 12, 128
AT_ONCE = 2
"""Each takes 64 MiB and a core for some tens of milliseconds."""
PATIENCE_S = 5.0
REST = 8
"""So much has to be left of a password without what everybody could guess of it."""
DISTINCT = 5
COMMON = Path(__file__).parent / "common-passwords.txt.gz"
"""The 20,000 most common ones, lower case: Royce Williams's list, as Django (BSD licence) ships it."""
PRODUCT = "downhaul"
WORD = re.compile(r"[^\W\d_]{4,}")


class Passwords:
    """Hashes of one process."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._room = threading.BoundedSemaphore(AT_ONCE)
        self._nobodys: str | None = None

    def hash(self, password: str) -> str:
        """What is stored. Raises Overloaded."""
        return self._apart(lambda: self._hasher.hash(_normal(password)))

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is this one. Without a hash it takes as long, so that nobody learns who is there.

        Raises Overloaded.
        """
        text = _normal(password)
        fits = len(text) <= LONGEST  # a longer one is nobody's, and is not to cost more
        return self._apart(lambda: self._verify(stored if fits else None, text if fits else ""))

    def outdated(self, stored: str) -> bool:
        """Whether it was made with weaker parameters than we use now."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str | None, password: str) -> bool:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash("the password of nobody")
        try:
            return self._hasher.verify(stored or self._nobodys, password) and bool(stored)
        except (VerificationError, InvalidHashError):
            return False

    def _apart(self, work: Callable[[], T]) -> T:
        """In a real thread: whoever else this process serves is not held up."""
        if not self._room.acquire(timeout=PATIENCE_S):
            raise Overloaded("too many people log in at the same time; try again")
        try:
            patched = monkey.is_module_patched("threading")
            return get_hub().threadpool.apply(work) if patched else work()
        finally:
            self._room.release()


def check(password: str, *, about: Iterable[str] = (), field: str = "password") -> None:
    """Raises Invalid for a password that is too short or too long, or that is tried first by whoever guesses.

    `about`: what is known of the person: login, name, email.
    """
    text = _normal(password)
    if not SHORTEST <= len(text) <= LONGEST:
        raise Invalid.at(field, message=f"expected {SHORTEST} to {LONGEST} characters")
    lowered = text.lower()
    if len(set(lowered)) < DISTINCT or _is_run(lowered):
        raise Invalid.at(field, message="expected more than a few characters over and over, or in a row")
    if is_common(lowered):
        raise Invalid.at(field, message="this is one of the most common passwords: expected another one")
    rest = lowered
    for word in sorted({word.lower() for part in (*about, PRODUCT) for word in WORD.findall(part)}, key=len)[::-1]:
        rest = rest.replace(word, "")
    if len(rest) < REST:
        raise Invalid.at(
            field, message="expected less of the person's own name, login or address, or of this service's"
        )


def is_common(lowered: str) -> bool:
    """Whether it is on the list, also with digits and signs around it, or twice."""
    core = lowered.strip("0123456789!@#$%^&*()-_=+.,;:?/ ")
    half = lowered[: len(lowered) // 2]
    return bool(_common() & {lowered, core}) or (half * 2 == lowered and half in _common())


def _is_run(text: str) -> bool:
    """`abcdefghijkl`, `123456789012`: each character follows from the one before."""
    pairs = [(ord(before), ord(after)) for before, after in pairwise(text)]
    return len({(after - before) % 10 if text.isdigit() else after - before for before, after in pairs}) == 1


def _normal(password: str) -> str:
    """Keyboards write the same letter in several ways."""
    return unicodedata.normalize("NFKC", password.encode("utf-8", "replace").decode("utf-8"))


@cache
def _common() -> frozenset[str]:
    with gzip.open(COMMON, "rt", encoding="utf-8") as lines:
        return frozenset(line.strip() for line in lines)

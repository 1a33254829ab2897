"""The end of a process, also of one whose interpreter is never told of it.

`atexit` is silent in the children of multiprocessing (and of billiard, Celery's): they leave by `os._exit`. They have
finalizers instead, which are forgotten at the fork and have to be made anew in each child.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable

_FAMILY = "multiprocessing.util"


class _Works:
    """What is to be done at the end."""

    def __init__(self) -> None:
        self.all: list[Callable[[], None]] = []
        self.followed = False

    def follow(self) -> None:
        """Tell multiprocessing, if the program has loaded it: we do not."""
        util = sys.modules.get(_FAMILY)
        if util is not None and not self.followed and hasattr(util, "register_after_fork"):
            self.followed = True
            util.register_after_fork(self, _Works.arm)

    def arm(self) -> None:
        """In a child of multiprocessing, at its beginning."""
        for work in self.all:
            sys.modules[_FAMILY].Finalize(None, work, exitpriority=0)


_works = _Works()


def at_end(work: Callable[[], None]) -> Callable[[], None]:
    """Do this when the process ends in order; it may be done twice. Usable as a decorator."""
    atexit.register(work)
    _works.all.append(work)
    _works.follow()
    return work


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_works.follow)

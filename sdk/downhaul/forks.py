"""Forks: a child process gets whole modules, fresh locks and a live thread of its own, with no call by the user.

The sync thread holds `guard()` while it imports, compiles, swaps or writes a file, and never while it waits for the
network. A fork takes the same lock first, so a child never inherits a half-imported module or a half-made change.
"""

from __future__ import annotations

# `logging` takes its own lock before a fork. What is registered first is called last: with ours taken first, the thread
# that it waits for can still log, or import what asks for a logger.
import logging  # noqa: F401
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

# A fork waits no longer than this for the thread; after it the fork goes on, as it would without us.
_PATIENCE_S = 5.0


class Forkable(Protocol):
    """Something that has to be made anew in a forked child."""

    def after_fork_in_child(self) -> None: ...


_lock = threading.RLock()
_held: list[bool] = []
_members: WeakSet[Forkable] = WeakSet()


def guard() -> threading.RLock:
    """The lock of this process under which everything changes. Ask for it anew each time: a child has its own."""
    return _lock


def threads_are_greenlets() -> bool:
    """Whether gevent has patched this program: then what runs beside the caller of `fork` runs in the child too."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def are_to_come() -> bool:
    """Whether this process is there only to be forked: what is started has to be started in its children."""
    return _uwsgi.will_fork


def when_over(work: Callable[[], None]) -> None:
    """Call `work` when the fork is over. It may start threads: for gevent that is too early before its hub is new."""
    if threads_are_greenlets():
        sys.modules["gevent"].spawn(work)
    else:
        work()


def follow(member: Forkable) -> None:
    """Call `member.after_fork_in_child()` in every forked child, for as long as `member` lives."""
    _members.add(member)


def _before() -> None:
    _held.append(_lock.acquire(timeout=_PATIENCE_S))


def _after_in_parent() -> None:
    if _held.pop():
        _lock.release()


def _after_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    _held.clear()
    for member in list(_members):
        member.after_fork_in_child()


class _Uwsgi:
    """uWSGI forks its workers without telling Python: a thread of the process that it forks from, which runs at that
    moment, would leave the workers with a lock of the interpreter that nobody ever lets go of. So there it gets none.
    """

    def __init__(self) -> None:
        self.module: Any = sys.modules.get("uwsgi")
        self.forked = False
        if self.module is not None:
            self._hook()

    @property
    def will_fork(self) -> bool:
        """Whether this is the process that workers are yet to be forked from."""
        return self.module is not None and not self.forked and self.module.worker_id() == 0

    def _hook(self) -> None:
        try:  # whoever imports these later would put a hook of theirs in the place of ours
            from uwsgidecorators import postfork

            postfork(self._over)
        except Exception:  # noqa: BLE001 -- they are not there, or refuse: they do so where there is no master process
            before = getattr(self.module, "post_fork_hook", None)

            def both() -> None:
                if before is not None:
                    before()
                self._over()

            self.module.post_fork_hook = both

    def _over(self) -> None:
        self.forked = True
        _after_in_child()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
_uwsgi = _Uwsgi()

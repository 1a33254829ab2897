"""No process of ours outlives the one that looks after it, however that ends (where the system can do it: Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence

PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int, how: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel for a signal when the thread that started this process ends. Exits when `parent` is gone already.

    The request outlives exec. Start processes from a main thread: another one may end long before its process does.
    """
    if _prctl is None:
        return
    _prctl(PR_SET_PDEATHSIG, how, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def before_exec(deaf_to: Sequence[signal.Signals] = ()) -> Callable[[], None]:
    """For Popen's `preexec_fn`: the child to be ends with this process, and ignores these signals at first."""
    parent = os.getpid()

    def prepare() -> None:
        for number in deaf_to:
            signal.signal(number, signal.SIG_IGN)
        end_with_parent(parent)

    return prepare


# Looked up once, because after a fork as little as possible may happen.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform.startswith("linux") else None

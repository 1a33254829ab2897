"""No process of ours outlives the one that looks after it, however that ends (where the system can do it: Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

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


def before_exec() -> Callable[[], None]:
    """For Popen's `preexec_fn`: the child to be ends with this process."""
    parent = os.getpid()
    return lambda: end_with_parent(parent)


# Looked up once, because after a fork as little as possible may happen.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform.startswith("linux") else None

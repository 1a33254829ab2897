"""A board in shared memory on which the workers of one node tell each other which revision they serve."""

from __future__ import annotations

import mmap
import time

SLOTS = 128
PAUSE_S = 0.001


class Board:
    """Made by the gunicorn master before it forks; its memory is inherited by every worker.

    The master gives each new worker a slot (`reserve` in pre_fork, `release` in child_exit); the worker says which one
    is its own (`claim` in post_fork) before it opens its Store. A board without a claimed slot does nothing.
    """

    def __init__(self, slots: int = SLOTS) -> None:
        # One aligned 8-byte cell a worker, so a value is seen whole. 0: nobody there, or not following.
        self._cells = memoryview(mmap.mmap(-1, slots * 8)).cast("Q")
        self._free = set(range(slots))
        self._own: int | None = None

    def reserve(self) -> int:
        """In the master: a free slot for the worker about to be forked. Raises RuntimeError when none is left."""
        if not self._free:
            raise RuntimeError(f"the board has only {len(self._cells)} slots")
        slot = min(self._free)
        self._free.remove(slot)
        self._cells[slot] = 0
        return slot

    def release(self, slot: int) -> None:
        """In the master: the worker is gone, nobody waits for it any more."""
        self._cells[slot] = 0
        self._free.add(slot)

    def claim(self, slot: int) -> None:
        """In the worker: this slot is mine."""
        self._own = slot

    def publish(self, revision: int) -> None:
        """In the worker: I serve this revision now (0: I am not following, do not wait for me)."""
        if self._own is not None:
            self._cells[self._own] = revision

    def wait_others(self, revision: int, timeout: float) -> bool:
        """Wait (seconds) until every other worker that follows serves `revision`; False when the time was up."""
        deadline = time.monotonic() + timeout
        while not self._others_serve(revision):
            if time.monotonic() >= deadline:
                return False
            time.sleep(PAUSE_S)
        return True

    def _others_serve(self, revision: int) -> bool:
        if self._own is None:
            return True
        return all(cell == 0 or cell >= revision for slot, cell in enumerate(self._cells) if slot != self._own)

"""Somebody who goes on writing while Redis fails, and knows afterwards what was acknowledged."""

from __future__ import annotations

import itertools
import secrets
import threading
from dataclasses import dataclass, replace
from types import TracebackType

import redis
from downhaul_server.store import Commit, Committed, Store, StoreDiverged, StoreUnavailable
from support.store import change
from support.waiting import wait_until

PATIENCE_S = 60.0


def acknowledged(store: Store, commit: Commit) -> Committed:
    """Until it is taken: a busy machine may let a write fail, which says so, and is safe to repeat."""
    found: list[Committed] = []
    once = replace(commit, operation=commit.operation or secrets.token_hex(8))

    def taken() -> bool:
        try:
            found.append(store.commit(once))
        except StoreUnavailable:
            return False
        return True

    wait_until(taken, "a write is taken", PATIENCE_S)
    return found[0]


@dataclass(frozen=True)
class Acknowledged:
    """A write that was answered."""

    address: str
    number: int
    answer: Committed


class Writing:
    """Writes one document after the other; each is repeated under its operation id until it is answered."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.acknowledged: list[Acknowledged] = []
        self.refused: list[str] = []
        """Why a write was not taken, each time."""

    def wait_for(self, more: int) -> None:
        """Wait until so many more are acknowledged."""
        until = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= until, f"{more} more writes are acknowledged", PATIENCE_S)

    def lost(self, client: redis.Redis) -> list[Acknowledged]:
        """What was acknowledged and this Redis does not have."""
        with client:
            there = {address.decode() for address in client.hkeys("{downhaul}:docs")}
        return [each for each in self.acknowledged if each.address not in there]

    def __enter__(self) -> Writing:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        for number in itertools.count():
            address = f"flag/{self._name}/{number}"
            commit = change(address, {"number": number}, operation=f"{self._name}-{number}")
            while not self._stopping.is_set():
                try:
                    self.acknowledged.append(Acknowledged(address, number, self._store.commit(commit)))
                    break
                except (StoreUnavailable, StoreDiverged) as reason:
                    self.refused.append(str(reason))
                    self._stopping.wait(0.05)
            if self._stopping.is_set():
                return
            self._stopping.wait(0.005)

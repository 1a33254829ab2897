"""What a change survives, in words: worked out from what Redis tells and what replicas have confirmed."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul_server.store.durability import Durability, survives_failover


@pytest.mark.parametrize(
    ("wanted", "connected", "confirmed", "expected"),
    [
        (0, 0, None, "nothing: no replica is connected"),
        (1, 0, 1, "nothing: no replica is connected"),
        (0, None, None, "unknown"),
        (0, 2, None, "what the replicas had received"),
        (2, 1, 2, "what the replicas had received"),
        (1, 2, 0, "what the replicas had received"),
        (1, 1, None, "every acknowledged write"),
        (2, 2, 2, "every acknowledged write"),
        (1, 2, 1, "every acknowledged write, if the replica that has most takes over"),
    ],
)
def test_what_a_failover_keeps(wanted: int, connected: int | None, confirmed: int | None, expected: str) -> None:
    report = {"replicas_wanted": wanted, "replicas": connected, "replicas_confirmed": confirmed}
    assert survives_failover(report) == expected


class Told:
    """A Redis that tells this."""

    def __init__(self, appendfsync: str) -> None:
        self._settings = {"appendonly": "yes", "appendfsync": appendfsync, "maxmemory-policy": "noeviction"}

    def config_get(self, name: str) -> dict[str, str]:
        return {name: self._settings.get(name, "0")}

    def info(self, section: str) -> dict[str, Any]:
        return {"connected_slaves": 1}


@pytest.mark.parametrize(
    ("appendfsync", "confirmed", "expected"),
    [
        ("always", 1, "failover"),
        ("everysec", 1, "failover"),
        ("always", 0, "crash"),
        ("always", None, "crash"),
        ("everysec", 0, "uncertain"),
    ],
)
def test_what_one_change_survives(appendfsync: str, confirmed: int | None, expected: str) -> None:
    durability = Durability(Told(appendfsync), 1)  # type: ignore[arg-type]
    assert durability.of_write(confirmed) == ("failover" if confirmed else "uncertain"), (
        "before Redis has told anything"
    )
    durability.refresh()
    assert durability.of_write(confirmed) == expected

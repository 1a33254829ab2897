"""The clients keep their own patience, whatever the URL says."""

from __future__ import annotations

import pytest
from downhaul_server.store.connections import BLOCK_S, FOLLOW_TIMEOUT_S, WRITE_TIMEOUT_S, Connections

HOSTILE = "redis://127.0.0.1:1/2?socket_timeout=60&decode_responses=True&protocol=3&retry_on_timeout=True"


def test_a_url_cannot_undo_what_the_room_relies_on() -> None:
    connections = Connections.to(HOSTILE)
    for client in (connections.writes, connections.reads, connections.follower):
        options = client.connection_pool.connection_kwargs
        assert (options["decode_responses"], options["protocol"], options["db"]) == (False, 2, 2)
        assert options["retry"]._retries == 0
    assert connections.writes.connection_pool.connection_kwargs["socket_timeout"] == WRITE_TIMEOUT_S


def test_the_follower_waits_for_an_answer_longer_than_it_blocks() -> None:
    assert FOLLOW_TIMEOUT_S >= 2 * BLOCK_S


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:6379", ""])
def test_a_malformed_url_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match="scheme"):
        Connections.to(url)

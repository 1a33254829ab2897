"""The store's Redis, for commands that work beside a running server, or while none runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from downhaul_server.settings import Settings
from downhaul_server.store import Embedded
from downhaul_server.store.checkpoint import Checkpoint, CheckpointCorruptError
from downhaul_server.store.connections import Connections
from downhaul_server.store.view import Freshness, View


@contextmanager
def redis_of(settings: Settings) -> Iterator[Connections]:
    """Clients of the Redis that the settings name, else of the embedded one, which is started for as long as needed.

    Connects lazily to a given one. Raises EmbeddedError.
    """
    embedded = Embedded(settings.data_dir)
    connections = Connections.to(settings.redis_url or embedded.url)
    starts = settings.redis_url is None and not _answers(connections)
    try:
        if starts:
            embedded.start()
        yield connections
    finally:
        connections.close()
        if starts:
            embedded.stop()


def checkpoint_of(settings: Settings) -> tuple[View | None, str | None]:
    """What the checkpoint holds, and what is wrong with it; (None, None) when there is none."""
    try:
        return Checkpoint(settings.data_dir).load(Freshness()), None
    except (CheckpointCorruptError, OSError) as error:
        return None, str(error)


def _answers(connections: Connections) -> bool:
    try:
        return bool(connections.reads.ping())
    except RedisError:
        return False

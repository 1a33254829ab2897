"""Connections to whichever Redis is the primary now, as Sentinels or a Cluster say. To everybody else it is one Redis.

All that we keep is in one slot, so of a Cluster too there is one primary that matters: scripts, transactions, WAIT and
the blocking read of the log need no more than a connection to it. Each new connection asks where that is; a connection
on which it turns out that it was demoted ends, as if the network had broken.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import Connection, ConnectionPool, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    MovedError,
    NoPermissionError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
)
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from downhaul_server.redis_address import Address, Kind, RedisAddress
from downhaul_server.store.keys import META

ASK_TIMEOUT_S = 0.3
"""For each that is asked where the primary is: one of them may be on the machine that was lost."""
PRIMARY = b"master"


class Directory(Protocol):
    """Who knows where the primary is."""

    def find(self) -> Address:
        """Ask. Raises RedisError."""

    def close(self) -> None:
        """Let go of its connections."""


class Sentinels:
    """Asks one after the other; who answered last is asked first."""

    def __init__(self, address: RedisAddress) -> None:
        options = dict(address.sentinel_options)
        tls = options.pop("connection_class", None) is not None
        self._name = address.name
        self._sentinels = Sentinel(list(address.hosts), sentinel_kwargs={**options, **_patience(), "ssl": tls})  # type: ignore[no-untyped-call]

    def find(self) -> Address:
        """The primary that they agree on, or agreed on last. Raises RedisError: they know of none, or do not answer."""
        try:
            host, port = self._sentinels.discover_master(self._name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError:  # whose text tells of every client and its options
            raise RedisConnectionError(f"no Sentinel that answers knows of a primary {self._name!r}") from None
        return str(host), int(port)

    def close(self) -> None:
        """See Directory."""
        self._sentinels.close()


class Cluster:
    """Asks its nodes which of them has our slot."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._cluster: RedisCluster | None = None

    def find(self) -> Address:
        """The node that has our slot. Raises RedisError: nobody has it, or nobody answers."""
        try:
            node: Any = self._ask()
        except RedisClusterException as error:  # which is no RedisError
            raise RedisConnectionError(str(error)) from error
        return str(node.host), int(node.port)

    def close(self) -> None:
        """See Directory."""
        if self._cluster is not None:
            self._cluster.close()

    def _ask(self) -> object:
        with self._lock:
            if self._cluster is None:
                self._cluster = self._client()
            else:
                self._cluster.nodes_manager.initialize()
            return self._cluster.get_node_from_key(META)  # type: ignore[no-untyped-call]

    def _client(self) -> RedisCluster:
        options = {name: value for name, value in self._address.options.items() if name != "db"}
        tls = options.pop("connection_class", None) is not None
        return RedisCluster(
            startup_nodes=[ClusterNode(*host) for host in self._address.hosts],  # type: ignore[no-untyped-call]
            # Those that were named may be behind a name that leads to others later: they are never forgotten.
            dynamic_startup_nodes=False,
            require_full_coverage=False,
            **{**options, **_patience(retry=False), "ssl": tls},
            retry=Retry(NoBackoff(), 0),
        )


class Primary:
    """Where the primary is, for all pools of one Redis.

    As soon as one of them finds it elsewhere, the idle connections of all are dropped: a primary that was only paused
    would take what is written to it until somebody tells it that it is none any more, and all of that is lost.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._found: Address | None = None
        self._pools: list[ConnectionPool] = []

    def pool(self, *, tls: bool, **options: Any) -> ConnectionPool:
        """A pool of connections to it."""
        kind = _PrimaryTLSConnection if tls else _PrimaryConnection
        self._pools.append(ConnectionPool(connection_class=kind, primary=self, **options))
        return self._pools[-1]

    def find(self) -> Address:
        """Where it is now. Raises RedisError."""
        found = self._directory.find()
        if self._found not in (None, found):
            for pool in self._pools:
                pool.disconnect(inuse_connections=False)
        self._found = found
        return found

    def close(self) -> None:
        """Let go of who knows."""
        self._directory.close()


class _PrimaryConnection(Connection):
    def __init__(self, *, primary: Primary, **options: Any) -> None:
        self._primary = primary
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def connect(self) -> None:
        if self._sock is None:
            self.host, self.port = self._primary.find()
            super().connect()  # type: ignore[no-untyped-call]

    def on_connect(self) -> None:
        self.on_connect_check_health(check_health=True)

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health=check_health)
        # Whoever was asked may not know yet, and a replica would answer reads with what is old.
        self.send_command("ROLE", check_health=False)  # type: ignore[no-untyped-call]
        try:
            role = self.read_response()
        except NoPermissionError:
            return
        if role[0] != PRIMARY:
            raise RedisConnectionError(f"the Redis at {self.host}:{self.port} is not the primary (yet, or any more)")

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)
        except ResponseError as error:
            # Before Redis 7, what a script ran into is in the text alone.
            if isinstance(error, ReadOnlyError | MovedError) or "-READONLY" in str(error):
                self.disconnect()  # type: ignore[no-untyped-call]
                raise RedisConnectionError(
                    f"the Redis at {self.host}:{self.port} is not the primary any more"
                ) from error
            raise


class _PrimaryTLSConnection(_PrimaryConnection, SSLConnection):
    pass


def directory_of(address: RedisAddress) -> Directory:
    """For an address that is not a single Redis. Connects lazily."""
    return Cluster(address) if address.kind is Kind.CLUSTER else Sentinels(address)


def uses_tls(address: RedisAddress) -> bool:
    """Whether its connections are encrypted."""
    return "connection_class" in address.options


def _patience(*, retry: bool = True) -> dict[str, Any]:
    times: dict[str, Any] = {"socket_timeout": ASK_TIMEOUT_S, "socket_connect_timeout": ASK_TIMEOUT_S, "protocol": 2}
    return times | ({"retry": Retry(NoBackoff(), 0)} if retry else {})

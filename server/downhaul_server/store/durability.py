"""What the Redis that we were given promises to keep, asked of it, in words that an operator can act on."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from downhaul_server.redis_address import Kind

log = logging.getLogger(__name__)

UNKNOWN = "unknown"
INSPECT_EVERY_S = 5.0
"""Replicas come and go, and who asks how safe a change is wants to know of now."""
SETTINGS = ("appendonly", "appendfsync", "maxmemory-policy", "min-replicas-to-write")
EVERY_WRITE = "every acknowledged write"
PROMISES = {
    ("yes", "always"): EVERY_WRITE,
    ("yes", "everysec"): "all but about the last second",
    ("yes", "no"): "what the operating system had written",
    ("no", "always"): "at most the last snapshot",
    ("no", "everysec"): "at most the last snapshot",
    ("no", "no"): "at most the last snapshot",
}
"""(appendonly, appendfsync) -> what is there after a crash of Redis."""


class Durability:
    """The last report, asked for anew after each outage and every few seconds. A new warning is logged."""

    def __init__(self, client: redis.Redis, replicas_wanted: int, kind: Kind = Kind.SINGLE) -> None:
        self._client = client
        self._wanted = replicas_wanted
        self._kind = kind
        self._asked: float | None = None
        self._report: dict[str, Any] = {}
        self.confirmed: int | None = None
        """How many replicas have confirmed the last change of this process; None while it has made none."""

    @property
    def report(self) -> dict[str, Any]:
        """As `inspect` gives it, with what the last change has shown; empty before Redis has first answered."""
        if not self._report:
            return {}
        known = {**self._report, "kind": self._kind.value, "replicas_confirmed": self.confirmed}
        return known | {"survives_failover": survives_failover(known)}

    @property
    def warnings(self) -> list[str]:
        """See `warnings_of`."""
        return warnings_of(self.report) if self._report else []

    @property
    def durable(self) -> bool | None:
        """Whether Redis promises as much as the shipped configuration does; None where it does not tell."""
        return is_durable(self.report) if self.report else None

    def expire(self) -> None:
        """Redis went away: what comes back may promise something else."""
        self._asked = None

    def refresh(self) -> None:
        """Ask, if it is time to. Raises redis's ConnectionError and TimeoutError."""
        if self._asked is not None and time.monotonic() - self._asked < INSPECT_EVERY_S:
            return
        before = self.warnings
        self._report = inspect(self._client, self._wanted)
        self._asked = time.monotonic()
        for warning in self.warnings:
            if warning not in before:
                log.warning("store: %s", warning)

    def of_write(self, confirmed: int | None) -> str:
        """What a change survives that so many replicas have confirmed (None: none were asked).

        `failover`: the loss of the primary too. `crash`: a crash of Redis, not the loss of its disk, nor a failover.
        `uncertain`: neither for certain.
        """
        if confirmed is not None and self._wanted and confirmed >= self._wanted:
            return "failover"
        return "crash" if self._report.get("survives_crash") == EVERY_WRITE else "uncertain"


def survives_failover(report: Mapping[str, Any]) -> str:
    """What is there after the primary was lost and a replica took its place, in words."""
    wanted, connected, confirmed = report["replicas_wanted"], report["replicas"], report["replicas_confirmed"]
    if connected is None:
        return UNKNOWN
    if connected == 0:
        return "nothing: no replica is connected"
    if wanted == 0 or connected < wanted or (confirmed is not None and confirmed < wanted):
        return "what the replicas had received"
    return EVERY_WRITE if wanted >= connected else f"{EVERY_WRITE}, if the replica that has most takes over"


def inspect(client: redis.Redis, replicas_wanted: int) -> dict[str, Any]:
    """`{appendonly, appendfsync, maxmemory_policy, survives_crash, replicas, replicas_wanted, min_replicas_to_write}`.

    What Redis refuses to tell (managed ones refuse CONFIG) is "unknown", or None for the number of connected replicas.
    Raises redis's ConnectionError and TimeoutError.
    """
    settings = {name: _config(client, name) for name in SETTINGS}
    return {
        "appendonly": settings["appendonly"],
        "appendfsync": settings["appendfsync"],
        "maxmemory_policy": settings["maxmemory-policy"],
        "survives_crash": PROMISES.get((settings["appendonly"], settings["appendfsync"]), UNKNOWN),
        "replicas": _replicas(client),
        "replicas_wanted": replicas_wanted,
        "min_replicas_to_write": settings["min-replicas-to-write"],
    }


def _config(client: redis.Redis, name: str) -> str:
    try:
        found = client.config_get(name)
    except (RedisConnectionError, RedisTimeoutError):
        raise
    except ResponseError:
        return UNKNOWN
    values = [value.decode() if isinstance(value, bytes) else str(value) for value in found.values()]
    return values[0] if values else UNKNOWN


def _replicas(client: redis.Redis) -> int | None:
    try:
        return int(client.info("replication")["connected_slaves"])
    except (RedisConnectionError, RedisTimeoutError):
        raise
    except (ResponseError, KeyError):
        return None


def is_durable(report: dict[str, Any]) -> bool | None:
    """Whether a crash of Redis loses nothing that it has acknowledged; None where it does not tell."""
    if report["survives_crash"] == UNKNOWN or report["maxmemory_policy"] == UNKNOWN:
        return None
    kept = report["survives_crash"] == PROMISES["yes", "always"] and report["maxmemory_policy"] == "noeviction"
    return kept and (report["replicas"] is None or report["replicas"] >= report["replicas_wanted"])


def warnings_of(report: dict[str, Any]) -> list[str]:
    """A sentence for each way in which a report promises less than the shipped configuration does."""
    warnings = []
    if report["appendonly"] == "no":
        warnings.append("Redis keeps no append-only file (appendonly no): a crash loses acknowledged changes")
    elif report["appendonly"] == "yes" and report["appendfsync"] not in ("always", UNKNOWN):
        warnings.append(
            f"Redis syncs its append-only file late (appendfsync {report['appendfsync']}): "
            "a crash may lose the last changes"
        )
    if report["maxmemory_policy"] not in ("noeviction", UNKNOWN):
        warnings.append(
            f"Redis may evict documents when memory runs out (maxmemory-policy {report['maxmemory_policy']})"
        )
    if UNKNOWN in (report["appendonly"], report["appendfsync"], report["maxmemory_policy"]):
        warnings.append("Redis does not tell how it is configured (CONFIG GET is refused): what it keeps is not known")
    if report["replicas"] is not None and report["replicas"] < report["replicas_wanted"]:
        warnings.append(f"{report['replicas']} of {report['replicas_wanted']} replicas are connected to Redis")
    if report.get("replicas_confirmed") is not None and report["replicas_confirmed"] < report["replicas_wanted"]:
        warnings.append(
            f"the last change was confirmed by {report['replicas_confirmed']} of {report['replicas_wanted']} replicas"
        )
    if report["replicas"] and report["replicas_wanted"] == 0:
        warnings.append(
            "Redis has replicas, but no change waits for one (DOWNHAUL_REDIS_REPLICAS is 0): "
            "a failover may undo the last changes"
        )
    return warnings

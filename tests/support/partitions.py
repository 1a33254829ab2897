"""A plugin of pytest (`-p support.partitions`): a Redis that would be stopped is cut off instead, packet by packet.

A process that is stopped still has a kernel that takes connections and acknowledges what is sent. Whoever is cut off
has not: nothing comes, nothing is refused, and both sides learn it from their own patience. Needs a network of its own
(`unshare --net`) and root in it, since it drops packets by their ports. (The members of a Cluster talk to each other
from ports that nobody knows beforehand, too.)
"""

from __future__ import annotations

import subprocess
from contextlib import suppress

import pytest
from redis.exceptions import RedisError
from support.redis import RealRedis
from support.topology import asked

CHAINS = ("INPUT", "OUTPUT")


def _drop(what: str, port: int) -> None:
    for chain in CHAINS:
        for side in ("--dport", "--sport"):
            subprocess.run(["iptables", "-w", what, chain, "-p", "tcp", side, str(port), "-j", "DROP"], check=True)


def _is_primary(redis: RealRedis) -> bool:
    with suppress(RedisError), asked(redis.port) as client:
        return bool(client.execute_command("ROLE")[0] == b"master")
    return False


def pytest_configure(config: pytest.Config) -> None:
    """Of a replica the way out is not known by a port: such a one is stopped as ever."""
    stop, go_on, kill = RealRedis.pause, RealRedis.resume, RealRedis.kill
    cut: set[int] = set()

    def pause(self: RealRedis) -> None:
        if self.port in cut or not _is_primary(self):
            stop(self)
            return
        cut.add(self.port)
        _drop("--append", self.port)

    def heal(self: RealRedis) -> None:
        if self.port in cut:
            cut.remove(self.port)
            _drop("--delete", self.port)

    def resume(self: RealRedis) -> None:
        heal(self)
        go_on(self)

    def end(self: RealRedis) -> None:
        heal(self)
        kill(self)

    RealRedis.pause, RealRedis.resume, RealRedis.kill = pause, resume, end  # type: ignore[method-assign]

"""More than one Redis, as real processes: a primary with replicas behind Sentinels, and a Cluster."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.redis import RealRedis, free_port
from support.waiting import wait_until

NAME = "downhaul"
DOWN_AFTER_MS = 1500
"""Sentinels ping once a second: with less than that they take whoever is slow for lost, and fail over twice."""
NODE_TIMEOUT_MS = 1000
PATIENCE_S = 60.0
SLOTS = 16384
SLOT_KEY = "{downhaul}:meta"


def asked(port: int) -> redis.Redis:
    """A client that asks once: redis-py's ten tries would take a quarter of a minute for one that is stopped."""
    return redis.Redis(port=port, protocol=2, socket_timeout=1, retry=Retry(NoBackoff(), 0))


class Sentinel:
    """A `redis-server --sentinel` process."""

    def __init__(self, folder: Path, primary_port: int, *lines: str) -> None:
        """`lines` are appended to its configuration file, which it writes over as it learns."""
        self.port = free_port()
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "sentinel.conf").write_text(
            "\n".join(
                [
                    f"port {self.port}",
                    "bind 127.0.0.1",
                    f"dir {folder}",
                    f"sentinel monitor {NAME} 127.0.0.1 {primary_port} 2",
                    f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}",
                    f"sentinel failover-timeout {NAME} 3000",
                    f"sentinel parallel-syncs {NAME} 2",
                    *lines,
                ]
            )
            + "\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("redis-server") or shutil.which("valkey-server")
        assert binary
        with open(self.folder / "log", "ab") as output:
            self._process = subprocess.Popen(
                [binary, str(self.folder / "sentinel.conf"), "--sentinel"],
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def send(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)

    def stop(self) -> None:
        """Idempotent."""
        if self._process is not None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGKILL)
            self._process.wait(PATIENCE_S)
            self._process = None

    def client(self) -> redis.Redis:
        return asked(self.port)

    def master(self) -> dict[str, Any]:
        """What it says of the primary; nothing while it does not answer."""
        with suppress(redis.RedisError), self.client() as client:
            found = client.execute_command("SENTINEL", "MASTER", NAME)
            texts = [each.decode() for each in found] if isinstance(found, list) else []
            return dict(zip(texts[::2], texts[1::2], strict=True)) or {str(k): v for k, v in found.items()}
        return {}


class Replicated:
    """One primary and two replicas behind three Sentinels. Use it with `with`."""

    def __init__(self, folder: Path, *arguments: str, sentinel_lines: Iterable[str] = ()) -> None:
        """`arguments` are for each Redis."""
        self.common = ("--repl-diskless-sync-delay", "0", "--repl-timeout", "5", *arguments)
        first = RealRedis(folder / "redis-0", *self.common)
        follow = ("--replicaof", f"127.0.0.1 {first.port}")
        self.members = [first, *(RealRedis(folder / f"redis-{n}", *self.common, *follow) for n in (1, 2))]
        self.sentinels = [Sentinel(folder / f"sentinel-{n}", first.port, *sentinel_lines) for n in range(3)]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}"

    def primary(self) -> RealRedis:
        """The one that most Sentinels say it is."""
        said = [str(sentinel.master().get("port")) for sentinel in self.sentinels]
        return next(each for each in self.members if said.count(str(each.port)) >= 2)

    def replicas(self) -> list[RealRedis]:
        """All others."""
        primary = self.primary()
        return [each for each in self.members if each is not primary]

    def in_step(self) -> bool:
        """Whether each replica has all, and all Sentinels know of everybody."""
        try:
            primary = self.primary()
            with primary.client() as client:
                return (
                    int(client.info("replication")["connected_slaves"]) == 2
                    and client.wait(2, 200) == 2
                    and all(_agrees(sentinel.master(), primary.port) for sentinel in self.sentinels)
                )
        except (redis.RedisError, StopIteration):
            return False

    def wait_in_step(self) -> None:
        wait_until(self.in_step, "replicas and Sentinels are in step", PATIENCE_S)

    def failed_over(self, old: RealRedis) -> RealRedis:
        """Wait until the Sentinels have made another one the primary, and are done with that; give it."""
        found: list[RealRedis] = []

        def another() -> bool:
            with suppress(StopIteration, KeyError, redis.RedisError):
                primary = self.primary()
                said = [sentinel.master() for sentinel in self.sentinels]
                agreed = all((each["port"], each["flags"]) == (str(primary.port), "master") for each in said)
                if primary is not old and agreed and _role(primary) == b"master":
                    found.append(primary)
            return bool(found)

        wait_until(another, "the Sentinels have made a replica the primary", PATIENCE_S)
        return found[0]

    def heal(self) -> None:
        """All run again, and are in step. A former primary is told to follow, which Sentinels do after ten seconds."""
        for member in self.members:
            _start_again(member)
        wait_until(self._has_primary, "the Sentinels know of a primary", PATIENCE_S)
        primary = self.primary()
        for member in self.members:
            with suppress(redis.RedisError), asked(member.port) as client:
                if member is not primary and client.execute_command("ROLE")[0] == b"master":
                    client.replicaof("127.0.0.1", primary.port)
        self.wait_in_step()

    def be_patient(self, milliseconds: int = DOWN_AFTER_MS) -> None:
        """How long the Sentinels wait for a Redis that does not answer.

        (Stopped for two seconds, they would not act for thirty: that is their TILT mode.)
        """
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                client.execute_command("SENTINEL", "SET", NAME, "down-after-milliseconds", milliseconds)

    def _has_primary(self) -> bool:
        with suppress(redis.RedisError, StopIteration):
            return _role(self.primary()) == b"master"
        return False

    def __enter__(self) -> Replicated:
        try:
            _all(RealRedis.start, self.members)
            for member in self.members:
                member.arguments = self.common  # who starts again may be the primary by then
            for sentinel in self.sentinels:
                sentinel.start()
            self.wait_in_step()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for each in (*self.sentinels, *self.members):
            each.stop() if isinstance(each, Sentinel) else each.kill()


class Clustered:
    """A Cluster of three primaries with a replica each. Use it with `with`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.members = [self._member(folder / f"node-{number}", arguments) for number in range(6)]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{each.port}' for each in self.members[:4])}"

    def primary(self) -> RealRedis:
        """Of our slot, as most nodes see it."""
        said = [self._owner(member) for member in self.members]
        return next(each for each in self.members if said.count(each.port) > len(self.members) // 2 - 1)

    def failed_over(self, old: RealRedis) -> RealRedis:
        """Wait until another one has our slot, and give it."""
        found: list[RealRedis] = []

        def another() -> bool:
            with suppress(StopIteration, redis.RedisError):
                primary = self.primary()
                if primary is not old and _role(primary) == b"master":
                    found.append(primary)
            return bool(found)

        wait_until(another, "the Cluster has made a replica the primary of our slot", PATIENCE_S)
        return found[0]

    def in_step(self) -> bool:
        """Whether all slots are served, everybody knows it, and our primary's replica has all."""
        try:
            for member in self.members:
                with asked(member.port) as client:
                    info = client.execute_command("CLUSTER", "INFO")
                    if _field(info, "cluster_state") != "ok" or _field(info, "cluster_known_nodes") != "6":
                        return False
            with asked(self.primary().port) as client:
                return bool(client.wait(1, 200) == 1)
        except (redis.RedisError, StopIteration):
            return False

    def wait_in_step(self) -> None:
        wait_until(self.in_step, "the Cluster is whole", PATIENCE_S)

    def heal(self) -> None:
        """All run again, and are in step."""
        for member in self.members:
            _start_again(member)
        self.wait_in_step()

    def __enter__(self) -> Clustered:
        try:
            _all(RealRedis.start, self.members)
            self._form()
            self.wait_in_step()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for member in self.members:
            member.kill()

    def _form(self) -> None:
        first, *others = self.members
        for number, member in enumerate(self.members[:3]):
            with member.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for member in others:
            with member.client() as client:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port, _bus(first))
        for number, member in enumerate(self.members[3:]):
            with self.members[number].client() as client:
                primary_id = client.execute_command("CLUSTER", "MYID")
            with member.client() as client:
                wait_until(lambda c=client, i=primary_id: _replicates(c, i), "it knows its primary", PATIENCE_S)

    def _member(self, folder: Path, arguments: tuple[str, ...]) -> RealRedis:
        cluster = {
            "cluster-enabled": "yes",
            "cluster-config-file": str(folder / "nodes.conf"),
            "cluster-node-timeout": str(NODE_TIMEOUT_MS),
            "cluster-port": str(free_port()),
            "cluster-replica-validity-factor": "0",
            "repl-diskless-sync-delay": "0",
        }
        return RealRedis(
            folder, *(part for name, value in cluster.items() for part in (f"--{name}", value)), *arguments
        )

    def _owner(self, member: RealRedis) -> int | None:
        with suppress(redis.RedisError), asked(member.port) as client:
            slot = int(client.execute_command("CLUSTER", "KEYSLOT", SLOT_KEY))
            for first, last, (_, port, *_), *_ in _ranges(client):
                if first <= slot <= last:
                    return int(port)
        return None


def _ranges(client: redis.Redis) -> Any:
    client.set_response_callback("CLUSTER SLOTS", lambda found, **_: found)
    return client.execute_command("CLUSTER SLOTS")


def _replicates(client: redis.Redis, primary_id: Any) -> bool:
    try:
        client.execute_command("CLUSTER", "REPLICATE", primary_id)
    except redis.ResponseError:
        return False
    return True


def _bus(member: RealRedis) -> int:
    with member.client() as client:
        return int(client.config_get("cluster-port")["cluster-port"])


def _field(info: Any, name: str) -> str:
    if isinstance(info, dict):
        return str(info[name])
    lines = dict(line.split(":", 1) for line in info.decode().split())
    return str(lines[name])


def _role(member: RealRedis) -> bytes:
    with asked(member.port) as client:
        found: bytes = client.execute_command("ROLE")[0]
        return found


def _agrees(master: dict[str, Any], port: int) -> bool:
    return (
        str(master.get("port")) == str(port)
        and str(master.get("num-slaves")) == "2"
        and str(master.get("num-other-sentinels")) == "2"
        and "down" not in str(master.get("flags"))
    )


def _start_again(member: RealRedis) -> None:
    if member.is_running:
        member.resume()
    else:
        member.start()


def _all(action: Callable[[RealRedis], object], members: Iterable[RealRedis]) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(action, members))

"""`downhaul-server check`: is this machine, this data folder and this Redis fit to run the service?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import click
from redis.exceptions import RedisError

from downhaul_server import limits
from downhaul_server.cli.asking import answers
from downhaul_server.cli.failures import PROBLEM, prepared_settings, told
from downhaul_server.cli.reach import checkpoint_of, redis_of
from downhaul_server.listening import ListenError, listen
from downhaul_server.settings import Settings
from downhaul_server.store import EmbeddedError, StoreError, audit, queries
from downhaul_server.store.connections import Connections
from downhaul_server.store.durability import inspect, warnings_of
from downhaul_server.store.place import judge
from downhaul_server.store.refusals import RefusalLog
from downhaul_server.store.view import Freshness, View

OK, WARNING, BAD = "ok", "warning", "problem"
COLOURS = {OK: "green", WARNING: "yellow", BAD: "red"}
SHORT_TOKEN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    level: str
    """`ok`, `warning` or `problem`."""
    subject: str
    text: str


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON: {ok, findings: [{level, subject, text}]}.")
@told
def check(as_json: bool) -> None:
    """Check settings, data folder, limits, Redis and the log. Exit code 1 when there is a problem.

    Safe beside a running server. Without one, the embedded Redis is started for the check.
    """
    settings = prepared_settings()
    findings = list(_findings(settings))
    whole = all(finding.level != BAD for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": whole, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        for finding in findings:
            level = click.style(f"{finding.level:<8}", fg=COLOURS[finding.level])
            click.echo(f"{level} {finding.subject:<12} {finding.text}")
    raise SystemExit(0 if whole else PROBLEM)


def _findings(settings: Settings) -> Iterator[Finding]:
    for look in CHECKS:
        yield from look(settings)


def _settings(settings: Settings) -> Iterator[Finding]:
    redis = "the Redis that DOWNHAUL_REDIS_URL names" if settings.redis_url else "embedded Redis"
    yield Finding(OK, "settings", f"{settings.bind}, {settings.workers} workers, {redis}")
    if len(settings.admin_token or "") < SHORT_TOKEN:
        yield Finding(WARNING, "admin token", f"shorter than {SHORT_TOKEN} characters: it can be guessed")


def _data_folder(settings: Settings) -> Iterator[Finding]:
    mode = settings.data_dir.stat().st_mode & 0o777
    if mode & 0o077:
        yield Finding(WARNING, "data folder", f"{settings.data_dir} is open to others (mode {mode:o}): chmod 700")
    else:
        yield Finding(OK, "data folder", f"{settings.data_dir} is writable, and private")


def _limits(settings: Settings) -> Iterator[Finding]:
    limit = limits.raise_descriptor_limit()
    warning = limits.descriptor_warning(limit)
    if warning:
        yield Finding(WARNING, "limits", warning)
        return
    connections = limits.connections_of_worker(limit, settings.max_streams)
    streams = min(settings.max_streams, limits.streams_for(limit))
    held = f"a worker holds {connections} connections, {streams} of them streams"
    if streams < settings.max_streams:
        yield Finding(
            WARNING, "limits", f"{limit} open files a process: {held}, fewer than DOWNHAUL_MAX_STREAMS asks for"
        )
    else:
        yield Finding(OK, "limits", f"{limit} open files a process: {held}")


def _address(settings: Settings) -> Iterator[Finding]:
    try:
        listen(settings.host, settings.port, patience_s=0).close()
        yield Finding(OK, "address", f"{settings.bind} is free")
    except ListenError as error:
        if answers(f"http://{settings.bind}/livez"):
            yield Finding(OK, "address", f"a server answers at {settings.bind} already")
        else:
            yield Finding(BAD, "address", str(error))


def _store(settings: Settings) -> Iterator[Finding]:
    checkpoint, fault = checkpoint_of(settings)
    if fault:
        yield Finding(WARNING, "checkpoint", fault)
    elif checkpoint:
        yield Finding(OK, "checkpoint", f"revision {checkpoint.revision}, saved {checkpoint.age_s:.0f} s ago")
    try:
        with redis_of(settings) as connections:
            yield from _redis(settings, connections)
            yield from _log(connections, checkpoint)
    except RedisError as error:
        yield Finding(BAD, "redis", f"does not answer: {error}")
    except (EmbeddedError, StoreError) as error:
        yield Finding(BAD, "redis", str(error))


def _redis(settings: Settings, connections: Connections) -> Iterator[Finding]:
    report = inspect(connections.reads, settings.redis_replicas)
    yield Finding(OK, "redis", f"answers; a crash keeps {report['survives_crash']}")
    for warning in warnings_of(report):
        yield Finding(WARNING, "durability", warning)


def _log(connections: Connections, checkpoint: View | None) -> Iterator[Finding]:
    place = queries.read_place(connections.reads, checkpoint.revision if checkpoint else 0)
    judge(checkpoint, place)
    if place is None:
        yield Finding(OK, "log", "Redis is empty: the first start makes a new store")
        return
    served = checkpoint or queries.read_view(connections.reads, Freshness())
    faults = audit.verify(connections.reads, served, RefusalLog(connections))
    for fault in faults:
        yield Finding(BAD, "log", fault)
    if not faults:
        yield Finding(OK, "log", f"its hash chain is whole up to revision {place.revision}")


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (_settings, _data_folder, _limits, _address, _store)
"""In the order of the report."""

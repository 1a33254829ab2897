"""`downhaul-server recover`: an operator decides which history holds, when Redis and the servers disagree."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict

import click
from redis.exceptions import RedisError

from downhaul_server.cli.failures import CommandFailed, prepared_settings, told
from downhaul_server.cli.reach import checkpoint_of, redis_of
from downhaul_server.settings import Settings
from downhaul_server.store import StoreUnavailable, queries
from downhaul_server.store import recover as recovery
from downhaul_server.store.connections import Connections
from downhaul_server.store.view import View

WAYS = {"checkpoint": recovery.from_checkpoint, "redis": recovery.from_redis}


@click.command()
@click.option("--from", "source", type=click.Choice(sorted(WAYS)), required=True, help="Whose history shall hold.")
@click.option("--reason", required=True, help="Why; it is kept in the log.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON.")
@told
def recover(source: str, reason: str, yes: bool, as_json: bool) -> None:
    """Decide which history holds after /readyz said `diverged`: what this server served, or what Redis holds.

    Both begin a new epoch; running servers take it over by themselves.
    """
    settings = prepared_settings()
    checkpoint = _checkpoint(settings)
    with redis_of(settings) as connections:
        if not yes:
            click.echo(_what_is_there(checkpoint, connections), err=True)
            click.confirm(f"Let what {_holder(source)} hold, under a new epoch?", abort=True, err=True)
        done = WAYS[source](connections, checkpoint, actor=getpass.getuser(), reason=reason)
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        click.echo(f"Epoch {done.epoch} begins at revision {done.revision} with {done.documents} documents.")


def _checkpoint(settings: Settings) -> View:
    checkpoint, fault = checkpoint_of(settings)
    if checkpoint is None:
        raise CommandFailed(fault or f"there is no checkpoint in {settings.data_dir}: nothing to decide about")
    return checkpoint


def _what_is_there(checkpoint: View, connections: Connections) -> str:
    try:
        place = queries.read_place(connections.reads, checkpoint.revision)
    except RedisError as error:
        raise StoreUnavailable(f"Redis does not answer: {error}") from error
    stored = f"epoch {place.epoch}, revision {place.revision}" if place else "nothing"
    return (
        f"served:  epoch {checkpoint.epoch}, revision {checkpoint.revision}, {len(checkpoint)} documents "
        f"(saved {checkpoint.age_s:.0f} s ago)\nRedis:   {stored}"
    )


def _holder(source: str) -> str:
    return "this server served" if source == "checkpoint" else "Redis holds"

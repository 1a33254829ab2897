"""`downhaul-server backup` and `restore`: all that a store needs to go on, in one file, and back into a Redis."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from pathlib import Path

import click

from downhaul_server.cli.failures import CommandFailed, prepared_settings, told
from downhaul_server.cli.reach import checkpoint_of, redis_of
from downhaul_server.store import backup as backups
from downhaul_server.store import restore as restoring
from downhaul_server.store.backup import Head

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=FILE)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON.")
@told
def backup(file: Path, force: bool, as_json: bool) -> None:
    """Write everything that Redis holds of the store into FILE: documents, the whole log, secrets of webhooks.

    Safe beside running servers. The file is private (0600): it holds secrets. It is read again before it is kept.
    """
    if file.exists() and not force:
        raise CommandFailed(f"{file} is there already: name another one, or say --force")
    with redis_of(prepared_settings()) as connections:
        head = backups.write(connections, file)
    _answer(head, as_json, f"{file} holds {_told(head)}.")


@click.command()
@click.argument("file", type=FILE)
@click.option("--reason", help="Why; it is kept in the log. Needed unless --check.")
@click.option("--check", "only_check", is_flag=True, help="Read all of FILE and change nothing.")
@click.option("--replace", is_flag=True, help="Redis may hold a store, which goes.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON.")
@told
def restore(file: Path, reason: str | None, only_check: bool, replace: bool, yes: bool, as_json: bool) -> None:
    """Put what FILE holds into an empty Redis, under a new epoch, which running servers take over by themselves.

    A Redis that holds a store is left alone, unless --replace says that it may go. FILE is checked as a whole first.
    """
    head = backups.check(file)
    if only_check:
        _answer(head, as_json, f"{file} is whole: {_told(head)}.")
        return
    if not (reason or "").strip():
        raise click.UsageError("a restore needs a --reason; it is kept in the log")
    settings = prepared_settings()
    checkpoint, _ = checkpoint_of(settings)
    served = (checkpoint.epoch, *checkpoint.succeeds) if checkpoint else ()
    with redis_of(settings) as connections:
        if not yes:
            click.echo(f"{file}: {_told(head)}", err=True)
            also = " in the place of what Redis holds" if replace else ""
            click.confirm(f"Put this into Redis{also}, under a new epoch?", abort=True, err=True)
        done = restoring.restore(
            connections, file, replace=replace, also_succeeds=served, actor=getpass.getuser(), reason=reason or ""
        )
    text = f"Epoch {done.epoch} begins at revision {done.revision} with {done.documents} documents."
    click.echo(json.dumps(asdict(done)) if as_json else text)


def _answer(head: Head, as_json: bool, text: str) -> None:
    click.echo(json.dumps(asdict(head)) if as_json else text)


def _told(head: Head) -> str:
    return f"{head.documents} documents at revision {head.revision} of epoch {head.epoch}, made {head.made_at}"

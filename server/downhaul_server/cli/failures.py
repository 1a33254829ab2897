"""What ends a command: one sentence on stderr, and an exit code that a script can use. No traceback for the user."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NoReturn

import click

from downhaul_server.listening import ListenError
from downhaul_server.settings import Settings, SettingsError
from downhaul_server.store import EmbeddedError, StoreError
from downhaul_server.supervise import ChildFailedError

PROBLEM = 1
USAGE = 2


class CommandFailed(Exception):  # noqa: N818
    """The command cannot do what it was asked for. One sentence."""


def told(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn what a user can cause into a sentence and an exit code: 2 for wrong settings, 1 for the rest."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except SettingsError as error:
            _end(str(error), USAGE)
        except (CommandFailed, ListenError, EmbeddedError, StoreError, ChildFailedError) as error:
            _end(str(error), PROBLEM)

    return run


def prepared_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings, with the data folder and the admin token made. Raises SettingsError."""
    return Settings.from_environment(environ).prepare()


def _end(sentence: str, code: int) -> NoReturn:
    click.echo(f"downhaul-server: {sentence}", err=True)
    raise SystemExit(code)

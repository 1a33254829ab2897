"""Which entries of the log: the options that reading, following and exporting it have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from downhaul.cli.options import ENVIRONMENT, FLAG, MOMENT, SERVICE

_OPTIONS = (
    click.option("--service", type=SERVICE, help="Only what concerns this service."),
    click.option("--flag", type=FLAG, metavar="SERVICE/FLAG", help="Only what concerns this flag."),
    click.option("-e", "--environment", type=ENVIRONMENT, help="Only what concerns this environment."),
    click.option("--by", help="Only what this person or token did."),
    click.option(
        "--action",
        help="Only such actions: flag.kill, or flag for all that begin so; refused for the attempts that were refused.",
    ),
    click.option("--since", type=MOMENT, help="Only from then on: 2h, 7d, 2026-11-23, 2026-11-23T22:07:00Z."),
    click.option("--until", type=MOMENT, help="Only up to then."),
)


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """All of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command

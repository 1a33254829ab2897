"""`downhaul completion`: the script that teaches a shell the commands and options."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

PROGRAM = "downhaul"
VARIABLE = "_DOWNHAUL_COMPLETE"
_SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command()
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Write the script that completes commands.

    To have it at once: eval "$(downhaul completion bash)"
    """
    complete = _SHELLS[shell](context.find_root().command, {}, PROGRAM, VARIABLE)
    click.echo(complete.source())

"""The `downhaul-server` command: run, demo, check, recover, backup, restore. The top room: it may use all others."""

from __future__ import annotations

import click
from downhaul import __version__

from downhaul_server.cli.backup import backup, restore
from downhaul_server.cli.check import check
from downhaul_server.cli.demo import demo
from downhaul_server.cli.recover import recover
from downhaul_server.cli.run import run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="downhaul-server")
def main() -> None:
    """The Downhaul feature flag service. Its settings are environment variables (see docs/running.md)."""


for command in (run, demo, check, recover, backup, restore):
    main.add_command(command)

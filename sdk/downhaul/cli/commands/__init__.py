"""The commands, one module for each noun. They read arguments, ask the API, and say what came of it."""

from __future__ import annotations

import click

from downhaul import __version__
from downhaul.cli.commands.audit import audit
from downhaul.cli.commands.catalog import environments, services
from downhaul.cli.commands.completion import completion
from downhaul.cli.commands.drill import drill
from downhaul.cli.commands.explain import explain
from downhaul.cli.commands.flags import flags
from downhaul.cli.commands.fleet import fleet
from downhaul.cli.commands.keys import keys
from downhaul.cli.commands.kill import kill, restore
from downhaul.cli.commands.links import links
from downhaul.cli.commands.log import log
from downhaul.cli.commands.people import people
from downhaul.cli.commands.profile import profile
from downhaul.cli.commands.reviews import reviews
from downhaul.cli.commands.segments import segments
from downhaul.cli.commands.stale import stale
from downhaul.cli.commands.status import status
from downhaul.cli.commands.webhooks import webhooks

EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not confirmed, 4 not found, 5 conflict, 6 not authorised, "
    "7 unreachable."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(__version__, prog_name="downhaul", message="%(prog)s %(version)s")
def downhaul() -> None:
    """Feature flags whose kill switch holds: look at them, change them, kill them.

    The service is DOWNHAUL_URL (default http://127.0.0.1:8080), the token DOWNHAUL_TOKEN or the file that
    DOWNHAUL_TOKEN_FILE names; or both come from a profile (`downhaul profile`).
    """


for _command in (
    *(flags, kill, restore, explain, segments, reviews, log, audit, fleet, drill),
    *(services, environments, keys, links, people, webhooks, stale, status, profile, completion),
):
    downhaul.add_command(_command)

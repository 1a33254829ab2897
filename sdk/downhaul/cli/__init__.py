"""The `downhaul` command: a client of the HTTP API for people and pipelines. Imports nothing of the server.

This file is light on purpose: the SDK can be installed without the extra `cli`, and then says so in one sentence.
"""

from __future__ import annotations

import sys

_OF_THE_EXTRA = ("click", "rich")


def main() -> int:
    """The entry point; gives the exit code."""
    try:
        from downhaul.cli.run import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        print(
            f'downhaul: {error.name} is missing; install the command with: pip install "downhaul[cli]"', file=sys.stderr
        )
        return 1
    return run(sys.argv[1:])

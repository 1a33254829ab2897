"""Trying again while a service restarts, for whoever said how long they would wait anyway."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.session import Session

RETRY_S = 0.5


def insist(session: Session, ask: Callable[[], Any], patience: float) -> Any:
    """What `ask` gives, as soon as the service can be reached, or within `patience` seconds. Raises CliError.

    `ask` sends one operation, so that it is done once, however often it is sent. That it takes longer is said.
    """
    deadline = time.monotonic() + patience
    is_said = False
    while True:
        try:
            return ask()
        except CliError as error:
            if error.code is not ExitCode.UNAVAILABLE or time.monotonic() + RETRY_S > deadline:
                raise
            if not is_said:
                session.output.note(f"NO ANSWER YET: {error}; trying again.")
            is_said = True
        time.sleep(RETRY_S)

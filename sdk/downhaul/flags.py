"""`from downhaul import flags`: the flags of this process, by the settings in its environment.

With DOWNHAUL_URL, DOWNHAUL_KEY (or DOWNHAUL_KEY_FILE) and DOWNHAUL_SERVICE set, importing this module starts the one
thread that follows the service; docs/adr/0006 says why. DOWNHAUL_AUTOSTART=0 leaves it to `configure` and `wait_ready`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from downhaul.client import Client, Explanation
from downhaul.context import context
from downhaul.details import Details
from downhaul.health import Status, log
from downhaul.settings import Settings, SettingsError

if TYPE_CHECKING:
    from downhaul.testing import Both

__all__ = [
    "Client",
    "Details",
    "Explanation",
    "SettingsError",
    "Status",
    "all",
    "boolean",
    "boolean_details",
    "both",
    "client",
    "close",
    "configure",
    "context",
    "counts",
    "details",
    "enabled",
    "explain",
    "frozen",
    "json",
    "json_details",
    "number",
    "number_details",
    "on_change",
    "on_evaluation",
    "on_status",
    "override",
    "status",
    "string",
    "string_details",
    "value",
    "variant",
    "wait_ready",
    "when",
]


def _from_environment() -> Client:
    settings, problems = Settings.from_environment(os.environ)
    for problem in problems:  # a wrong setting must not keep a program from starting
        log.warning("%s; it is left out", problem)
    made = Client()
    made.use(settings, start=os.environ.get("DOWNHAUL_AUTOSTART", "1") != "0", problems="; ".join(problems))
    return made


def both(*flags: str | Mapping[str, Sequence[Any]], **values: Sequence[Any]) -> Both:
    """For tests: run one on each side of a flag, `@flags.both("new-checkout")`. See `downhaul.testing.both`."""
    from downhaul.testing import both  # which no program needs

    return both(*flags, **values)


#: The client behind the functions of this module.
client = _from_environment()

enabled = client.enabled
value = client.value
details = client.details
variant = client.variant
boolean = client.boolean
boolean_details = client.boolean_details
string = client.string
string_details = client.string_details
number = client.number
number_details = client.number_details
json = client.json
json_details = client.json_details
all = client.all  # noqa: A001 -- read as `flags.all(...)`
when = client.when
explain = client.explain
frozen = client.frozen
override = client.override
wait_ready = client.wait_ready
on_change = client.on_change
on_evaluation = client.on_evaluation
on_status = client.on_status
status = client.status
counts = client.counts
close = client.close
configure = client.configure

"""`from downhaul import flags`: the flags of this process, by the settings in its environment.

With DOWNHAUL_URL, DOWNHAUL_KEY (or DOWNHAUL_KEY_FILE) and DOWNHAUL_SERVICE set, importing this module starts the one
thread that follows the service; docs/adr/0006 says why. DOWNHAUL_AUTOSTART=0 leaves it to `configure` and `wait_ready`.
"""

from __future__ import annotations

import os

from downhaul.client import Client, Explanation
from downhaul.context import context
from downhaul.details import Details
from downhaul.health import Status, log
from downhaul.settings import Settings, SettingsError

__all__ = [
    "Client",
    "Details",
    "Explanation",
    "SettingsError",
    "Status",
    "client",
    "close",
    "configure",
    "context",
    "counts",
    "details",
    "enabled",
    "explain",
    "on_change",
    "on_evaluation",
    "on_status",
    "override",
    "status",
    "value",
    "wait_ready",
]


def _from_environment() -> Client:
    settings, problems = Settings.from_environment(os.environ)
    for problem in problems:  # a wrong setting must not keep a program from starting
        log.warning("%s; it is left out", problem)
    made = Client()
    made.use(settings, start=os.environ.get("DOWNHAUL_AUTOSTART", "1") != "0", problems="; ".join(problems))
    return made


#: The client behind the functions of this module.
client = _from_environment()

enabled = client.enabled
value = client.value
details = client.details
explain = client.explain
override = client.override
wait_ready = client.wait_ready
on_change = client.on_change
on_status = client.on_status
on_evaluation = client.on_evaluation
status = client.status
counts = client.counts
close = client.close
configure = client.configure

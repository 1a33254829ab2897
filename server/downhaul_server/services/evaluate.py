"""Why did this user get that? The engine's explanation, with the newest rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.snapshots import Snapshots


class Evaluate:
    """Answers what an instance of the service would, had it applied the newest revision."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def explain(
        self, actor: Actor, service: str, flag: str, *, environment: str | None, context: Mapping[str, Any]
    ) -> dict[str, Any]:
        """`{flag, environment, value, variant, reason, rule, error_code, revision, steps}`.

        Raises NotFound (service, flag, environment), Forbidden, Unavailable.
        """
        raise NotImplementedError

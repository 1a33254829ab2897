"""Why did this user get that? The engine's explanation, with the newest rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downhaul.engine import decode_ruleset, explain

from downhaul_server.services.actors import Action, Actor, authorize, home
from downhaul_server.services.documents import existing
from downhaul_server.services.flag_forms import state_of
from downhaul_server.services.references import segments_closure, segments_of_state
from downhaul_server.services.ruleset import gather
from downhaul_server.services.snapshots import Snapshots


class Evaluate:
    """Answers what an instance of the service would, had it applied the newest revision."""

    def __init__(self, snapshots: Snapshots, default_environment: str) -> None:
        self._snapshots = snapshots
        self._default_environment = default_environment

    def explain(
        self, actor: Actor, service: str, flag: str, *, environment: str | None, context: Mapping[str, Any]
    ) -> dict[str, Any]:
        """`{flag, environment, value, variant, reason, rule, error_code, revision, steps}`.

        `service` and `environment` are known to every instance, so they win over the context's. `environment` None: the
        actor's only one, else the default. Raises NotFound (service, flag, environment), Forbidden, Unavailable.
        """
        place = environment or home(actor, self._default_environment)
        authorize(actor, Action.READ, service, place)
        view = self._snapshots.view
        for named in (("service", service), ("environment", place), ("flag", service, flag)):
            existing(view, *named)
        content = gather(view, service, place, [flag])
        state = state_of(existing(view, "flag", service, flag).body, place)
        # With the rules that are switched off, which no snapshot holds: whoever asks sees them here.
        whole = content.flags[flag] | {"rules": state["rules"]}
        segments = segments_closure(view, {segment for _, segment in segments_of_state(state)})
        ruleset = decode_ruleset({"flags": content.flags | {flag: whole}, "segments": content.segments | segments})
        known = {"service": service, "environment": place}
        evaluation = explain(ruleset, flag, context, known=known)
        revision = self._snapshots.of(view, service, place).revision
        return evaluation.to_json() | {"environment": place, "revision": revision}

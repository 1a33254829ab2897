"""What a flag is for a context, decided here rather than in an instance: for proxies, pipelines, deployment tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from downhaul.engine import ErrorCode, Reason

from downhaul_server.services.actors import Action, Actor, SdkKey, authorize, home
from downhaul_server.services.errors import Forbidden, NotFound
from downhaul_server.services.evaluations import Evaluations
from downhaul_server.services.flag_sets import FlagSets
from downhaul_server.services.snapshots import Snapshots


@dataclass(frozen=True, slots=True)
class Decision:
    """As an instance of the service would decide that has applied `revision`."""

    service: str
    flag: str
    environment: str
    type: str
    """`boolean`, `string`, `number` or `json`."""
    value: Any
    variant: str
    reason: Reason
    rule: str | None
    """Name of the rule that decided."""
    error_code: ErrorCode | None
    revision: int


class Decisions:
    """Asks nobody: everything is in memory, and as old as that is (`age_s`)."""

    def __init__(
        self, snapshots: Snapshots, sets: FlagSets, evaluations: Evaluations, default_environment: str
    ) -> None:
        self._snapshots = snapshots
        self._sets = sets
        self._evaluations = evaluations
        self._default_environment = default_environment

    @property
    def age_s(self) -> float:
        """Seconds since Redis last confirmed what is decided by. Raises Unavailable while nothing is loaded."""
        return self._snapshots.view.age_s

    def decide(
        self,
        holder: Actor | SdkKey,
        service: str,
        flag: str,
        context: Mapping[str, Any],
        environment: str | None = None,
    ) -> Decision:
        """Decide, and count it as an evaluation.

        `environment` None: the key's, the actor's only one, else the default. Raises Forbidden, NotFound (service,
        environment, flag), and Unavailable while nothing is loaded.
        """
        place = self._place(holder, service, environment)
        found = self._sets.of(self._snapshots.view, service, place)
        offer = found.offers.get(flag)
        if offer is None:
            raise NotFound("flag", service, flag)
        outcome = offer.evaluator.evaluate(context)
        assert outcome.variant is not None  # noqa: S101 -- only an override has none, and there are none here
        self._evaluations.served(service, place, flag, outcome.variant)
        return Decision(
            service,
            flag,
            place,
            offer.evaluator.type,
            outcome.value,
            outcome.variant,
            outcome.reason,
            outcome.rule,
            outcome.error_code,
            found.snapshot.revision,
        )

    def _place(self, holder: Actor | SdkKey, service: str, environment: str | None) -> str:
        if isinstance(holder, Actor):
            place = environment or home(holder, self._default_environment)
            authorize(holder, Action.READ, service, place)
            return place
        if not holder.reaches(service):
            raise Forbidden(f"the key {holder.name} is not for the service {service}")
        if environment not in (None, holder.environment):
            raise Forbidden(f"the key {holder.name} is not for the environment {environment}")
        return holder.environment

"""Protected environments: which changes are held up there, and what lets them pass. Asked by the committer for each.

Off is never held up: a kill passes, and so does whatever only switches off. All else that changes what is evaluated in
a protected environment needs a reason, and, where the environment demands approvals, a review.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.documents import same_json
from downhaul_server.services.errors import ApprovalRequired, Invalid
from downhaul_server.services.flag_forms import comparable, definition_of, for_clients, state_of
from downhaul_server.services.names import parts
from downhaul_server.services.references import reached_by_segment
from downhaul_server.store import View

if TYPE_CHECKING:
    from downhaul_server.services.commit import Plan

Body = Mapping[str, Any]

MOST_APPROVALS = 3
REVIEW_DAYS = 7
BROKE_GLASS = "broke_glass"
"""In the details of a log entry: the environments whose approvals the bootstrap administrator went past."""
DEFAULTS: dict[str, Any] = {"protected": False, "approvals": 0, "review_days": REVIEW_DAYS}
"""Of an environment's document."""


def demands(view: View) -> dict[str, int]:
    """The protected environments, and how many approvals each demands."""
    return {
        document.key: document.body["approvals"]
        for document in view.of_kind("environment/")
        if document.body.get("protected")
    }


def guard(actor: Actor, view: View, plan: Plan) -> Plan:
    """The plan, where it may be committed; with a mark for the log where the bootstrap administrator goes past others.

    Raises Invalid at `reason` where a reason is missing, ApprovalRequired where it has to be reviewed first.
    """
    protected = demands(view) if plan.guarded and plan.writes else {}
    concerned = affected(view, plan.writes, protected) if protected else []
    if not concerned:
        return plan
    if not (plan.reason or "").strip():
        raise Invalid.at("reason", message=f"a change in {_and(concerned)} needs a reason: it is protected")
    missing = [place for place in concerned if protected[place] > plan.approved.get(place, 0)]
    if missing and actor.kind == "admin":
        return replace(plan, details={**(plan.details or {}), BROKE_GLASS: missing})
    if missing:
        raise ApprovalRequired(missing, max(protected[place] for place in missing), _targets(plan.writes))
    return plan


def affected(view: View, writes: Mapping[str, Body | None], environments: Iterable[str]) -> list[str]:
    """Those of `environments` where the writes change what is evaluated, more than by switching off; or which they
    protect less."""
    places = list(environments)
    found: set[str] = set()
    for where, after in writes.items():
        document = view.get(where)
        before = document.body if document else None
        kind, _, key = parts(where)
        if kind == "flag":
            found.update(place for place in places if not _harmless(before, after, place))
        elif (
            kind == "segment" and before is not None and (after is None or not same_json(before["when"], after["when"]))
        ):
            found.update(place for _, place in reached_by_segment(view, key))
        elif kind == "environment" and before is not None and _lowered(before, after):
            found.add(key)
    return [place for place in places if place in found]


def only_switches_off(before: Body, after: Body) -> bool:
    """Whether one state becomes the other by killing or by switching off, and nothing else."""
    switched = {**before, "on": before["on"] and after["on"], "killed": before["killed"] or after["killed"]}
    return same_json(switched, after)


def _harmless(before: Body | None, after: Body | None, place: str) -> bool:
    """Whether a change of a flag changes nothing there, or only switches off."""
    if before is None or after is None:
        # A new flag that is off takes nothing from anybody; with a flag that goes, callers' defaults come.
        return after is not None and not state_of(after, place)["on"]
    if for_clients(before) != for_clients(after):
        return False  # in every environment, it is shown to everybody, or taken from them
    one, other = _state(before, place), _state(after, place)
    if same_json(definition_of(before), definition_of(after)):
        return only_switches_off(one, other)
    return _idle(one) and _idle(other) and _off(before) == _off(after) and _kept(before, after, place)


def _kept(before: Body, after: Body, place: str) -> bool:
    """Whether the state is as it was; one that was never set follows the definition."""
    if place not in before["environments"] and place not in after["environments"]:
        return True
    return same_json(_state(before, place), _state(after, place))


def _idle(state: Body) -> bool:
    """Off, and not because of a kill that somebody may lift."""
    return not state["on"] and not state["killed"]


def _off(flag: Body) -> Any:
    """What is served while it is off, by name and value; `repr` tells `true` from 1."""
    name = flag["off_variant"]
    return flag["type"], name, repr(flag["variants"].get(name))


def _state(flag: Body, place: str) -> dict[str, Any]:
    state: dict[str, Any] = comparable(flag, [place])["environments"][place]
    return state


def _lowered(before: Body, after: Body | None) -> bool:
    if not before.get("protected"):
        return False
    return after is None or not after.get("protected") or after["approvals"] < before["approvals"]


def _targets(writes: Mapping[str, Body | None]) -> list[str]:
    """What is to be changed, as people name it: `flag checkout/new-checkout`."""
    return [" ".join(where.split("/", 1)) for where in writes]


def _and(places: list[str]) -> str:
    return " and ".join(places)

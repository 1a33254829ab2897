"""A review as it is stored, and as it is shown. Pure.

Stored are what was asked for, by whom, what it did to the documents of that day (`before`, `after`), and who approved.
`expired` and `stale` are never stored: they follow from the time, and from what the change would do now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from downhaul_server.services.actors import Action, Actor, Grant
from downhaul_server.services.differences import whole
from downhaul_server.services.documents import copied, now, timestamp
from downhaul_server.services.hands import Hands
from downhaul_server.services.protection import DEFAULTS
from downhaul_server.services.review_subjects import Picture, Subject, shown_of
from downhaul_server.services.words import change_sentences
from downhaul_server.store import View

Body = Mapping[str, Any]

STATUSES = ("open", "applied", "rejected", "withdrawn", "expired", "stale")


def opened(actor: Actor, own: Hands, review: str, subject: Subject, reason: str, view: View, seen: Picture) -> Body:
    """A new review."""
    return {
        "id": review,
        **subject.to_json(),
        "reason": reason,
        "author": {"name": actor.name, "kind": actor.kind, "token": actor.token_id, "hands": list(own)},
        "grants": [_grant(grant) for grant in actor.grants],
        "created_at": now(),
        "status": "open",
        "closed": None,
        **shot(view, seen),
    }


def shot(view: View, seen: Picture) -> dict[str, Any]:
    """What a review is about to be approved for: whenever that is taken anew, nobody has approved it."""
    days = min(_settings(view, place)["review_days"] for place in seen.environments)
    return {
        "before": seen.before,
        "after": seen.after,
        "segments": dict(seen.segments),
        "environments": list(seen.environments),
        "base_version": seen.version,
        "approvals": [],
        "updated_at": now(),
        "expires_at": timestamp(datetime.now(UTC) + timedelta(days=days)),
    }


def _settings(view: View, environment: str) -> dict[str, Any]:
    document = view.get(f"environment/{environment}")
    return {**DEFAULTS, **(document.body if document else {})}


def needed(view: View, environments: Sequence[str]) -> int:
    """How many have to approve a change in these environments; one at least, or it would be no review."""
    found = [_settings(view, place) for place in environments]
    return max([1, *(int(each["approvals"]) for each in found if each["protected"])])


def subject_of(review: Body) -> Subject:
    """What a stored review is about."""
    return Subject(review["service"], review["flag"], review["segment"], review["environment"], review["change"])


def author_of(review: Body) -> Actor:
    """Who asked, with the rights of that day."""
    author = review["author"]
    grants = tuple(
        Grant(grant["role"], frozenset(grant["services"]), frozenset(grant["environments"]))
        for grant in review["grants"]
    )
    return Actor(author["name"], author["kind"], grants, token_id=author["token"])


def _grant(grant: Grant) -> dict[str, Any]:
    return {"role": grant.role, "services": sorted(grant.services), "environments": sorted(grant.environments)}


def shown_now(view: View, review: Body) -> dict[str, Any] | None:
    """What is there now of what the review shows."""
    subject = subject_of(review)
    document = view.get(subject.address)
    environments = [each.key for each in view.of_kind("environment/")]
    return shown_of(subject, document.body if document else None, environments)


def is_visible(actor: Actor, review: Body, action: Action = Action.READ) -> bool:
    """Whether the actor reaches all that the review is about."""
    return all(actor.reaches(review["service"], place, action) for place in review["environments"])


def presented(
    actor: Actor, view: View, review: Body, version: int, status: str, current: Body | None, may: Sequence[str]
) -> dict[str, Any]:
    """For clients. `current` is what is there now, where the review is stale."""
    before, after = (_seen(actor, review, review[name]) for name in ("before", "after"))
    there = _seen(actor, review, current)
    names = {document.key: document.body["name"] for document in view.of_kind("segment/")}
    return {
        **{name: copied(review[name]) for name in ("id", "service", "flag", "segment", "environment")},
        "change": _change(actor, review),
        "reason": review["reason"],
        "status": status,
        "author": review["author"]["name"],
        "at": review["created_at"],
        "updated_at": review["updated_at"],
        "expires_at": review["expires_at"],
        "environments": list(review["environments"]),
        "summary": change_sentences(before, after, names),
        "differences": whole(before, after),
        "before": before,
        "after": after,
        "base_version": review["base_version"],
        "current": there if status == "stale" else None,
        "moved": change_sentences(before, there, names) if status == "stale" else [],
        "approvals": [{"by": each["by"], "at": each["at"]} for each in review["approvals"]],
        "approvals_needed": needed(view, review["environments"]),
        "closed": copied(review["closed"]),
        "may": list(may),
        "version": version,
    }


def logged(review: Body) -> dict[str, Any]:
    """What the log shows of it; what it would change is in the review, and in the entry that applies it."""
    return {
        **{name: review[name] for name in ("id", "service", "flag", "segment", "environment", "environments")},
        **{name: review[name] for name in ("reason", "status", "base_version", "expires_at", "closed")},
        "author": review["author"]["name"],
        "approvals": [{"by": each["by"], "at": each["at"]} for each in review["approvals"]],
    }


def _seen(actor: Actor, review: Body, body: Body | None) -> dict[str, Any] | None:
    """Without the states in environments that are out of the actor's scope."""
    if body is None:
        return None
    seen: dict[str, Any] = copied(body)
    if "environments" in seen:
        states = seen["environments"].items()
        seen["environments"] = {name: state for name, state in states if actor.reaches(review["service"], name)}
    return seen


def _change(actor: Actor, review: Body) -> dict[str, Any]:
    change: dict[str, Any] = copied(review["change"])
    for asked in change.values():
        if review["flag"] is not None and isinstance(asked, dict) and isinstance(asked.get("environments"), dict):
            states = asked["environments"].items()
            asked["environments"] = {name: state for name, state in states if actor.reaches(review["service"], name)}
    return change

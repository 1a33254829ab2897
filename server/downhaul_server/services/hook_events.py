"""From an entry of the log to what a webhook is told: what its scope covers, in data and in plain words."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.differences import Difference
from downhaul_server.services.flag_forms import comparable
from downhaul_server.services.history import visible
from downhaul_server.services.hook_documents import wants
from downhaul_server.services.names import parts
from downhaul_server.services.words import change_sentences
from downhaul_server.store import Change, Entry

MOST_LINES = 8
MOST_NAMES = 5
AT_ONCE = 20
REVIEW = "review"
TOLD = frozenset({"flag", "segment", "service", "environment", "key", "person", "hook", REVIEW})
"""Kinds of documents of which it is known that no difference tells a secret; of others, only that they changed."""
TEST = "webhook.test"

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, as far as a hook may know of it."""

    id: str
    """Stable: the same event has the same id for the same hook, however often it is sent."""
    type: str
    """The action in the log; or `webhook.test`."""
    at: str
    actor: str
    revision: int | None = None
    reason: str | None = None
    documents: tuple[dict[str, Any], ...] = ()
    """`{kind, service, key, name, changes}`."""
    environments: tuple[str, ...] = ()
    """Where it made a difference, as far as the hook may know; `*` for everywhere."""
    headline: str = ""
    lines: tuple[str, ...] = ()
    details: Body | None = None
    link: str | None = None
    """Where people read more of it."""


def concerns(hook: Body, entry: Entry) -> bool:
    """Whether a hook is told of an entry."""
    if not wants(hook, entry.action):
        return False
    watcher = _watcher(hook)
    if not entry.changes:
        return watcher.reaches("*", "*")
    return any(visible(watcher, change) for change in _relevant(watcher, entry))


def event_of(hook: Body, entry: Entry, public_url: str | None = None) -> Event | None:
    """What a hook is told of an entry; None when it does not concern it."""
    if not concerns(hook, entry):
        return None
    watcher = _watcher(hook)
    seen = []
    for number, change in enumerate(_relevant(watcher, entry)):
        if found := visible(watcher, change):
            seen.append((change, found))
        if number % AT_ONCE == AT_ONCE - 1:
            time.sleep(0)  # under gevent, others have their turn: of a bulk kill there may be thousands
    documents = tuple(_document(change, found) for change, found in seen)
    environments = _environments(watcher, entry, seen)
    actor = str(entry.actor.get("name", "somebody"))
    return Event(
        id=_id(hook, entry),
        type=entry.action,
        at=entry.at,
        actor=actor,
        revision=entry.revision,
        reason=entry.reason,
        documents=documents,
        environments=environments,
        headline=_headline(actor, entry.action, documents, environments),
        lines=_lines(watcher, seen),
        details=entry.details,
        link=_link(public_url, entry, documents),
    )


def undescribed(hook: Body, entry: Entry) -> Event | None:
    """That something happened, where it cannot be said what: better than silence."""
    if not wants(hook, entry.action):
        return None
    return Event(
        id=_id(hook, entry),
        type=entry.action,
        at=entry.at,
        actor=str(entry.actor.get("name", "somebody")),
        revision=entry.revision,
        headline=f"Something happened: {entry.action}",
        lines=("Downhaul could not describe it; the log of its server says why.",),
    )


def test_event(hook: Body, actor: str, at: str, nonce: str, public_url: str | None) -> Event:
    """What is sent when somebody wants to know whether it arrives."""
    return Event(
        id=f"evt_test_{nonce}_{hook['id']}",
        type=TEST,
        at=at,
        actor=actor,
        headline=f"{actor} tests the webhook {hook['name']}",
        lines=("Nothing has changed. Where you read this, changes of flags will be told.",),
        link=public_url and f"{public_url}/webhooks",
    )


test_event.__test__ = False  # type: ignore[attr-defined]  # pytest: this is no test


def _id(hook: Body, entry: Entry) -> str:
    # Of the hash in the log, so that after a recovery another event with the same revision is another event.
    return f"evt_{entry.revision}_{entry.chain[:16]}_{hook['id']}"


def _watcher(hook: Body) -> Actor:
    """Who sees in the log what the hook may tell. Only an administrator of all of its places can have made it."""
    scope = {"services": frozenset(hook["services"]), "environments": frozenset(hook["environments"])}
    return Actor.single(hook["name"], "system", "admin", **scope)


def _document(change: Change, differences: list[Difference]) -> dict[str, Any]:
    kind, service, key = parts(change.address)
    name = f"{service}/{key}" if service else _name(kind, change.after or change.before or {}) or key
    told = differences if kind in TOLD else []
    return {"kind": kind, "service": service, "key": key, "name": name, "changes": told}


def _name(kind: str, body: Body) -> str | None:
    if kind == REVIEW:
        return f"{body['service']}/{body['flag']}" if body.get("flag") else f"segment {body.get('segment')}"
    return body.get("name") or body.get("login")


def _relevant(watcher: Actor, entry: Entry) -> list[Change]:
    """Without what everybody may see (a segment), where it makes a difference only where the hook does not look."""
    if not entry.touches or _touched(watcher, entry):
        return list(entry.changes)
    return [change for change in entry.changes if change.address.startswith("flag/")]


def _touched(watcher: Actor, entry: Entry) -> set[str]:
    covered = watcher.reaches
    return {place for service, place in entry.touches if covered(_asked(service), _asked(place))}


def _environments(watcher: Actor, entry: Entry, seen: list[tuple[Change, list[Difference]]]) -> tuple[str, ...]:
    named = {
        tokens[2]
        for _, differences in seen
        for difference in differences
        if len(tokens := difference["path"].split("/")) > 2 and tokens[1] == "environments"
    }
    return tuple(sorted(named | _touched(watcher, entry)))


def _asked(place: str) -> str | None:
    """`*` in a touch means that whoever looks at any place is concerned."""
    return None if place == "*" else place


def _headline(actor: str, action: str, documents: tuple[dict[str, Any], ...], environments: tuple[str, ...]) -> str:
    where = f" in {_listed(environments)}" if environments and "*" not in environments else ""
    return f"{actor} {_verb(action)} {_objects(action, documents)}{where}"


def _verb(action: str) -> str:
    return _VERBS.get(action) or _VERBS.get(action.rpartition(".")[2]) or f"did {action}:"


def _objects(action: str, documents: tuple[dict[str, Any], ...]) -> str:
    noun = action.partition(".")[0]
    # Beside what the action is about, what it has changed: a review with its flag, a person with the sessions.
    named = [each for each in documents if each["kind"] == noun] or list(documents)
    if not named:
        return _NOUNS.get(noun, noun)
    kinds = {each["kind"] for each in named}
    noun = _NOUNS.get(named[0]["kind"], named[0]["kind"]) if len(kinds) == 1 else "document"
    if len(named) == 1:
        return f"{noun} {named[0]['name']}"
    return f"{len(named)} {noun}s ({_listed([each['name'] for each in named])})"


def _listed(names: Any) -> str:
    names = list(names)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _lines(watcher: Actor, seen: list[tuple[Change, list[Difference]]]) -> tuple[str, ...]:
    # A review that is applied says the same as the flag that it has changed.
    seen = [each for each in seen if parts(each[0].address)[0] != REVIEW] or seen
    found: list[str] = []
    for number, (change, differences) in enumerate(seen):
        service, key = parts(change.address)[1:]
        named = f"{service}/{key}: " if service and len(seen) > 1 else ""
        found += [f"{named}{sentence}" for sentence in _sentences(watcher, change, differences)]
        if len(found) >= MOST_LINES:
            left = len(found) - MOST_LINES + len(seen) - number - 1
            return (*found[:MOST_LINES], *([f"And at least {left} more changes."] if left else []))
    return tuple(found)


def _sentences(watcher: Actor, change: Change, differences: list[Difference]) -> list[str]:
    kind, service, _ = parts(change.address)
    if kind == "flag":
        places = sorted({name for body in (change.before, change.after) if body for name in body["environments"]})
        covered = [name for name in places if watcher.reaches(service, name)]
        before, after = (body and comparable(body, covered) for body in (change.before, change.after))
        return change_sentences(before, after)
    if kind == REVIEW:
        review = change.after or change.before or {}
        return change_sentences(review.get("before"), review.get("after"))
    if kind in ("segment", "service", "environment"):
        return change_sentences(change.before, change.after)
    changed = dict.fromkeys(each["path"].split("/")[1] for each in differences if each["path"])
    return [f"Changed: {', '.join(changed)}."] if changed else []


def _link(public_url: str | None, entry: Entry, documents: tuple[dict[str, Any], ...]) -> str | None:
    if public_url is None:
        return None
    reviews = [each["key"] for each in documents if each["kind"] == REVIEW]
    if reviews:
        return f"{public_url}/reviews/{reviews[0]}"
    if len(documents) == 1 and documents[0]["kind"] == "flag" and documents[0]["changes"][0]["op"] != "remove":
        return f"{public_url}/services/{documents[0]['service']}/flags/{documents[0]['key']}"
    return f"{public_url}/changes/{entry.revision}"


_VERBS = {
    "kill": "killed",
    "restore": "restored",
    "create": "made",
    "delete": "deleted",
    "update": "changed",
    "replace": "changed",
    "patch": "changed",
    "state": "changed",
    "prepare": "prepared",
    "revoke": "revoked",
    "rotate": "rotated the secret of",
    "disable": "switched off",
    "approve": "approved",
    "reject": "rejected",
    "withdraw": "withdrew",
    "apply": "applied",
    "review.open": "asks for approval of",
    "review.rebase": "asks again for approval of",
    "person.password": "changed the password of",
    "person.sessions": "ended the sessions of",
}
_NOUNS = {
    "hook": "webhook",
    "person": "person",
    "key": "key",
    "link": "kill link",
    "review": "the change of",
    "store": "the store",
}

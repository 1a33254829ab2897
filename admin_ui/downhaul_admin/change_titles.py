"""An entry of the log in a few words: `killed checkout/new-checkout in production`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERBS = {
    "flag.create": "Created",
    "flag.delete": "Deleted",
    "flag.kill": "Killed",
    "flag.restore": "Restored",
    "key.rotate": "Rotated",
    "key.revoke": "Revoked",
    "person.login": "Logged in:",
    "flag.snooze": "Left alone as stale:",
    "flag.wake": "Not left alone any more:",
}
VERB_OF_PART = {
    "create": "Created",
    "delete": "Deleted",
    "revoke": "Revoked",
    "kill": "Killed",
    "restore": "Restored",
    "rotate": "Rotated",
    "open": "Opened",
    "approve": "Approved",
    "reject": "Rejected",
    "withdraw": "Withdrew",
    "apply": "Applied",
    "refused": "Was refused:",
}
KINDS = {"link": "kill link", "hook": "webhook", "review": "the review of", "snooze": ""}
MOST_NAMED = 3


def title(entry: Mapping[str, Any]) -> str:
    """What was done, to what, and where all of it happened in one environment."""
    action = entry["action"]
    verb = VERBS.get(action) or VERB_OF_PART.get(action.rpartition(".")[2], "Changed")
    documents = entry["documents"]
    names = [_name(document) for document in documents[:MOST_NAMED]]
    if len(documents) > MOST_NAMED:
        names.append(f"{len(documents) - MOST_NAMED} more")
    text = f"{verb} {', '.join(names)}" if names else verb
    place = _environment(documents)
    return f"{text} in {place}" if place else text


def _name(document: Mapping[str, Any]) -> str:
    if document["kind"] == "flag":
        return f"{document['service']}/{document['key']}"
    kind = KINDS.get(document["kind"], document["kind"])
    return f"{kind} {document.get('name') or document['key']}".strip()


def _environment(documents: list[Mapping[str, Any]]) -> str | None:
    found = set()
    for document in documents:
        if document["kind"] != "flag":
            return None
        found |= {tuple(change["path"].split("/")[1:3]) for change in document["changes"]}
    (only,) = found if len(found) == 1 else ((),)
    return only[1] if len(only) == 2 and only[0] == "environments" else None

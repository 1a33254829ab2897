"""The forms of a flag: as a client sends it, as it is stored, as clients get it, as a snapshot holds it. Pure.

The stored form is the API's, except that only those environments are there that were ever set, that `order` keeps the
order of the variants (the store sorts names), and that a kill remembers its revision once a later change was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from downhaul_server.services.documents import answer, copied, stamped
from downhaul_server.services.errors import Invalid
from downhaul_server.services.names import flag_name, resolve
from downhaul_server.store import Document

DEFINITION = ("type", "salt", "variants", "off_variant", "requires", "metadata")
"""What an evaluation looks at or tells, the same in every environment."""
LABELS = ("description", "owner", "purpose", "tags", "expires")
CLIENT = "client"
"""Whether clients that can keep no secret (browsers) may evaluate it. Flags stored by older releases do not say: no."""
STATE = ("on", "killed", "rules", "otherwise")
FIELDS = frozenset({"key", "service", *DEFINITION, *LABELS, CLIENT, "environments"})

Body = Mapping[str, Any]


def complete(document: Body, service: str, key: str, before: Document | None) -> dict[str, Any]:
    """A client's document with every default filled in, in the stored form; still without states.

    What is malformed is kept for the engine to refuse. Raises Invalid where the salt would change.
    """
    given = {name: value for name, value in document.items() if value is not None}
    boolean = given.get("type") == "boolean"
    variants = given.get("variants", {"on": True, "off": False} if boolean else {})
    return {
        "key": key,
        "service": service,
        "type": given.get("type"),
        "description": given.get("description", ""),
        "owner": given.get("owner", ""),
        "purpose": given.get("purpose", "release"),
        "tags": copied(given.get("tags", [])),
        "expires": given.get("expires"),
        CLIENT: given.get(CLIENT, False),
        "salt": _salt(given, flag_name(service, key), before),
        "variants": copied(variants),
        "order": list(variants) if isinstance(variants, Mapping) else [],
        "off_variant": given.get("off_variant", _off_variant(variants, boolean)),
        "requires": copied(given.get("requires", [])),
        "metadata": copied(given.get("metadata", {})),
        "environments": {},
    }


def _salt(document: Body, default: str, before: Document | None) -> Any:
    """A client may bring a salt from elsewhere when it creates the flag. Later nothing moves anybody."""
    if before is None:
        return document.get("salt", default)
    if document.get("salt", before.body["salt"]) != before.body["salt"]:
        raise Invalid.at("salt", message=f"cannot be changed, it is {before.body['salt']}")
    return before.body["salt"]


def _off_variant(variants: Any, boolean: bool) -> Any:
    if not boolean or not isinstance(variants, Mapping) or "off" in variants:
        return "off" if boolean else None
    return next((name for name, value in variants.items() if value is False), None)


def for_clients(flag: Body) -> bool:
    """Whether a stored flag is marked for clients."""
    return bool(flag.get(CLIENT, False))


def default_state(flag: Body) -> dict[str, Any]:
    """An environment that nobody has set: off, and ready to be turned on."""
    served: str = flag["off_variant"]
    if flag["type"] == "boolean":
        served = next((name for name in flag["order"] if flag["variants"][name] is True), served)
    return {"on": False, "killed": None, "rules": [], "otherwise": {"variant": served}}


def state_of(flag: Body, environment: str) -> dict[str, Any]:
    """A flag's state in an environment; read it only."""
    state: dict[str, Any] | None = flag["environments"].get(environment)
    return default_state(flag) if state is None else state


def with_state(document: Document, environment: str, state: Body) -> dict[str, Any]:
    """The stored flag with one state replaced."""
    flag = remembering_kills(document)
    return stamped(flag | {"environments": flag["environments"] | {environment: dict(state)}}, document)


def remembering_kills(document: Document) -> dict[str, Any]:
    """A copy of a stored flag about to be changed, in which each standing kill knows its revision.

    A kill is committed before its revision is known. But whenever the flag changes again, the version that it had
    until then is the revision of the kills that do not know theirs.
    """
    flag: dict[str, Any] = copied(document.body)
    for state in flag["environments"].values():
        if state["killed"]:
            state["killed"].setdefault("revision", document.version)
    return flag


def kill_revision(document: Document, environment: str) -> int:
    """The revision of the standing kill."""
    return int(state_of(document.body, environment)["killed"].get("revision", document.version))


def present(flag: Body, version: int, environments: Iterable[str]) -> dict[str, Any]:
    """The answer to clients, with its state in each of `environments`."""
    times = {"created_at": flag["created_at"], "updated_at": flag["updated_at"]}
    return {**answer(comparable(flag, environments), version), **times}


def comparable(flag: Body, environments: Iterable[str]) -> dict[str, Any]:
    """All that means something in a flag: the answer to clients without version and times. Read it only."""
    return {
        "key": flag["key"],
        "service": flag["service"],
        **{name: flag[name] for name in LABELS},
        CLIENT: for_clients(flag),
        **definition_of(flag),
        "metadata": told_with(flag),
        "variants": {name: flag["variants"][name] for name in flag["order"]},
        "environments": {name: _public(state_of(flag, name)) for name in environments},
    }


def _public(state: dict[str, Any]) -> dict[str, Any]:
    killed = state["killed"]
    return state | {"killed": killed and {name: killed[name] for name in ("at", "by", "reason")}}


def definition_of(flag: Body) -> dict[str, Any]:
    """What the engine decodes as a definition. Without metadata where there is none: so snapshots stay as of old."""
    return {name: flag[name] for name in DEFINITION if name != "metadata" or told_with(flag) != {}}


def told_with(flag: Body) -> Any:
    """What the owner wants told with each evaluation. Flags stored by older releases do not have it."""
    return flag.get("metadata", {})


def engine_state(state: Body) -> dict[str, Any]:
    """What the engine decodes as a state."""
    return dict(state) | {"killed": state["killed"] is not None}


def snapshot_form(flag: Body, environment: str, reader: str) -> dict[str, Any]:
    """The flag as a snapshot for the service `reader` holds it: one state, prerequisites by the reader's names."""
    requires = [
        need | {"flag": snapshot_name(*resolve(need["flag"], flag["service"]), reader)} for need in flag["requires"]
    ]
    state = state_of(flag, environment)
    return definition_of(flag) | {"requires": requires} | engine_state(state) | {"rules": active_rules(state)}


def active_rules(state: Body) -> list[dict[str, Any]]:
    """The rules that are not switched off. The others are in no snapshot: older SDKs would not know what they mean."""
    return [rule for rule in state["rules"] if rule.get("enabled", True)]


def plain_rules(rules: Any) -> Any:
    """Rules without an `enabled` that says what is so anyway: there is one form of each rule, as of old."""
    if not isinstance(rules, list):
        return rules
    return [
        {name: value for name, value in rule.items() if name != "enabled"}
        if isinstance(rule, Mapping) and rule.get("enabled") is True
        else rule
        for rule in rules
    ]


def snapshot_name(service: str, key: str, reader: str) -> str:
    """How a snapshot for `reader` names a flag."""
    return key if service == reader else flag_name(service, key)


def reach(state: Body) -> str:
    """In one word: killed, off, on (the same for everybody) or partly."""
    if state["killed"]:
        return "killed"
    if not state["on"]:
        return "off"
    served = [part for part in state["otherwise"].get("split", ()) if part["weight"]]
    return "partly" if active_rules(state) or len(served) > 1 else "on"

"""What the page of a flag shows, looked up once: states in words, rules, evaluations, history, the tester's answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Unavailable
from downhaul_server.services.overview import FleetCounts, word_of
from downhaul_server.services.words import serve_words, state_sentence

from downhaul_admin import forms, serving

NOBODY = FleetCounts()
READ_ONLY = ("version", "created_at", "updated_at", "service", "key", "salt")
LAST_CHANGES = 15
HOURS = 24
BAR = 100


def about(services: Services, actor: Actor, service: str, flag: str, place: str) -> dict[str, Any]:
    """The flag and its states. Raises NotFound, Forbidden, Unavailable."""
    document = services.flags.get(actor, service, flag)
    protection = services.catalog.get_environment(actor, place)
    names = segment_names(services, actor)
    state = document["environments"][place]
    fleets = {name: services.overview.fleets(actor, name).get(service, NOBODY) for name in document["environments"]}
    places = sorted(document["environments"], key=lambda name: (name != place, name))
    typed = serving.to_fields(state["otherwise"], list(document["variants"]))
    return {
        "flag": document,
        "place": place,
        "state": state,
        "path": f"/services/{service}/flags/{flag}",
        "protected": protection["protected"],
        "approvals": protection["approvals"] if protection["protected"] else 0,
        "states": [_state(document, name, names, fleets[name]) for name in places],
        "now": state_sentence(document, state, names),
        "rules": [_rule(document, rule, names) for rule in state["rules"]],
        "otherwise": serve_words(document, state["otherwise"]),
        "serve": typed,
        "shares": serving.shares(typed),
        "others": [name for name in places if name != place],
        "segments": names,
    }


def segment_names(services: Services, actor: Actor) -> dict[str, str]:
    """By key."""
    return {item["key"]: item["name"] for item in services.segments.list(actor, limit=500).items}


def as_json(document: Mapping[str, Any]) -> str:
    """The flag to be read and edited: all that may be changed. Kills are no edits, and are left out."""
    whole = {name: value for name, value in document.items() if name not in READ_ONLY}
    states = {
        place: {name: value for name, value in state.items() if name != "killed"}
        for place, state in document["environments"].items()
    }
    return json.dumps(whole | {"environments": states}, indent=2, ensure_ascii=False)


def history(services: Services, actor: Actor, service: str, flag: str) -> list[dict[str, Any]] | None:
    """Newest first; None while Redis cannot be asked."""
    try:
        found = services.history.flag(actor, service, flag, limit=LAST_CHANGES)
    except Unavailable:
        return None
    return [
        entry | {"documents": [{"kind": "flag", "service": service, "key": flag, "changes": entry["changes"]}]}
        for entry in found.items
    ]


def evaluations(services: Services, actor: Actor, service: str, flag: str, place: str) -> dict[str, Any] | None:
    """The last day by the hour: bars of a picture, and totals; None while Redis cannot be asked."""
    try:
        hours = services.evaluations.of(actor, service, flag, environment=place, hours=HOURS)
    except Unavailable:
        return None
    most = max((sum(hour["counts"].values()) for hour in hours), default=0)
    variants = list(dict.fromkeys(name for hour in hours for name in hour["counts"]))
    bars = []
    for number, hour in enumerate(hours):
        top = BAR
        for index, variant in enumerate(variants):
            size = hour["counts"].get(variant, 0) * BAR / most if most else 0
            top -= size
            if size:
                bars.append({"x": number, "y": round(top, 2), "height": round(size, 2), "index": index})
    totals = {name: sum(hour["counts"].get(name, 0) for hour in hours) for name in variants}
    return {"bars": bars, "hours": hours, "variants": variants, "totals": totals, "total": sum(totals.values())}


def tried(text: str) -> dict[str, Any]:
    """The context that was typed: JSON, or `name=value` lines. Raises ValueError."""
    stripped = text.strip()
    if stripped.startswith("{"):
        found = forms.json_of(stripped)
        if isinstance(found, dict):
            return found
    context = {}
    for number, line in enumerate(stripped.splitlines(), 1):
        if not line.strip():
            continue
        name, sign, value = line.partition("=")
        if not sign or not name.strip():
            raise ValueError(f"line {number}: expected name=value, found {line.strip()!r}")
        context[name.strip()] = _value(value.strip())
    return context


def _value(text: str) -> Any:
    try:
        return forms.json_of(text)
    except ValueError:
        return text


def _state(document: Mapping[str, Any], place: str, names: Mapping[str, str], fleet: Any) -> dict[str, Any]:
    state = document["environments"][place]
    return {
        "place": place,
        "word": word_of(document, state),
        "sentence": state_sentence(document, state, names),
        "killed": state["killed"],
        "on": state["on"],
        "fleet": fleet,
    }


def _rule(document: Mapping[str, Any], rule: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": rule.get("name") or "",
        "enabled": rule.get("enabled", True),
        "words": serve_words(document, rule["serve"], rule["when"], names),
        "shares": serving.shares(serving.to_fields(rule["serve"], list(document["variants"]))),
    }

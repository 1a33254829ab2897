"""What the page of a flag shows, looked up once: states in words, rules, evaluations, history, the tester's answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Unavailable
from downhaul_server.services.overview import FleetCounts, word_of
from downhaul_server.services.words import serve_words, state_sentence

from downhaul_admin import changes as timeline
from downhaul_admin import forms, serving

NOBODY = FleetCounts()
READ_ONLY = ("version", "created_at", "updated_at", "service", "key", "salt")
LAST_CHANGES = 15
SPANS = {
    "day": (24, "the last day", "hour"),
    "week": (7 * 24, "the last week", "hour"),
    "month": (30 * 24, "the last 30 days", "day"),
}
"""Hours, words, and what a bar of the picture stands for."""
BAR = 100
OTHER_COLOUR = "other"


def about(services: Services, actor: Actor, service: str, flag: str, place: str) -> dict[str, Any]:
    """The flag and its states. Raises NotFound, Forbidden, Unavailable."""
    document = services.flags.get(actor, service, flag)
    protection = services.catalog.get_environment(actor, place)
    names = segment_names(services, actor)
    state = document["environments"][place]
    fleets = {name: services.overview.fleets(actor, name).get(service, NOBODY) for name in document["environments"]}
    places = sorted(document["environments"], key=lambda name: (name != place, name))
    typed = serving.to_fields(state["otherwise"], list(document["variants"]))
    colours = serving.colours(list(document["variants"]), document["off_variant"])
    guarded = {item["key"] for item in services.catalog.list_environments(actor, limit=500).items if item["protected"]}
    return {
        "flag": document,
        "place": place,
        "state": state,
        "path": f"/services/{service}/flags/{flag}",
        "protected": protection["protected"],
        "approvals": protection["approvals"] if protection["protected"] else 0,
        "states": [_state(document, name, names, fleets[name]) for name in places],
        "now": state_sentence(document, state, names),
        "rules": [_rule(document, rule, names, colours) for rule in state["rules"]],
        "otherwise": serve_words(document, state["otherwise"]),
        "serve": typed,
        "shares": serving.shares(typed, colours),
        "now_shares": serving.shares(typed, colours),
        "colours": colours,
        "guarded": guarded,
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
        entry
        | {"documents": [{"kind": "flag", "service": service, "key": flag, "changes": entry["changes"]}]}
        | {"lines": [timeline.line(change) for change in entry["changes"]]}
        for entry in found.items
    ]


def evaluations(
    services: Services, actor: Actor, document: Mapping[str, Any], place: str, over: str
) -> dict[str, Any] | None:
    """A day or a week by the hour, or a month by the day: bars of a picture, and totals; None while Redis is away."""
    over = over if over in SPANS else next(iter(SPANS))
    hours, words, step = SPANS[over]
    try:
        periods = services.evaluations.of(actor, document["service"], document["key"], environment=place, hours=hours)
    except Unavailable:
        return None
    counted = {name for period in periods for name in period["counts"]}
    names = [*document["variants"], *sorted(counted - {*document["variants"]})]
    variants = [name for name in names if name in counted]
    colours = serving.colours(list(document["variants"]), document["off_variant"])
    totals = {name: sum(period["counts"].get(name, 0) for period in periods) for name in variants}
    most = max((sum(period["counts"].values()) for period in periods), default=0)
    return {
        "bars": list(_bars(periods, variants, colours, most)),
        "periods": periods,
        "variants": variants,
        "colours": {name: colours.get(name, OTHER_COLOUR) for name in variants},
        "totals": totals,
        "total": sum(totals.values()),
        "most": most,
        "over": over,
        "words": words,
        "step": step,
        "spans": [(name, says.removeprefix("the last ").capitalize()) for name, (_, says, _) in SPANS.items()],
        "marks": [_mark(periods[at]["at"], step) for at in (0, len(periods) // 2)],
    }


def _bars(
    periods: Sequence[Mapping[str, Any]], variants: Sequence[str], colours: Mapping[str, str], most: int
) -> Iterator[dict[str, Any]]:
    """One upon the other, from the top of a picture that is BAR high and as wide as there are periods."""
    for number, period in enumerate(periods):
        top = float(BAR)
        for variant in variants:
            size = period["counts"].get(variant, 0) * BAR / most if most else 0
            top -= size
            if size:
                shown = {"x": number, "y": round(top, 2), "height": round(size, 2)}
                yield shown | {"colour": colours.get(variant, OTHER_COLOUR)}


def _mark(at: str, step: str) -> str:
    """What stands below the picture."""
    return datetime.fromisoformat(at).astimezone(UTC).strftime("%-d %b" if step == "day" else "%-d %b, %H:%M")


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


def _rule(
    document: Mapping[str, Any], rule: Mapping[str, Any], names: Mapping[str, str], colours: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "name": rule.get("name") or "",
        "enabled": rule.get("enabled", True),
        "words": serve_words(document, rule["serve"], rule["when"], names),
        "shares": serving.shares(serving.to_fields(rule["serve"], list(document["variants"])), colours),
    }

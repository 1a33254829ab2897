"""What a flag does and what a change does, in plain sentences: for reviews, the pages and the command line. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from downhaul_server.services.documents import same_json
from downhaul_server.services.phrases import (
    NO_NAMES,
    Names,
    condition_words,
    either,
    outcome,
    people_words,
    percent,
    serve_words,
    state_sentence,
    value_words,
)

__all__ = [
    "change_sentences",
    "condition_words",
    "outcome",
    "people_words",
    "percent",
    "serve_words",
    "state_change_sentences",
    "state_sentence",
]

Body = Mapping[str, Any]

_LABELS = {
    "name": "name",
    "description": "description",
    "owner": "owner",
    "purpose": "purpose",
    "expires": "expiry date",
}


def change_sentences(before: Body | None, after: Body | None, segments: Names = NO_NAMES) -> list[str]:
    """What the change of one document does, one sentence each: `In production: switched on; ...`.

    Flags (as clients get them), segments and environments; None where there is none. Nothing where nothing differs.
    """
    there = after if after is not None else before
    if there is None:
        return []
    if "environments" in there and "variants" in there:
        return list(_flag(before, after, segments))
    if "when" in there:
        return list(_segment(before, after, segments))
    return list(_place(before, after))


def state_change_sentences(
    definition: Body, before: Body, after: Body, segments: Names = NO_NAMES, *, now: Body | None = None
) -> list[str]:
    """What a change of one state does; `definition` before, `now` after it, where that differs too."""
    return list(_state(definition, before, now or definition, after, segments))


def _flag(before: Body | None, after: Body | None, names: Names) -> Iterator[str]:
    if after is None:
        yield f"Deletes the flag {before['service']}/{before['key']}." if before else ""
        yield from _standing(before or {}, "was", names)
    elif before is None:
        yield f"Creates the {after['type']} flag {after['service']}/{after['key']}."
        if after.get("client"):
            yield "Clients may evaluate it: browsers see it."
        yield from _standing(after, "is", names)
    else:
        yield from _labels(before, after)
        yield from _definition(before, after)
        yield from _states(before, after, names)


def _standing(flag: Body, tense: str, names: Names) -> Iterator[str]:
    for environment, state in flag["environments"].items():
        if state["on"] or state["killed"]:
            yield f"In {environment} it {tense} {state_sentence(flag, state, names)}."


def _states(before: Body, after: Body, names: Names) -> Iterator[str]:
    for environment in dict.fromkeys((*before["environments"], *after["environments"])):
        one, other = before["environments"].get(environment), after["environments"].get(environment)
        if one is not None and other is not None and not same_json(one, other):
            for sentence in _state(before, one, after, other, names):
                yield f"In {environment}: {sentence}"


def _state(old: Body, before: Body, new: Body, after: Body, names: Names) -> Iterator[str]:
    now = state_sentence(new, after, names)
    if after["killed"] and not before["killed"]:
        yield f"killed; everyone gets {outcome(new, new['off_variant'])}."
    elif before["killed"] and not after["killed"]:
        yield f"the kill is lifted; it is then {now}."
    if before["on"] != after["on"]:
        yield f"switched on; it is then {now}." if after["on"] else "switched off."
    yield from _rules(old, before["rules"], new, after["rules"], names)
    if not same_json(before["otherwise"], after["otherwise"]):
        whom = "where no rule matches, " if after["rules"] else ""
        was, then = serve_words(old, before["otherwise"]), serve_words(new, after["otherwise"])
        yield f"{whom}{then}; it was {was}." if was != then else f"{whom}another split ({then})."


def _rules(old: Body, before: Sequence[Body], new: Body, after: Sequence[Body], names: Names) -> Iterator[str]:
    pairs = _paired(before, after)
    kept = {number for number in pairs.values() if number is not None}
    for number, rule in enumerate(before):
        if number not in kept:
            yield f"removes {_rule(number, rule)}: {_serves(old, rule, names)}."
    for number, rule in enumerate(after):
        was = pairs[number]
        if was is None:
            yield f"adds {_rule(number, rule)}: {_serves(new, rule, names)}."
        elif not same_json(before[was], rule):
            yield from _rule_change(old, before[was], new, rule, number, names)
    order = [was for was in pairs.values() if was is not None]
    if order != sorted(order):
        yield f"puts the rules in another order: {', '.join(_rule(n, rule) for n, rule in enumerate(after))}."


def _rule_change(old: Body, before: Body, new: Body, after: Body, number: int, names: Names) -> Iterator[str]:
    which = _rule(number, after)
    enabled, was_enabled = after.get("enabled", True), before.get("enabled", True)
    if enabled != was_enabled:
        yield f"switches {which} {'on' if enabled else 'off'}: {_serves(new, after, names)}."
    was, then = _serves(old, before, names), _serves(new, after, names)
    if was != then:
        yield f"changes {which}: {then}; it was {was}."
    elif before.get("name") != after.get("name"):
        yield f"calls rule {number + 1} {value_words(after.get('name') or '')}; it was {value_words(before['name'])}."
    elif enabled == was_enabled:
        yield f"changes {which}."


def _paired(before: Sequence[Body], after: Sequence[Body]) -> dict[int, int | None]:
    """For each rule after, which it was before: the same one, else one of the same name, else one of the same place."""
    free = dict(enumerate(before))
    pairs: dict[int, int | None] = dict.fromkeys(range(len(after)))
    tests: tuple[Callable[[int, Body, int, Body], bool], ...] = (
        lambda number, rule, place, old: same_json(rule, old),
        lambda number, rule, place, old: bool(rule.get("name")) and rule.get("name") == old.get("name"),
        lambda number, rule, place, old: number == place and len(before) == len(after),
    )
    for same in tests:
        for number, rule in enumerate(after):
            found = next((place for place, old in free.items() if same(number, rule, place, old)), None)
            if pairs[number] is None and found is not None:
                pairs[number] = found
                del free[found]
    return pairs


def _rule(number: int, rule: Body) -> str:
    name = rule.get("name")
    return f"rule {number + 1} “{name}”" if name else f"rule {number + 1}"


def _serves(definition: Body, rule: Body, names: Names) -> str:
    return serve_words(definition, rule["serve"], rule["when"], names)


def _definition(before: Body, after: Body) -> Iterator[str]:
    if before["type"] != after["type"]:
        yield f"The type is {after['type']}; it was {before['type']}."
    one, other = before["variants"], after["variants"]
    for name in one.keys() - other.keys():
        yield f"Removes the variant {name}."
    for name, value in other.items():
        if name not in one:
            yield f"Adds the variant {name}, {value_words(value)}."
        elif not same_json(one[name], value):
            yield f"The variant {name} is {value_words(value)}; it was {value_words(one[name])}."
    if before["off_variant"] != after["off_variant"]:
        yield f"Off means {after['off_variant']}; it was {before['off_variant']}."
    if not same_json(before["requires"], after["requires"]):
        yield f"It needs {_needs(after)}; it needed {_needs(before)}."
    told, once = after.get("metadata", {}), before.get("metadata", {})
    if not same_json(told, once):
        yield f"With each evaluation is told {_told(told)}; it was {_told(once)}."


def _needs(flag: Body) -> str:
    return (
        " and ".join(f"{need['flag']} to be {either(need['variants'])}" for need in flag["requires"]) or "no other flag"
    )


def _told(metadata: Body) -> str:
    return ", ".join(f"{name} {value_words(value)}" for name, value in metadata.items()) or "nothing"


def _labels(before: Body, after: Body) -> Iterator[str]:
    for field, label in _LABELS.items():
        if field in after and before.get(field) != after[field]:
            yield f"The {label} is {value_words(after[field])}; it was {value_words(before.get(field))}."
    if before.get("client", False) != after.get("client", False):
        yield (
            "Clients may evaluate it: browsers see it." if after["client"] else "Clients may not evaluate it any more."
        )
    if before.get("tags", []) != after.get("tags", []):
        yield f"The tags are {', '.join(after['tags']) or 'none'}; they were {', '.join(before['tags']) or 'none'}."


def _segment(before: Body | None, after: Body | None, names: Names) -> Iterator[str]:
    if after is None:
        yield f"Deletes the segment {before['key']}." if before else ""
    elif before is None:
        yield f"Creates the segment {after['key']}: {people_words(after['when'], names)}."
    else:
        yield from _labels(before, after)
        if not same_json(before["when"], after["when"]):
            was, then = people_words(before["when"], names), people_words(after["when"], names)
            yield f"The segment {after['key']} is {then}; it was {was}."


def _place(before: Body | None, after: Body | None) -> Iterator[str]:
    """Services and environments."""
    if after is None or before is None:
        there = after or before or {}
        yield f"{'Deletes' if after is None else 'Creates'} {there['key']}."
        return
    yield from _labels(before, after)
    was, then = before.get("protected", False), after.get("protected", False)
    if was != then:
        yield f"{after['key']} is {'protected' if then else 'not protected any more'}."
    one, other = before.get("approvals", 0), after.get("approvals", 0)
    if one != other:
        yield f"A change in {after['key']} needs {_approvals(other)}; it needed {_approvals(one)}."


def _approvals(number: int) -> str:
    return {0: "no approval", 1: "one approval"}.get(number, f"{number} approvals")

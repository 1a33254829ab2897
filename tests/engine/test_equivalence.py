"""Two evaluators, one meaning: over generated rulesets and contexts `compile` and `explain` never differ or raise."""

from __future__ import annotations

import json
from typing import Any

from downhaul.engine import change_ruleset, compile_ruleset, decode_ruleset, explain, recompile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.rulesets import answer, evaluate

ATTRIBUTES = ("user", "plan", "country", "age", "build", "ip", "at", "region")
NAMES = ("a", "b", "c", "pay/d")
SEGMENTS = ("s0", "s1", "s2")

texts = st.sampled_from(
    ["", "pro", "free", "DE", "2.1.0", "2.1.0-rc.1", "10.1.2.3", "2026-11-23T03:00:00Z", "aaaa!", "\ud800"]
)
numbers = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.0, -0.0, 10**30]))
hostile = st.recursive(
    st.one_of(
        st.none(), st.booleans(), texts, numbers, st.text(max_size=5), st.floats(), st.integers(),
        st.sampled_from([10**400, float("nan"), float("-inf"), b"pro", object(), 1j, range(2), frozenset("a")]),
        st.text(st.characters(categories=["Cs"]), max_size=2),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=2), inner, max_size=2), st.tuples(inner)
    ),
    max_leaves=4,
)  # fmt: skip
contexts = st.dictionaries(st.sampled_from(ATTRIBUTES), st.one_of(texts, numbers, hostile), max_size=len(ATTRIBUTES))

strings = st.lists(st.sampled_from(["", "pro", "free", "DE", "a"]), min_size=1, max_size=3)
VALUES: dict[str, st.SearchStrategy[list[Any]]] = {
    "in": st.lists(st.one_of(texts, numbers, st.booleans()), min_size=1, max_size=3),
    **dict.fromkeys(("contains", "starts_with", "ends_with"), strings),
    "matches": st.lists(
        st.sampled_from(["^p", "(a|aa)+$", "[A-Z]{2}", "", r"\d+\.\d", "(a+)+$"]), min_size=1, max_size=2
    ),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), st.lists(numbers, min_size=1, max_size=2)),
    "between": st.lists(numbers, min_size=2, max_size=2).map(sorted),
    **{
        f"semver_{each}": st.lists(st.sampled_from(["2.1.0", "2.1.0-rc.1", "0.0.1"]), min_size=1, max_size=2)
        for each in ("eq", "gt", "gte", "lt", "lte")
    },
    **dict.fromkeys(("before", "after"), st.just(["2026-11-23T04:00:00+01:00"])),
    "cidr": st.lists(st.sampled_from(["10.0.0.0/8", "::/0", "10.1.2.3"]), min_size=1, max_size=2),
    "exists": st.just([]),
}


def conditions(segments: tuple[str, ...]) -> st.SearchStrategy[Any]:
    leaves = st.sampled_from(sorted(VALUES)).flatmap(
        lambda op: st.builds(
            lambda attribute, values: {"attribute": attribute, "op": op, "values": values},
            st.sampled_from(ATTRIBUTES),
            VALUES[op],
        )
    )
    named = st.sampled_from(segments).map(lambda key: {"segment": key}) if segments else st.nothing()
    return st.recursive(
        st.one_of(leaves, named),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda parts: {"all": parts}),
            st.lists(inner, max_size=3).map(lambda parts: {"any": parts}),
            inner.map(lambda part: {"not": part}),
        ),
        max_leaves=5,
    )


@st.composite
def serves(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        return {"variant": draw(st.sampled_from(["v0", "v1", "v2"]))}
    cuts = sorted(draw(st.lists(st.integers(0, 100_000), max_size=3)))
    weights = [high - low for low, high in zip([0, *cuts], [*cuts, 100_000], strict=True)]
    shares = [{"variant": draw(st.sampled_from(["v0", "v1", "v2"])), "weight": weight} for weight in weights]
    return {"split": shares, "by": draw(st.sampled_from(["user", "plan", "age"]))}


@st.composite
def flags(draw: st.DrawFn, others: tuple[str, ...]) -> dict[str, Any]:
    rules = st.fixed_dictionaries(
        {"when": conditions(SEGMENTS), "serve": serves()},
        optional={"name": st.sampled_from(["", "one", "two"]), "enabled": st.booleans()},
    )
    requirement = st.fixed_dictionaries(
        {"flag": st.sampled_from([*others, "gone"]), "variants": st.lists(st.sampled_from(["v0", "v1"]), min_size=1)}
    )
    mostly = st.sampled_from([True, True, True, False])
    return {
        "type": "json",
        "salt": draw(st.sampled_from(["shop/a", "", "ü"])),
        "variants": {"v0": True, "v1": 1, "v2": {"deep": [1.0]}},
        "off_variant": draw(st.sampled_from(["v0", "v2"])),
        "requires": draw(st.lists(requirement, max_size=2)) if others else [],
        "on": draw(mostly),
        "killed": not draw(mostly),
        "rules": draw(st.lists(rules, max_size=3)),
        "otherwise": draw(serves()),
    }


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "flags": {name: draw(flags(NAMES[:index])) for index, name in enumerate(NAMES)},
        "segments": {key: draw(conditions(SEGMENTS[:index])) for index, key in enumerate(SEGMENTS)},
    }


known = st.dictionaries(st.sampled_from(["region", "build", "user"]), texts, max_size=3)
overrides = st.dictionaries(
    st.sampled_from([*NAMES, "elsewhere"]), st.one_of(st.just(True), st.just(1), hostile), max_size=1
)
settled = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@settled
@given(documents(), st.lists(contexts, min_size=1, max_size=4), known, overrides)
def test_compile_and_explain_agree(
    data: dict[str, Any], asked: list[dict[str, Any]], process: dict[str, Any], forced: dict[str, Any]
) -> None:
    ruleset = decode_ruleset(data)

    for context in asked:
        for name in (*NAMES, "elsewhere"):
            evaluate(ruleset, name, context, process, forced)


@settled
@given(documents(), contexts)
def test_every_explanation_can_be_written_as_json(data: dict[str, Any], context: dict[str, Any]) -> None:
    ruleset = decode_ruleset(data)

    for name in NAMES:
        told = explain(ruleset, name, context).to_json()
        assert told["steps"]
        json.dumps(told)


@settled
@given(documents(), documents(), st.sets(st.sampled_from(NAMES)), st.booleans(), contexts, known)
def test_a_change_applied_is_the_same_as_all_compiled_anew(
    old: dict[str, Any], new: dict[str, Any], changed: set[str], segments: bool, context: dict[str, Any], process: Any
) -> None:
    before = decode_ruleset(old)
    after = change_ruleset(before, {name: new["flags"][name] for name in changed}, new["segments"] if segments else {})

    fresh = compile_ruleset(after, process)
    applied = recompile(compile_ruleset(before, process), before, after, process)

    assert applied.keys() == fresh.keys()
    for name, evaluator in fresh.items():
        assert answer(evaluator.evaluate(context)) == answer(applied[name].evaluate(context))

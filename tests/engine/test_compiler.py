"""What the compiler promises beyond being right: constants where nothing depends on the caller, and little to redo."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul.counters import counted
from downhaul.engine import change_ruleset, compile_ruleset, explain, recompile
from support.rulesets import evaluate, flag, leaf, one, rule, ruleset, split


@pytest.mark.parametrize(
    "document",
    [
        flag(),
        flag(killed=True, otherwise=split(on=1, off=99_999)),
        flag(on=False, rules=[rule(leaf("user", "exists"), one("off"))]),
        flag(requires=[{"flag": "gone", "variants": ["on"]}], otherwise=split(on=1, off=99_999)),
        flag(rules=[rule(leaf("region", "in", "eu"), one("off"))]),
        flag(rules=[rule({"any": [leaf("region", "in", "us"), leaf("user", "exists")]}, one("off"))]),
        flag(rules=[rule({"all": [leaf("region", "in", "eu"), leaf("user", "exists")]}, one("off"))]),
        flag(otherwise=split("instance", on=50_000, off=50_000)),
    ],
)
def test_a_flag_that_depends_on_nothing_the_caller_says_is_a_constant(document: dict[str, Any]) -> None:
    evaluator = compile_ruleset(ruleset(a=document), {"region": "us", "instance": "pod-1"})["a"]

    assert evaluator.run is None
    assert evaluator.constant is not None


@pytest.mark.parametrize("count", [31, 32, 33, 64, 200])
def test_however_many_rules_there_are_the_first_that_matches_wins(count: int) -> None:
    rules = [
        rule(leaf("n", "gte", number), split(on=number, off=100_000 - number), str(number)) for number in range(count)
    ]
    flags = ruleset(a=flag(rules=rules[::-1], otherwise=one("off")), b=flag(rules=rules[::-1]))

    for asked in (-1, 0, 1, count // 2, count - 1, count):
        expected = str(min(asked, count - 1)) if asked >= 0 else None
        assert evaluate(flags, "a", {"n": asked, "user": "u"})[3] == expected
        assert evaluate(flags, "b", {"n": asked})[2:4] == ("DEFAULT", None)


def test_rules_that_never_match_leave_a_constant_however_many_they_are() -> None:
    never = [rule(leaf("region", "in", "eu"), one("off"))] * 100

    assert compile_ruleset(ruleset(a=flag(rules=never)), {"region": "us"})["a"].run is None


def test_an_outcome_counts_and_is_read_without_being_counted() -> None:
    constant = compile_ruleset(ruleset(a=flag()))["a"].constant
    assert constant is not None

    for _ in range(3):
        next(constant.counter)

    assert counted(constant.counter) == counted(constant.counter) == 3


def test_each_distinct_answer_is_one_object() -> None:
    evaluator = compile_ruleset(ruleset(a=flag(otherwise=split(on=50_000, off=50_000))))["a"]

    given = {id(evaluator.evaluate({"user": str(n)})) for n in range(100)} | {id(evaluator.evaluate({}))}

    assert given <= {id(outcome) for outcome in evaluator.outcomes}
    assert len(given) == 3


def test_a_change_of_one_flag_keeps_the_evaluators_of_the_others() -> None:
    requires = [{"flag": "b", "variants": ["on"]}]
    before = ruleset(a=flag(requires=requires, otherwise=split(on=1, off=99_999)), b=flag(), c=flag())
    old = compile_ruleset(before)

    after = change_ruleset(before, {"b": flag(killed=True)})
    new = recompile(old, before, after)

    assert new["c"] is old["c"]
    assert new["b"] is not old["b"]
    assert new["a"].constant is not None and str(new["a"].constant.reason) == "PREREQUISITE_FAILED"


def test_a_change_of_a_segment_reaches_the_flags_behind_segments_and_prerequisites() -> None:
    segments = {"inner": leaf("plan", "in", "pro"), "outer": {"segment": "inner"}, "apart": leaf("x", "exists")}
    flags = {
        "a": flag(rules=[rule({"segment": "outer"}, one("off"))]),
        "b": flag(requires=[{"flag": "a", "variants": ["on"]}]),
        "c": flag(rules=[rule({"segment": "apart"}, one("off"))]),
    }
    before = ruleset(segments, **flags)
    old = compile_ruleset(before)

    after = change_ruleset(before, {}, segments | {"inner": leaf("plan", "in", "free")})
    new = recompile(old, before, after)

    assert new["c"] is old["c"]
    assert new["b"].evaluate({"plan": "free"}).variant == "off"
    assert new["b"].evaluate({"plan": "pro"}).variant == "on"


def test_true_and_one_are_different_changes() -> None:
    document = flag(type="json", variants={"v": 1, "off": 0}, otherwise=one("v"))
    before = ruleset(a=document)
    after = change_ruleset(before, {"a": document | {"variants": {"v": True, "off": 0}}})

    changed = recompile(compile_ruleset(before), before, after)["a"].constant

    assert changed is not None and changed.value is True


def test_an_explanation_names_the_clause_that_failed_and_the_position_in_the_split() -> None:
    rules = ruleset(
        a=flag(
            rules=[rule({"all": [leaf("plan", "in", "pro"), leaf("age", "gte", 18)]}, one("off"), "adults")],
            otherwise=split(on=50_000, off=50_000),
        )
    )

    told = explain(rules, "a", {"plan": "pro", "age": 17, "user": "user-1"})
    rule_step, last = told.steps[-2:]

    assert rule_step.detail == "rule 1, adults, does not match: age is 17, expected gte 18"
    assert [part["holds"] for part in rule_step.facts["condition"]["all"]] == [True, False]
    assert last.facts["unit"] == "user-1"
    assert 0 <= last.facts["position"] < 100_000
    assert told.variant == ("on" if last.facts["position"] < 50_000 else "off")

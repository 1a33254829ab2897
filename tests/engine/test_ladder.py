"""The ladder of a flag, rung by rung. Every case is asked of both evaluators (`support.rulesets.evaluate`)."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul.engine import explain, position
from support.rulesets import evaluate, flag, leaf, one, rule, ruleset, split

PRO = leaf("plan", "in", "pro")


def test_an_unknown_flag_is_an_error() -> None:
    assert evaluate(ruleset(), "nowhere", {}) == (None, None, "ERROR", None, "FLAG_NOT_FOUND")


def test_an_override_wins_over_a_kill() -> None:
    rules = ruleset(a=flag(killed=True))

    assert evaluate(rules, "a", {}, overrides={"a": True}) == (True, "on", "OVERRIDE", None, None)


def test_an_override_may_have_a_value_that_no_variant_has_and_name_a_flag_that_is_not_there() -> None:
    rules = ruleset(a=flag(type="number", variants={"one": 1, "two": 2}, off_variant="one", otherwise=one("two")))

    assert evaluate(rules, "a", {}, overrides={"a": 3}) == (3, None, "OVERRIDE", None, None)
    assert evaluate(rules, "a", {}, overrides={"a": True})[1] is None  # true is not 1
    assert evaluate(rules, "b", {}, overrides={"b": "blue"}) == ("blue", None, "OVERRIDE", None, None)


def test_a_killed_flag_serves_its_off_variant_whatever_the_rules_say() -> None:
    rules = ruleset(a=flag(killed=True, rules=[rule(leaf("user", "exists"), one("on"))]))

    assert evaluate(rules, "a", {"user": "u"}) == (False, "off", "KILLED", None, None)


def test_a_kill_is_told_before_being_off() -> None:
    assert evaluate(ruleset(a=flag(killed=True, on=False)), "a", {})[2] == "KILLED"


def test_a_flag_that_is_off_serves_its_off_variant() -> None:
    assert evaluate(ruleset(a=flag(on=False)), "a", {}) == (False, "off", "DISABLED", None, None)


def test_the_off_variant_need_not_be_called_off() -> None:
    rules = ruleset(
        a=flag(type="string", variants={"red": "r", "blue": "b"}, off_variant="blue", on=False, otherwise=one("red"))
    )

    assert evaluate(rules, "a", {})[:2] == ("b", "blue")


def test_a_prerequisite_must_have_one_of_the_variants() -> None:
    rules = ruleset(
        a=flag(requires=[{"flag": "b", "variants": ["on"]}]), b=flag(otherwise=split(on=50_000, off=50_000))
    )

    for number in range(50):
        user = f"user-{number}"
        passed = position("shop/flag", user) < 50_000
        expected = (True, "on", "STATIC") if passed else (False, "off", "PREREQUISITE_FAILED")
        assert evaluate(rules, "a", {"user": user})[:3] == expected


@pytest.mark.parametrize("state", [{"killed": True}, {"on": False}, {"otherwise": one("off")}])
def test_a_prerequisite_that_serves_something_else_fails(state: dict[str, Any]) -> None:
    rules = ruleset(a=flag(requires=[{"flag": "b", "variants": ["on"]}]), b=flag(**state))

    assert evaluate(rules, "a", {}) == (False, "off", "PREREQUISITE_FAILED", None, None)


def test_a_prerequisite_may_demand_that_a_flag_is_off() -> None:
    rules = ruleset(a=flag(requires=[{"flag": "b", "variants": ["off"]}]), b=flag(killed=True))

    assert evaluate(rules, "a", {})[0] is True


def test_a_prerequisite_that_is_not_there_fails() -> None:
    rules = ruleset(a=flag(requires=[{"flag": "payments/b", "variants": ["on", "off"]}]))

    assert evaluate(rules, "a", {})[2] == "PREREQUISITE_FAILED"


def test_prerequisites_of_prerequisites_count_and_so_do_overrides_of_them() -> None:
    rules = decode_chain()

    assert evaluate(rules, "a", {})[2] == "PREREQUISITE_FAILED"
    assert evaluate(rules, "a", {}, overrides={"payments/c": True})[0] is True
    assert evaluate(rules, "a", {}, overrides={"payments/c": "neither"})[2] == "PREREQUISITE_FAILED"


def decode_chain() -> Any:
    needs = {"a": "b", "b": "payments/c"}
    flags = {name: flag(requires=[{"flag": other, "variants": ["on"]}]) for name, other in needs.items()}
    return ruleset(**flags, **{"payments/c": flag(on=False)})


def test_all_prerequisites_must_pass() -> None:
    both = [{"flag": "b", "variants": ["on"]}, {"flag": "c", "variants": ["on"]}]
    rules = ruleset(a=flag(requires=both), b=flag(), c=flag(rules=[rule(PRO, one("off"))]))

    assert evaluate(rules, "a", {"plan": "free"})[0] is True
    assert evaluate(rules, "a", {"plan": "pro"})[2] == "PREREQUISITE_FAILED"


def test_the_first_rule_that_matches_wins() -> None:
    rules = ruleset(
        a=flag(
            rules=[rule(PRO, one("on"), "first"), rule(leaf("plan", "exists"), one("off"), "second")],
            otherwise=one("on"),
        )
    )

    assert evaluate(rules, "a", {"plan": "pro"}) == (True, "on", "TARGETING_MATCH", "first", None)
    assert evaluate(rules, "a", {"plan": "free"}) == (False, "off", "TARGETING_MATCH", "second", None)
    assert evaluate(rules, "a", {}) == (True, "on", "DEFAULT", None, None)


def test_a_rule_may_split_by_any_attribute() -> None:
    rules = ruleset(a=flag(rules=[rule(PRO, split("tenant", on=30_000, off=70_000))], otherwise=one("off")))

    for tenant in range(30):
        variant = "on" if position("shop/flag", str(tenant)) < 30_000 else "off"
        assert evaluate(rules, "a", {"plan": "pro", "tenant": tenant})[1:4] == (variant, "SPLIT", "a rule")


def test_a_rule_whose_unit_is_missing_does_not_match() -> None:
    rules = ruleset(a=flag(rules=[rule(PRO, split(on=100_000, off=0))], otherwise=one("off")))

    assert evaluate(rules, "a", {"plan": "pro"}) == (False, "off", "DEFAULT", None, None)


@pytest.mark.parametrize("context", [{}, {"user": None}, {"user": True}, {"user": 1.5}, {"user": ["u"]}])
def test_otherwise_without_a_unit_serves_the_off_variant_and_says_so(context: dict[str, Any]) -> None:
    rules = ruleset(a=flag(otherwise=split(on=100_000, off=0)))

    assert evaluate(rules, "a", context) == (False, "off", "ERROR", None, "TARGETING_KEY_MISSING")


def test_a_split_serves_the_first_variant_whose_cumulative_weight_exceeds_the_position() -> None:
    variants = {"a": "a", "b": "b", "c": "c", "d": "d"}
    rules = ruleset(
        f=flag(type="string", variants=variants, off_variant="d", otherwise=split(d=0, a=20_000, b=30_000, c=50_000))
    )

    for number in range(200):
        at = position("shop/flag", str(number))
        expected = "a" if at < 20_000 else "b" if at < 50_000 else "c"
        assert evaluate(rules, "f", {"user": number})[1:3] == (expected, "SPLIT")


def test_growing_a_rollout_takes_it_away_from_nobody() -> None:
    units = [f"user-{number}" for number in range(2_000)]
    before: set[str] = set()
    for percent in (0, 1, 5, 20, 50, 99, 100):
        rules = ruleset(a=flag(otherwise=split(on=percent * 1000, off=100_000 - percent * 1000)))
        inside = {unit for unit in units if evaluate(rules, "a", {"user": unit})[0]}
        assert before <= inside
        before = inside
    assert before == set(units)


def test_static_default_and_split_tell_how_otherwise_was_reached() -> None:
    assert evaluate(ruleset(a=flag()), "a", {})[2] == "STATIC"
    assert evaluate(ruleset(a=flag(rules=[rule(PRO, one("off"))])), "a", {})[2] == "DEFAULT"
    assert evaluate(ruleset(a=flag(otherwise=split(on=1, off=99_999))), "a", {"user": "u"})[2] == "SPLIT"


def test_segments_are_reused_nested_and_negated() -> None:
    segments = {"staff": leaf("email", "ends_with", "@example.com"), "beta": {"any": [{"segment": "staff"}, PRO]}}
    rules = ruleset(segments, a=flag(rules=[rule({"not": {"segment": "beta"}}, one("off"))]))

    assert evaluate(rules, "a", {"email": "a@example.com"})[0] is True
    assert evaluate(rules, "a", {"plan": "pro"})[0] is True
    assert evaluate(rules, "a", {"email": "a@elsewhere.org"})[0] is False


def test_all_of_nothing_holds_and_any_of_nothing_does_not() -> None:
    assert evaluate(ruleset(a=flag(rules=[rule({"all": []}, one("off"))])), "a", {})[2] == "TARGETING_MATCH"
    assert evaluate(ruleset(a=flag(rules=[rule({"any": []}, one("off"))])), "a", {})[2] == "DEFAULT"


def test_what_the_process_knows_wins_over_the_caller() -> None:
    rules = ruleset(a=flag(rules=[rule(leaf("region", "in", "eu"), one("off"))]))

    assert evaluate(rules, "a", {"region": "eu"}, known={"region": "us"})[0] is True
    assert evaluate(rules, "a", {"region": "us"}, known={"region": "eu"})[0] is False


def test_a_split_by_what_the_process_knows_is_the_same_for_every_call() -> None:
    rules = ruleset(a=flag(otherwise=split("instance", on=50_000, off=50_000)))

    assert evaluate(rules, "a", {}, known={"instance": "pod-1"})[2] == "SPLIT"
    assert evaluate(rules, "a", {"instance": "other"}, known={"instance": "pod-1"}) == evaluate(
        rules, "a", {}, known={"instance": "pod-1"}
    )


def test_a_rule_that_is_switched_off_decides_nothing_and_is_told_of() -> None:
    asleep = rule({"all": []}, one("off"), "everybody") | {"enabled": False}
    rules = ruleset(a=flag(rules=[asleep, rule(PRO, one("off"), "pro")]))

    assert evaluate(rules, "a", {"plan": "pro"}) == (False, "off", "TARGETING_MATCH", "pro", None)
    told = [step.detail for step in explain(rules, "a", {"plan": "pro"}).steps if step.step == "rule"]
    assert told == ["rule 1, everybody, is switched off", "rule 2, pro, matches and serves off"]


def test_a_flag_whose_rules_are_all_switched_off_is_as_one_without_rules() -> None:
    rules = ruleset(a=flag(rules=[rule(PRO, one("off")) | {"enabled": False}]))

    assert evaluate(rules, "a", {"plan": "pro"}) == (True, "on", "STATIC", None, None)


def test_switching_a_rule_off_is_a_change() -> None:
    off = ruleset(a=flag(rules=[rule(PRO, one("off")) | {"enabled": False}]))
    on = ruleset(a=flag(rules=[rule(PRO, one("off")) | {"enabled": True}]))

    assert off.flags["a"] != on.flags["a"]
    assert on.flags["a"] == ruleset(a=flag(rules=[rule(PRO, one("off"))])).flags["a"]

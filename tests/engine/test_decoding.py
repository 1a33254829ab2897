"""Decoding is strict: whatever is wrong is refused, with the place where it is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul.engine import DecodeError, change_ruleset, decode_condition, decode_ruleset, find_cycle
from downhaul.engine.checksum import checksum
from support.rulesets import flag, leaf, one, rule, split


def refusal(flags: Any, segments: Any = None) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode_ruleset({"flags": flags, "segments": {} if segments is None else segments})
    return caught.value


@pytest.mark.parametrize("data", [None, [], 1, "x", {}, {"flags": {}}, {"flags": {}, "segments": {}, "more": 1}])
def test_a_ruleset_is_an_object_of_flags_and_segments(data: Any) -> None:
    with pytest.raises(DecodeError):
        decode_ruleset(data)


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ({"type": "bool"}, "type"),
        ({"type": None}, "type"),
        ({"salt": 1}, "salt"),
        ({"variants": {}}, "variants"),
        ({"variants": []}, "variants"),
        ({"variants": {"on": 1, "off": False}}, "variants.on"),
        ({"variants": {"on": True, "": False}, "off_variant": "on"}, "variants['']"),
        ({"off_variant": "nope"}, "off_variant"),
        ({"off_variant": ["off"]}, "off_variant"),
        ({"requires": {}}, "requires"),
        ({"requires": [{"flag": "b"}]}, "requires[0].variants"),
        ({"requires": [{"flag": "b", "variants": []}]}, "requires[0].variants"),
        ({"requires": [{"flag": 1, "variants": ["on"]}]}, "requires[0].flag"),
        ({"on": 1}, "on"),
        ({"on": "true"}, "on"),
        ({"killed": None}, "killed"),
        ({"rules": {}}, "rules"),
        ({"rules": [[]]}, "rules[0]"),
        ({"rules": [{"when": {"all": []}}]}, "rules[0].serve"),
        ({"rules": [rule(leaf("a", "exists"), one("on")) | {"else": 1}]}, "rules[0].else"),
        ({"rules": [rule(leaf("a", "exists"), one("blue"))]}, "rules[0].serve.variant"),
        ({"rules": [rule(leaf("", "exists"), one("on"))]}, "rules[0].when.attribute"),
        ({"rules": [rule({"all": [leaf("a", "gt", "5")]}, one("on"))]}, "rules[0].when.all[0].values[0]"),
        ({"rules": [rule({"not": {"any": [{"segment": "x"}]}}, one("on"))]}, "rules[0].when.not.any[0].segment"),
        ({"rules": [rule({"all": [], "any": []}, one("on"))]}, "rules[0].when"),
        ({"rules": [rule({}, one("on"))]}, "rules[0].when"),
        ({"rules": [rule({"all": []}, one("on")) | {"enabled": None}]}, "rules[0].enabled"),
        ({"rules": [rule({"all": []}, one("nope")) | {"enabled": False}]}, "rules[0].serve.variant"),
        ({"rules": [rule(leaf("a", "exists") | {"negate": True}, one("on"))]}, "rules[0].when.negate"),
        ({"otherwise": None}, "otherwise"),
        ({"otherwise": {}}, "otherwise.variant"),
        ({"otherwise": {"variant": "on", "split": []}}, "otherwise.variant"),
        ({"otherwise": split(on=50_000, off=49_999)}, "otherwise.split"),
        ({"otherwise": {"split": []}}, "otherwise.split"),
        ({"otherwise": {"split": [{"variant": "on", "weight": 100_000.0}]}}, "otherwise.split[0].weight"),
        ({"otherwise": {"split": [{"variant": "on", "weight": True}]}}, "otherwise.split[0].weight"),
        ({"otherwise": split(on=-1, off=100_001)}, "otherwise.split[0].weight"),
        ({"otherwise": split("", on=100_000)}, "otherwise.by"),
        ({"colour": "blue"}, "colour"),
    ],
    ids=str,
)
def test_a_fault_in_a_flag_is_refused_with_its_place(parts: dict[str, Any], place: str) -> None:
    error = refusal({"a": flag(**parts)})

    assert str(error).startswith(f"flags.a.{place}: ".replace(".[", "["))


@pytest.mark.parametrize("name", ["type", "salt", "variants", "off_variant", "on", "otherwise"])
def test_what_is_missing_is_named(name: str) -> None:
    document = flag()
    del document[name]

    assert str(refusal({"a": document})) == f"flags.a.{name}: missing"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("boolean", [True, False], [0, "true", None]),
        ("string", ["", "x", "\ud800"], [1, None, []]),
        ("number", [0, 1.5, -3, 10**40], [True, "1", None, float("nan"), float("inf")]),
        ("json", [None, True, 1, "x", [], {"a": [1, {"b": None}]}], [float("nan"), {"a": float("inf")}, {1: 2}, (1,)]),
    ],
)
def test_the_values_of_variants_are_of_the_type_of_the_flag(kind: str, good: list[Any], bad: list[Any]) -> None:
    def document(value: Any) -> dict[str, Any]:
        return flag(type=kind, variants={"v": value}, off_variant="v", otherwise=one("v"))

    for value in good:
        decode_ruleset({"flags": {"a": document(value)}, "segments": {}})
    for value in bad:
        assert refusal({"a": document(value)}).path[:4] == ("flags", "a", "variants", "v")


def nested(depth: int) -> dict[str, Any]:
    condition: dict[str, Any] = leaf("a", "exists")
    for _ in range(depth - 1):
        condition = {"not": condition}
    return condition


def test_conditions_are_nested_as_deep_as_32_and_no_deeper() -> None:
    decode_condition(nested(32))
    with pytest.raises(DecodeError, match="nested at most 32 deep"):
        decode_condition(nested(33))


def test_cycles_of_segments_are_refused_and_shown() -> None:
    segments = {"a": {"segment": "b"}, "b": {"not": {"segment": "c"}}, "c": {"all": [{"segment": "a"}]}}

    assert "a -> b -> c -> a" in str(refusal({}, segments))
    assert "a -> a" in str(refusal({}, {"a": {"segment": "a"}}))


def test_cycles_of_prerequisites_are_refused_and_shown() -> None:
    needs_b, needs_a = ([{"flag": name, "variants": ["on"]}] for name in ("shop/b", "a"))

    assert "a -> shop/b -> a" in str(refusal({"a": flag(requires=needs_b), "shop/b": flag(requires=needs_a)}))
    assert "a -> a" in str(refusal({"a": flag(requires=needs_a)}))


def test_a_long_chain_is_no_cycle() -> None:
    graph = {str(n): [str(n + 1)] for n in range(5_000)}

    assert find_cycle(graph) is None
    assert find_cycle(graph | {"5000": ["4999"]}) == ["4999", "5000", "4999"]


def test_a_change_keeps_the_flags_that_it_does_not_name() -> None:
    before = decode_ruleset({"flags": {"a": flag(), "b": flag(), "c": flag()}, "segments": {}})

    after = change_ruleset(before, {"b": flag(killed=True), "c": None, "d": flag()})

    assert set(after.flags) == {"a", "b", "d"}
    assert after.flags["a"] is before.flags["a"]
    assert after.flags["b"].state.killed and not before.flags["b"].state.killed


def test_a_change_is_checked_against_what_is_there() -> None:
    before = decode_ruleset({"flags": {"a": flag(requires=[{"flag": "b", "variants": ["on"]}])}, "segments": {}})

    with pytest.raises(DecodeError, match=r"a -> b -> a|b -> a -> b"):
        change_ruleset(before, {"b": flag(requires=[{"flag": "a", "variants": ["on"]}])})
    with pytest.raises(DecodeError, match="there is no segment 'beta'"):
        change_ruleset(before, {"b": flag(rules=[rule({"segment": "beta"}, one("on"))])})


def test_the_checksum_is_that_of_the_content_and_not_of_its_order() -> None:
    one_way = checksum({"a": {"x": 1, "y": "ü"}, "b": {}}, {})

    assert one_way == checksum({"b": {}, "a": {"y": "ü", "x": 1}}, {})
    assert one_way != checksum({"a": {"x": 1, "y": "u"}, "b": {}}, {})
    assert checksum({}, {}) == "sha256:d0c20a32a05c28bc3e20a911b5c65f664bebcaca454dab08fc2e7cedfb0f315a"
    with pytest.raises(ValueError, match=r"not JSON compliant|Out of range"):
        checksum({"a": float("nan")}, {})

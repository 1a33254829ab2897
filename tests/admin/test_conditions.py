"""Conditions as forms: there and back again, edited by buttons, faults at their fields."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul.engine import decode_condition
from downhaul.engine.operators import OPERATORS
from downhaul_admin import conditions, serving
from downhaul_server.services.errors import Invalid
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.one_of(st.text(max_size=8), st.integers(-99, 99), st.booleans())
LEAVES = st.one_of(
    st.builds(
        lambda name, values: {"attribute": name, "op": "in", "values": values},
        st.text("abc", min_size=1, max_size=3),
        st.lists(VALUES, min_size=1, max_size=3),
    ),
    st.builds(lambda key: {"segment": key}, st.text("abc", min_size=1, max_size=3)),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=8,
)


def fields(node: conditions.Node, place: str = conditions.ROOT) -> dict[str, str]:
    """As a browser sends the form."""
    sent = {f"{place}.kind": node["kind"]} | ({f"{place}.not": "1"} if node["not"] else {})
    for name in ("attribute", "op", "values", "segment"):
        if name in node:
            sent[f"{place}.{name}"] = node[name]
    for number, item in enumerate(node.get("items", ())):
        sent |= fields(item, f"{place}.{number}")
    return sent


def plain(condition: Any) -> Any:
    """Without doubled negations, and with a group at the root, as a form has it."""
    return conditions.to_condition(conditions.to_form(condition))


@given(CONDITIONS)
def test_what_is_sent_back_unchanged_means_the_same(condition: Any) -> None:
    sent = conditions.to_condition(conditions.from_fields(fields(conditions.to_form(condition))))
    assert sent == plain(condition)
    assert decode_condition(sent) == decode_condition(plain(condition))


def test_values_keep_their_types() -> None:
    condition = {"all": [{"attribute": "n", "op": "in", "values": ["12", 12, "true", True, "a b", "", " x", "a\nb"]}]}
    assert plain(condition) == condition


@pytest.mark.parametrize(
    ("deed", "expected"),
    [
        ("add:when", ["clause", "any", "clause"]),
        ("segment:when", ["clause", "any", "segment"]),
        ("group:when", ["clause", "any", "any"]),
        ("remove:when.0", ["any"]),
        ("remove:when.7", ["clause", "any"]),
        ("nonsense", ["clause", "any", "clause"]),
    ],
)
def test_buttons_edit_the_root(deed: str, expected: list[str]) -> None:
    tree = {"kind": "all", "not": False, "items": [conditions.clause(), conditions.group()]}
    assert [item["kind"] for item in conditions.edited(tree, deed)["items"]] == expected


def test_buttons_edit_what_is_nested() -> None:
    tree = {"kind": "all", "not": False, "items": [conditions.group()]}
    more = conditions.edited(tree, "add:when.0")
    assert len(more["items"][0]["items"]) == 2
    assert conditions.edited(more, "remove:when.0.1") == tree


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (("all", 1, "values", 0), "when.1.values"),
        (("not", "any", 0, "all", 2, "op"), "when.0.2.op"),
        (("all", 0, "segment"), "when.0.segment"),
        ((), "when"),
    ],
)
def test_a_fault_is_at_its_field(path: tuple[str | int, ...], field: str) -> None:
    assert conditions.place_of(path) == field


def test_every_operator_is_offered_in_words() -> None:
    offered = conditions.operators()
    assert [name for name, _ in offered] == list(OPERATORS)
    assert len({words for _, words in offered}) == len(offered)
    assert not [words for _, words in offered if "_" in words]


class TestServing:
    def test_there_and_back(self) -> None:
        serve = {"split": [{"variant": "on", "weight": 12_500}, {"variant": "off", "weight": 87_500}], "by": "tenant"}
        assert serving.to_serve(serving.to_fields(serve, ["on", "off"])) == serve
        assert serving.to_serve(serving.to_fields({"variant": "on"}, ["on", "off"])) == {"variant": "on"}

    @pytest.mark.parametrize(
        ("on", "off", "says"), [("50", "40", "90 %"), ("x", "1", "share of on"), ("-1", "101", "share of on")]
    )
    def test_what_is_no_whole_is_refused(self, on: str, off: str, says: str) -> None:
        typed = serving.sent({"serve.kind": "split", "serve.weight.on": on, "serve.weight.off": off}, ["on", "off"])
        with pytest.raises(Invalid, match=says):
            serving.to_serve(typed)
        serving.shares(typed, {"on": "0", "off": "off"})  # and is drawn as far as it goes

    @pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "12.3456"])
    def test_what_is_no_share_is_refused(self, text: str) -> None:
        typed = serving.sent({"serve.kind": "split", "serve.weight.on": text, "serve.weight.off": "0"}, ["on", "off"])
        with pytest.raises(Invalid, match="share of on"):
            serving.to_serve(typed)
        serving.shares(typed, {})

    def test_the_off_variant_never_looks_like_one_that_is_on(self) -> None:
        colours = serving.colours(["control", "a", "b"], "control")
        assert colours == {"control": "off", "a": "0", "b": "1"}
        (everyone,) = serving.shares({"kind": "variant", "variant": "control"}, colours)
        assert everyone["colour"] == "off"

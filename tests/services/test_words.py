"""States and changes, in plain words."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul.engine.operators import OPERATORS
from downhaul_server.services.words import change_sentences, condition_words, people_words, state_sentence

BOOLEAN = {"type": "boolean", "variants": {"on": True, "off": False}, "off_variant": "off", "requires": []}
COLOUR = {"type": "string", "variants": {"red": "#f00", "blue": "#00f"}, "off_variant": "red", "requires": []}
BETA = {"segment": "beta"}
GERMAN = {"attribute": "country", "op": "in", "values": ["DE"]}
PRO = {"attribute": "plan", "op": "in", "values": ["pro"]}
ON = {"variant": "on"}
OFF = {"variant": "off"}


def split(by: str = "user", **weights: int) -> dict[str, Any]:
    return {"split": [{"variant": name, "weight": weight} for name, weight in weights.items()], "by": by}


def state(otherwise: Any = ON, rules: Any = (), *, on: bool = True, killed: Any = None) -> dict[str, Any]:
    return {"on": on, "killed": killed, "rules": list(rules), "otherwise": otherwise}


def rule(when: Any, serve: Any, name: str = "", **more: Any) -> dict[str, Any]:
    return {"name": name, "when": when, "serve": serve, **more}


def flag(**more: Any) -> dict[str, Any]:
    document = {"key": "new", "service": "shop", "description": "", "owner": "", "purpose": "release", "tags": []}
    return {**document, "expires": None, **BOOLEAN, "environments": {"production": state(on=False)}, **more}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (state(), "on for everyone"),
        (state(on=False), "off for everyone"),
        (state(killed={"at": "x", "by": "y", "reason": None}), "killed: off for everyone"),
        (state(OFF), "off for everyone"),
        (state(split(on=25_000, off=75_000)), "on for 25 % of users"),
        (state(split("company", on=12_500, off=87_500)), "on for 12.5 % of companies"),
        (state(split(on=0, off=100_000)), "off for everyone"),
        (
            state(split(on=25_000, off=75_000), [rule(BETA, ON)]),
            "on for 25 % of users, and for everyone in segment beta",
        ),
        (state(OFF, [rule(BETA, ON)]), "off for everyone, but on for everyone in segment beta"),
        (state(ON, [rule(GERMAN, OFF)]), "on for everyone, but off for everyone whose country is DE"),
        (state(ON, [rule(GERMAN, OFF, enabled=False)]), "on for everyone"),
        (state(ON, [rule(BETA, ON), rule(GERMAN, ON)]), "on for everyone"),
        (
            state(ON, [rule(BETA, ON), rule(GERMAN, OFF), rule(PRO, ON)]),
            "on for everyone in segment beta; off for everyone whose country is DE; otherwise on for everyone",
        ),
        (
            state(OFF, [rule(GERMAN, OFF), rule(BETA, split(on=50_000, off=50_000))]),
            "off for everyone whose country is DE; on for 50 % of users in segment beta; otherwise off for everyone",
        ),
    ],
)
def test_a_boolean_flag_is_said_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    assert state_sentence(BOOLEAN, given, {}) == sentence


def test_other_flags_name_their_variants() -> None:
    assert state_sentence(COLOUR, state({"variant": "blue"})) == "blue for everyone"
    assert state_sentence(COLOUR, state(split(blue=25_000, red=75_000))) == "blue for 25 % of users, red for 75 %"
    assert state_sentence(COLOUR, state(on=False)) == "red for everyone"


def test_what_a_flag_needs_is_part_of_what_it_does() -> None:
    needing = BOOLEAN | {"requires": [{"flag": "payments/ledger", "variants": ["on"]}]}
    assert state_sentence(needing, state()) == "on for everyone, but only while payments/ledger is on"
    assert state_sentence(needing, state(on=False)) == "off for everyone"


def test_many_rules_do_not_make_an_endless_sentence() -> None:
    sentence = state_sentence(BOOLEAN, state(OFF, [rule(BETA, ON) for _ in range(30)]))
    assert sentence.endswith("27 more rules; otherwise off for everyone")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (BETA, "in segment beta"),
        ({"not": BETA}, "not in segment beta"),
        (GERMAN, "country is DE"),
        ({"not": GERMAN}, "country is not DE"),
        ({"all": [GERMAN, PRO]}, "country is DE and plan is pro"),
        ({"not": {"all": [GERMAN, PRO]}}, "country is not DE or plan is not pro"),
        ({"any": [BETA, {"all": [GERMAN, PRO]}]}, "in segment beta or (country is DE and plan is pro)"),
        ({"attribute": "build", "op": "semver_gte", "values": ["2.1.0"]}, "build is version 2.1.0 or newer"),
        ({"attribute": "age", "op": "between", "values": [18, 30]}, "age is between 18 and 30"),
        ({"attribute": "email", "op": "exists"}, "email is known"),
        ({"not": {"attribute": "email", "op": "exists"}}, "email is not known"),
        ({"attribute": "city", "op": "in", "values": ["New York", ""]}, 'city is "New York" or ""'),
        ({"attribute": "n", "op": "in", "values": [1, 2, 3, 4, 5, 6, 7]}, "n is 1, 2, 3, 4 or 3 more"),
    ],
)
def test_conditions_are_said_in_words(condition: dict[str, Any], words: str) -> None:
    assert condition_words(condition) == words


def test_every_operator_has_its_words() -> None:
    for operator in OPERATORS:
        for condition in ({"attribute": "a", "op": operator, "values": ["1", "2"]},):
            assert condition_words(condition) != condition_words({"not": condition})


def test_people_are_named_by_their_segments_and_attributes() -> None:
    assert people_words({"all": [BETA, PRO]}) == "everyone in segment beta and whose plan is pro"
    assert people_words({"any": [PRO, BETA]}, {"beta": "Beta testers"}) == (
        "everyone whose plan is pro or who is in segment Beta testers"
    )


def test_a_change_of_a_state_says_what_it_does() -> None:
    before = flag()
    wider = flag(environments={"production": state(split(on=20_000, off=80_000), [rule(BETA, ON, "testers")])})
    assert change_sentences(before, wider) == [
        "In production: switched on; it is then on for 20 % of users, and for everyone in segment beta.",
        "In production: adds rule 1 “testers”: on for everyone in segment beta.",
        "In production: where no rule matches, on for 20 % of users; it was on for everyone.",
    ]
    assert change_sentences(wider, before)[0] == "In production: switched off."
    assert change_sentences(before, before) == []


def test_rules_are_recognised_when_they_move_change_or_are_switched_off() -> None:
    def with_rules(*rules: Any) -> dict[str, Any]:
        return flag(environments={"production": state(rules=rules)})

    one, other = rule(BETA, ON, "testers"), rule(GERMAN, OFF, "germans")
    assert change_sentences(with_rules(one, other), with_rules(other, one)) == [
        "In production: puts the rules in another order: rule 1 “germans”, rule 2 “testers”."
    ]
    assert change_sentences(with_rules(one, other), with_rules(other)) == [
        "In production: removes rule 1 “testers”: on for everyone in segment beta."
    ]
    assert change_sentences(with_rules(one), with_rules(one | {"enabled": False})) == [
        "In production: switches rule 1 “testers” off: on for everyone in segment beta."
    ]
    assert change_sentences(with_rules(one), with_rules(rule(PRO, ON, "testers"))) == [
        "In production: changes rule 1 “testers”: on for everyone whose plan is pro; "
        "it was on for everyone in segment beta."
    ]


def test_what_holds_everywhere_is_said_too() -> None:
    after = flag(
        variants={"on": True, "off": False, "late": False},
        requires=[{"flag": "ledger", "variants": ["on"]}],
        owner="team-a",
        tags=["pay"],
    )
    assert change_sentences(flag(), after) == [
        'The owner is team-a; it was "".',
        "The tags are pay; they were none.",
        "Adds the variant late, false.",
        "It needs ledger to be on; it needed no other flag.",
    ]


def test_flags_come_and_go() -> None:
    there = flag(environments={"production": state(), "staging": state(on=False)})
    assert change_sentences(None, there) == [
        "Creates the boolean flag shop/new.",
        "In production it is on for everyone.",
    ]
    assert change_sentences(there, None) == [
        "Deletes the flag shop/new.",
        "In production it was on for everyone.",
    ]


def test_a_kill_and_its_end_are_said() -> None:
    killed = flag(environments={"production": state(killed={"at": "x", "by": "y", "reason": None})})
    there = flag(environments={"production": state()})
    assert change_sentences(there, killed) == ["In production: killed; everyone gets off."]
    assert change_sentences(killed, there) == ["In production: the kill is lifted; it is then on for everyone."]


def test_segments_and_environments_have_sentences() -> None:
    before = {"key": "beta", "name": "Beta", "when": GERMAN}
    assert change_sentences(before, before | {"when": PRO}) == [
        "The segment beta is everyone whose plan is pro; it was everyone whose country is DE."
    ]
    place = {"key": "production", "name": "production", "protected": True, "approvals": 2}
    assert change_sentences(place, place | {"protected": False, "approvals": 0}) == [
        "production is not protected any more.",
        "A change in production needs no approval; it needed 2 approvals.",
    ]

"""Documents in plain words."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul.cli import words
from support.cli import FLAG


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"segment": "beta"}, "in segment beta"),
        ({"attribute": "plan", "op": "in", "values": ["pro"]}, 'plan is "pro"'),
        ({"attribute": "plan", "op": "in", "values": ["pro", "team"]}, 'plan is "pro" or "team"'),
        ({"attribute": "age", "op": "between", "values": [18, 30]}, "age is between 18 and 30"),
        ({"attribute": "age", "op": "gte", "values": [18]}, "age >= 18"),
        ({"attribute": "user", "op": "exists"}, "user is there"),
        ({"attribute": "ip", "op": "cidr", "values": ["10.0.0.0/8"]}, 'ip is an address in "10.0.0.0/8"'),
        ({"attribute": "x", "op": "of_tomorrow", "values": [1]}, "x of_tomorrow 1"),
        ({"not": {"segment": "beta"}}, "not (in segment beta)"),
        ({"all": []}, "always"),
        ({"any": []}, "never"),
        ({"all": [{"segment": "a"}]}, "in segment a"),
        ({"all": [{"segment": "a"}, {"segment": "b"}]}, "in segment a and in segment b"),
        (
            {"all": [{"segment": "a"}, {"any": [{"segment": "b"}, {"segment": "c"}]}]},
            "in segment a and (in segment b or in segment c)",
        ),
    ],
)
def test_a_condition_reads_as_a_sentence(document: dict[str, Any], text: str) -> None:
    assert words.condition(document) == text


@pytest.mark.parametrize(
    ("weight", "text"), [(0, "0 %"), (1, "0.001 %"), (25_000, "25 %"), (33_333, "33.333 %"), (100_000, "100 %")]
)
def test_a_weight_is_shown_in_percent_without_rounding(weight: int, text: str) -> None:
    assert words.percent(weight) == text


def test_what_is_served_names_every_share_and_what_decides() -> None:
    split = [{"variant": "on", "weight": 25_000}, {"variant": "off", "weight": 75_000}]

    assert words.serve({"variant": "on"}) == "on"
    assert words.serve({"split": split, "by": "tenant"}) == "25 % on, 75 % off, by tenant"


STATIC_ON = {"variant": "on"}
RULE = FLAG["environments"]["production"]["rules"][0]
QUARTER = FLAG["environments"]["production"]["otherwise"]


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"on": True, "killed": {"by": "anna"}, "rules": [RULE], "otherwise": STATIC_ON}, "killed"),
        ({"on": False, "killed": None, "rules": [RULE], "otherwise": STATIC_ON}, "off"),
        ({"on": True, "killed": None, "rules": [], "otherwise": STATIC_ON}, "on"),
        ({"on": True, "killed": None, "rules": [], "otherwise": {"variant": "off"}}, "on: off"),
        ({"on": True, "killed": None, "rules": [], "otherwise": QUARTER}, "on: 25 % on"),
        ({"on": True, "killed": None, "rules": [RULE], "otherwise": STATIC_ON}, "on: 1 rule, otherwise on"),
        ({"on": True, "killed": None, "rules": [RULE, RULE], "otherwise": QUARTER}, "on: 2 rules, 25 % on"),
    ],
)
def test_a_state_is_said_in_a_few_words(state: dict[str, Any], text: str) -> None:
    assert words.state({**FLAG, "environments": {"production": state}}, "production") == text


def test_a_kill_is_told_with_who_when_and_why() -> None:
    killed = FLAG["environments"]["staging"]

    assert (
        words.state_sentence(killed)
        == "killed by anna, 2026-11-23 22:07:01 UTC: double charges (once restored, it is on)"
    )
    assert words.state_sentence({**killed, "killed": {**killed["killed"], "reason": None}}).endswith(
        "22:07:01 UTC (once restored, it is on)"
    )


def test_times_are_shown_in_utc_and_what_is_no_time_stays_as_it_is() -> None:
    assert words.when("2026-11-23T23:07:01+01:00") == "2026-11-23 22:07:01 UTC"
    assert words.when(None) == "None"

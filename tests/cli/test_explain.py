"""`downhaul explain`: why does this user get that?"""

from __future__ import annotations

from typing import Any

import pytest
from support.cli import FakeService, Shell

EXPLANATION: dict[str, Any] = {
    "flag": "new-checkout",
    "environment": "production",
    "value": True,
    "variant": "on",
    "reason": "TARGETING_MATCH",
    "rule": "beta testers",
    "error_code": None,
    "error_message": None,
    "revision": 42,
    "steps": [
        {"step": "killed", "passed": True, "detail": "not killed"},
        {"step": "on", "passed": True, "detail": "on"},
        {"step": "rule", "passed": False, "detail": 'rule 1 does not match: plan is missing, expected in "pro"'},
        {"step": "rule", "passed": True, "detail": "rule 2, beta testers, matches and serves on", "number": 2},
    ],
}


def test_attributes_are_texts_unless_they_are_marked_as_json(service: FakeService, shell: Shell) -> None:
    service.will_answer(EXPLANATION)

    shell(
        *("explain", "checkout/new-checkout", "-e", "staging"),
        *("user=42", "plan=pro", "count:=3", 'groups:=["a"]', "beta:=true", "note=a=b", "empty=", "nobody:=null"),
    )

    assert service.last.path == "/api/v1/services/checkout/flags/new-checkout/explain"
    assert service.last.body == {
        "environment": "staging",
        "context": {
            "user": "42",
            "plan": "pro",
            "count": 3,
            "groups": ["a"],
            "beta": True,
            "note": "a=b",
            "empty": "",
            "nobody": None,
        },
    }


def test_without_attributes_it_explains_what_nobody_in_particular_gets(service: FakeService, shell: Shell) -> None:
    service.will_answer(EXPLANATION)

    assert shell("explain", "checkout/new-checkout").code == 0
    assert service.last.body == {"context": {}}


def test_the_answer_is_told_first_and_then_each_step_with_its_verdict(service: FakeService, shell: Shell) -> None:
    service.will_answer(EXPLANATION)

    lines = shell("explain", "checkout/new-checkout", "user=42").out.splitlines()

    assert lines[0] == (
        'checkout/new-checkout in production: on = true (TARGETING_MATCH, rule "beta testers", revision 42)'
    )
    assert [line.split() for line in lines[3:5]] == [
        ["1", "killed", "goes", "on", "not", "killed"],
        ["2", "on", "goes", "on", "on"],
    ]
    assert "does not match" in lines[5] and "plan is missing" in lines[5]
    assert lines[6].split()[:3] == ["4", "rule", "serves"]


def test_an_error_of_the_evaluation_is_told_with_its_code(service: FakeService, shell: Shell) -> None:
    error = {"reason": "ERROR", "rule": None, "error_code": "TARGETING_KEY_MISSING", "variant": "off", "value": False}
    service.will_answer({**EXPLANATION, **error})

    result = shell("explain", "checkout/new-checkout")

    assert result.code == 0
    assert "off = false (ERROR, TARGETING_KEY_MISSING, revision 42)" in result.out


@pytest.mark.parametrize("attribute", ["user", "=42", ":=42", "count:=three", "count:=NaN", "count:=1e999", "count:="])
def test_what_is_no_attribute_is_wrong_usage(service: FakeService, shell: Shell, attribute: str) -> None:
    result = shell("explain", "checkout/new-checkout", attribute)

    assert result.code == 2
    assert service.asked == []


def test_json_is_the_evaluation_as_the_service_gave_it(service: FakeService, shell: Shell) -> None:
    service.will_answer(EXPLANATION)

    assert shell("explain", "checkout/new-checkout", "--json").json == EXPLANATION

"""Kill and restore from the command line."""

from __future__ import annotations

import pytest
from support.cli import KILLED, FakeService, Shell


def test_a_kill_says_in_one_line_what_happened(service: FakeService, shell: Shell) -> None:
    service.will_answer(KILLED)

    result = shell("kill", "checkout/new-checkout")

    assert (result.code, result.err) == (0, "")
    assert result.out == "checkout/new-checkout is killed in production (revision 42).\n"
    assert service.last.method == "POST"
    assert service.last.path == "/api/v1/services/checkout/flags/new-checkout/kill"
    assert service.last.body == {}


def test_a_kill_sends_the_environment_and_the_reason(service: FakeService, shell: Shell) -> None:
    service.will_answer({**KILLED, "environment": "staging"})

    shell("kill", "checkout/new-checkout", "-e", "staging", "--reason", "double charges")

    assert service.last.body == {"environment": "staging", "reason": "double charges"}


def test_killing_what_is_killed_already_is_a_success(service: FakeService, shell: Shell) -> None:
    service.will_answer({**KILLED, "changed": False, "unchanged": KILLED["flags"]})

    result = shell("kill", "checkout/new-checkout")

    assert result.code == 0
    assert result.out == "checkout/new-checkout was already killed in production (revision 42).\n"


def test_many_are_killed_in_one_request(service: FakeService, shell: Shell) -> None:
    service.will_answer({**KILLED, "flags": ["checkout/a", "payments/b"], "unchanged": ["checkout/a"]})

    result = shell("kill", "checkout/a", "payments/b")

    assert result.code == 0
    assert result.out == (
        "2 flags are killed in production (revision 42), 1 of them already before: checkout/a, payments/b.\n"
    )
    assert len(service.asked) == 1
    assert service.last.path == "/api/v1/kill"
    assert service.last.body == {"flags": ["checkout/a", "payments/b"]}


def test_tags_and_services_select_in_bulk(service: FakeService, shell: Shell) -> None:
    service.will_answer(KILLED)

    shell("kill", "--tag", "payments", "--tag", "beta", "--service", "checkout", "-e", "staging")

    assert service.last.path == "/api/v1/kill"
    assert service.last.body == {"tags": ["payments", "beta"], "services": ["checkout"], "environment": "staging"}


def test_a_name_that_does_not_exist_does_not_hide_that_the_others_are_killed(
    service: FakeService, shell: Shell
) -> None:
    service.will_answer({**KILLED, "not_found": ["checkout/typo"]})

    result = shell("kill", "checkout/new-checkout", "checkout/typo")

    assert result.code == 4
    assert result.out.startswith("checkout/new-checkout is killed in production")
    assert "checkout/typo" in result.err


def test_a_kill_of_nothing_is_wrong_usage_and_asks_nobody(service: FakeService, shell: Shell) -> None:
    result = shell("kill")

    assert result.code == 2
    assert "SERVICE/FLAG, --tag or --service" in result.err
    assert service.asked == []


def test_a_retried_kill_is_one_kill(service: FakeService, shell: Shell) -> None:
    service.will_hang_up()
    service.will_answer(KILLED)

    result = shell("kill", "checkout/new-checkout")

    assert result.code == 0
    first, second = (asked.headers["Idempotency-Key"] for asked in service.asked)
    assert first == second


def test_two_kills_are_two_operations(service: FakeService, shell: Shell) -> None:
    service.will_answer(KILLED)

    shell("kill", "checkout/new-checkout")
    shell("kill", "checkout/new-checkout")

    first, second = (asked.headers["Idempotency-Key"] for asked in service.asked)
    assert first != second


def test_a_kill_without_any_answer_says_that_it_may_have_been_made(service: FakeService, shell: Shell) -> None:
    service.will_hang_up()

    result = shell("kill", "checkout/new-checkout")

    assert result.code == 7
    assert len(service.asked) == 2
    assert "not known whether the change was made" in result.err


def test_a_kill_never_follows_a_redirect(service: FakeService, shell: Shell) -> None:
    service.will_answer({}, 302, Location="https://elsewhere.example/login")

    result = shell("kill", "checkout/new-checkout")

    assert result.code == 7
    assert "redirects to https://elsewhere.example/login" in result.err
    assert len(service.asked) == 1


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"[]", b""])
def test_an_answer_that_is_not_downhauls_is_no_kill(service: FakeService, shell: Shell, body: bytes) -> None:
    service.will_answer(body)

    result = shell("kill", "checkout/new-checkout")

    assert (result.code, result.out) == (7, "")
    assert "not Downhaul's" in result.err


@pytest.mark.parametrize("document", [{}, {"items": []}, {"revision": 42}])
def test_json_that_is_no_answer_to_a_kill_is_no_kill(service: FakeService, shell: Shell, document: object) -> None:
    service.will_answer(document)

    result = shell("kill", "checkout/new-checkout")

    assert (result.code, result.out) == (7, "")


def test_a_restore_needs_a_reason(service: FakeService, shell: Shell) -> None:
    result = shell("restore", "checkout/new-checkout")

    assert result.code == 2
    assert "--reason" in result.err
    assert service.asked == []


def test_a_restore_says_what_happened(service: FakeService, shell: Shell) -> None:
    service.will_answer({**KILLED, "revision": 43})

    result = shell("restore", "checkout/new-checkout", "--reason", "fixed in 2.1.1")

    assert result.out == "checkout/new-checkout is restored in production (revision 43).\n"
    assert service.last.path.endswith("/flags/new-checkout/restore")
    assert service.last.body == {"reason": "fixed in 2.1.1"}


def test_restoring_what_was_not_killed_is_a_success(service: FakeService, shell: Shell) -> None:
    service.will_answer({**KILLED, "changed": False, "unchanged": KILLED["flags"]})

    result = shell("restore", "checkout/new-checkout", "--reason", "to be sure")

    assert result.code == 0
    assert "was not killed in production" in result.out


def test_json_is_the_answer_as_the_service_gave_it(service: FakeService, shell: Shell) -> None:
    service.will_answer(KILLED)

    assert shell("kill", "checkout/new-checkout", "--json").json == KILLED


def test_a_kill_that_a_failover_may_undo_says_so(service: FakeService, shell: Shell) -> None:
    held = {"survives": "crash", "replicas": 0, "replicas_wanted": 1}
    service.will_answer({**KILLED, "durability": held})

    result = shell("kill", "checkout/new-checkout")

    assert result.code == 0
    assert result.out.endswith("Only 0 of 1 replicas of Redis hold it: a failover may undo it.\n")


def test_a_kill_that_is_held_by_replicas_says_no_more(service: FakeService, shell: Shell) -> None:
    service.will_answer({**KILLED, "durability": {"survives": "failover", "replicas": 1, "replicas_wanted": 1}})

    result = shell("kill", "checkout/new-checkout")

    assert result.out == "checkout/new-checkout is killed in production (revision 42).\n"

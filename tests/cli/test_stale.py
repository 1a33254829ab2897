"""`stale`: what may be tidied away, and leaving it alone."""

from __future__ import annotations

from support.cli import FakeService, Shell

ITEM = {
    "service": "checkout",
    "flag": "gone",
    "environment": "production",
    "reason": "expired",
    "sentence": "Its expiry date has passed.",
    "variant": None,
    "last_served": None,
    "owner": "team-a",
    "purpose": "release",
    "created_at": "2026-01-01T00:00:00Z",
    "expires": "2026-06-01",
    "snoozed": None,
}


def test_each_stale_flag_has_a_line(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [ITEM], "next": None})
    result = shell("stale", "list", "-e", "staging", "--service", "checkout")
    assert result.code == 0 and "checkout/gone" in result.out and "Its expiry date has passed." in result.out
    assert service.last.path == "/api/v1/stale"
    assert (service.last.query["environment"], service.last.query["snoozed"]) == ("staging", "false")


def test_those_that_are_left_alone_say_until_when(service: FakeService, shell: Shell) -> None:
    standing = {"until": "2027-01-31", "reason": "the sale", "by": "ada", "at": "2026-11-01T00:00:00Z"}
    service.will_answer({"items": [ITEM | {"snoozed": standing}], "next": None})
    result = shell("stale", "list", "--snoozed")
    assert "2027-01-31" in result.out and "the sale (ada)" in result.out


def test_a_flag_is_snoozed_and_woken(service: FakeService, shell: Shell) -> None:
    service.will_answer({"service": "checkout", "flag": "gone", "until": "2027-01-31"})
    result = shell("stale", "snooze", "checkout/gone", "--until", "2027-01-31", "--reason", "the sale")
    assert "left alone until 2027-01-31" in result.out
    assert service.last.path == "/api/v1/services/checkout/flags/gone/snooze"
    assert service.last.body == {"until": "2027-01-31", "reason": "the sale"}
    assert shell("stale", "wake", "checkout/gone").code == 0
    assert service.last.method == "DELETE"

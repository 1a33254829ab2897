"""Flags for browsers, from the command line."""

from __future__ import annotations

import pytest
from support.cli import FLAG, FakeService, Shell


@pytest.mark.parametrize(("option", "client", "said"), [("--show", True, "shown to"), ("--hide", False, "hidden from")])
def test_a_flag_is_shown_and_hidden(service: FakeService, shell: Shell, option: str, client: bool, said: str) -> None:
    service.will_answer(FLAG | {"client": client})
    done = shell(
        "flags", "client", "checkout/new-checkout", option, "--reason", "a page needs it", "--if-version", "42"
    )
    assert (done.code, done.out) == (0, f"checkout/new-checkout is {said} clients.\n")
    assert (service.last.method, service.last.body) == ("PATCH", {"client": client})
    assert service.last.headers["If-Match"] == '"42"'
    assert shell("flags", "client", "checkout/new-checkout").code == 2  # one of the two has to be said


def test_others_are_asked_where_they_have_to_approve_it(service: FakeService, shell: Shell) -> None:
    review = {"id": "r1", "approvals_needed": 1, "approvals": [], "expires_at": "2027-01-31T00:00:00Z", "summary": []}
    service.will_answer(review)
    done = shell("flags", "client", "checkout/new-checkout", "--show", "--review", "--reason", "a page needs it")
    assert done.code == 0
    assert service.last.body == {
        "service": "checkout",
        "flag": "new-checkout",
        "change": {"patch": {"client": True}},
        "reason": "a page needs it",
    }


def test_it_is_made_so_and_the_page_of_a_flag_says_it(service: FakeService, shell: Shell) -> None:
    service.will_answer(FLAG | {"client": True})
    shell("flags", "create", "checkout/banner", "--client")
    assert service.last.body["client"] is True
    shell("flags", "create", "checkout/banner")
    assert "client" not in service.last.body
    assert "browsers see it" in shell("flags", "show", "checkout/new-checkout").out

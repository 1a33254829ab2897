"""The mark that shows a flag to browsers: who may set it, what it changes, and that old flags are not marked."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import ApprovalRequired, Forbidden, Invalid
from downhaul_server.services.flag_forms import comparable, for_clients
from downhaul_server.services.words import change_sentences
from support.services import ADMIN, CHECKOUT, FLAG, actor, boolean, sdk_key


def mark(services: Services, client: Any = True, by: Any = ADMIN, **more: Any) -> dict[str, Any]:
    return services.flags.patch(by, CHECKOUT, FLAG, {"client": client}, **more)


def test_a_flag_is_not_marked_unless_somebody_says_so(services: Services) -> None:
    assert services.flags.get(ADMIN, CHECKOUT, FLAG)["client"] is False
    assert mark(services)["client"] is True
    assert services.flags.patch(ADMIN, CHECKOUT, FLAG, {"owner": "us"})["client"] is True
    assert mark(services, None)["client"] is False
    mark(services)
    assert services.flags.replace(ADMIN, CHECKOUT, FLAG, boolean())[0]["client"] is False


def test_flags_of_older_releases_are_not_marked() -> None:
    old = {"environments": {}, "variants": {}, "order": []}
    old |= dict.fromkeys(("key", "service", "description", "owner", "purpose", "tags", "expires", "type", "salt"), "")
    old |= {"off_variant": "", "requires": []}
    assert not for_clients(old) and comparable(old, [])["client"] is False


def test_anything_but_true_and_false_is_refused(services: Services) -> None:
    for wrong in ("yes", 1, [], {}):
        with pytest.raises(Invalid, match="client: expected true or false"):
            mark(services, wrong)


def test_it_is_for_those_who_may_change_the_flag_everywhere(services: Services) -> None:
    with pytest.raises(Forbidden):
        mark(services, by=actor(environments=["staging"]))
    assert mark(services, by=actor())["client"] is True


def test_it_is_in_no_snapshot_and_everybody_hears_of_it_all_the_same(services: Services) -> None:
    before = services.snapshots.get(sdk_key(), CHECKOUT)
    mark(services)
    after = services.snapshots.get(sdk_key(), CHECKOUT)
    assert after.revision > before.revision and after.content.flags == before.content.flags


def test_a_protected_environment_holds_it_up_both_ways(services: Services) -> None:
    services.catalog.patch_environment(ADMIN, "production", {"protected": True})
    with pytest.raises(Invalid, match="reason"):
        mark(services, by=actor())
    assert mark(services, by=actor(), reason="a page needs it")["client"] is True
    services.catalog.patch_environment(ADMIN, "production", {"approvals": 1})
    with pytest.raises(ApprovalRequired):
        mark(services, False, by=actor(), reason="no more")
    review = services.reviews.open(
        actor(), {"service": CHECKOUT, "flag": FLAG, "change": {"patch": {"client": False}}, "reason": "no more"}
    )
    assert "Clients may not evaluate it any more." in review["summary"]


def test_it_is_told_in_words(services: Services) -> None:
    before, after = services.flags.get(ADMIN, CHECKOUT, FLAG), mark(services)
    assert change_sentences(before, after) == ["Clients may evaluate it: browsers see it."]
    assert "Clients may evaluate it: browsers see it." in change_sentences(None, after)
    assert change_sentences(after, before) == ["Clients may not evaluate it any more."]

"""The kills that have not arrived everywhere, as the metrics tell them."""

from __future__ import annotations

import pytest
from downhaul_server.services.container import Services
from support.fleet import Instance, pass_time
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, boolean
from support.waiting import wait_until

HERE = (CHECKOUT, "production")
SILENT_S, GONE_S = 120.0, 700.0


@pytest.fixture
def fleet(services: Services) -> list[Instance]:
    """Two instances that have everything."""
    found = [Instance(f"checkout-{number}") for number in (1, 2)]
    for instance in found:
        instance.report(services)
    return found


def kill(services: Services, flag: str = FLAG, service: str = CHECKOUT, environment: str = "production") -> int:
    """Kill, and wait until this process serves it; gives the revision."""
    revision = services.kill.kill(ADMIN, service, flag, environment=environment).revision
    wait_until(lambda: services.snapshots.view.revision >= revision, "it is served")
    return revision


def unconfirmed(services: Services) -> int:
    return services.unconfirmed_kills.counts()[HERE]


def test_nothing_is_killed_and_nothing_is_unconfirmed(services: Services, fleet: list[Instance]) -> None:
    assert services.unconfirmed_kills.counts() == {HERE: 0}


def test_a_kill_counts_until_the_last_instance_has_applied_it(services: Services, fleet: list[Instance]) -> None:
    kill(services)
    kill(services, "old-banner")
    assert unconfirmed(services) == 2
    fleet[0].report(services)
    assert unconfirmed(services) == 2
    fleet[1].report(services)
    assert unconfirmed(services) == 0


def test_who_has_only_the_first_of_two_kills_lacks_one(services: Services, fleet: list[Instance]) -> None:
    first = kill(services)
    kill(services, "old-banner")
    for instance in fleet:
        instance.report(services, first)
    assert unconfirmed(services) == 1


def test_an_edit_after_the_kill_does_not_make_it_unconfirmed(services: Services, fleet: list[Instance]) -> None:
    killed = kill(services)
    for instance in fleet:
        instance.report(services, killed)
    services.flags.patch(ADMIN, CHECKOUT, FLAG, {"description": "edited since"})
    assert unconfirmed(services) == 0


def test_a_restored_flag_is_no_standing_kill(services: Services, fleet: list[Instance]) -> None:
    kill(services)
    services.kill.restore(ADMIN, CHECKOUT, FLAG, reason="it was not the flag")
    wait_until(lambda: unconfirmed(services) == 0, "the kill is gone")


def test_who_is_silent_is_waited_for_and_who_is_gone_is_not(services: Services, fleet: list[Instance]) -> None:
    kill(services)
    pass_time(services, SILENT_S)
    assert unconfirmed(services) == 1
    pass_time(services, GONE_S)
    assert unconfirmed(services) == 0


def test_other_environments_and_services_are_not_concerned(services: Services, fleet: list[Instance]) -> None:
    kill(services, environment="staging")
    kill(services, "new-ledger", PAYMENTS)
    assert unconfirmed(services) == 0


def test_a_prerequisite_elsewhere_is_concerned(services: Services, fleet: list[Instance]) -> None:
    requires = [{"flag": f"{PAYMENTS}/new-ledger", "variants": ["on"]}]
    services.flags.create(ADMIN, CHECKOUT, boolean("ledger-page", requires=requires))
    for instance in fleet:
        instance.report(services)
    kill(services, "new-ledger", PAYMENTS)
    assert unconfirmed(services) == 1

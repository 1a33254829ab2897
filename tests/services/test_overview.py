"""Flags at a glance: kept for each revision, and never another one's."""

from __future__ import annotations

from downhaul_server.services.container import Services
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, actor, boolean


def words(services: Services, environment: str = "production", **options: str) -> dict[str, str]:
    rows = services.overview.flags(ADMIN, environment, **options)
    return {f"{row.service}/{row.flag}": row.word for row in rows}


def test_each_change_is_seen_at_once_in_its_environment_alone(services: Services) -> None:
    name = f"{CHECKOUT}/{FLAG}"
    services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rules": [], "rollout": 25})
    assert words(services)[name] == "partly"
    before = words(services, "staging")
    services.kill.kill(ADMIN, CHECKOUT, FLAG, environment="production")
    assert words(services)[name] == "killed"
    assert next(iter(words(services))) == name, "killed ones come first"
    assert words(services, "staging") == before
    services.flags.delete(ADMIN, CHECKOUT, FLAG)
    assert name not in words(services)
    services.flags.create(ADMIN, CHECKOUT, boolean(FLAG))
    assert words(services)[name] == "off"


def test_what_is_kept_is_shown_to_nobody_who_may_not_see_it(services: Services) -> None:
    assert {row.service for row in services.overview.flags(ADMIN, "production")} >= {CHECKOUT, PAYMENTS}
    somebody = actor("viewer", services=[CHECKOUT])
    assert {row.service for row in services.overview.flags(somebody, "production")} == {CHECKOUT}
    assert words(services, query=FLAG.upper()).keys() == {f"{CHECKOUT}/{FLAG}"}

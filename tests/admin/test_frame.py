"""The frame of the pages: what changes is told to whoever looks, errors are pages, and everything in scope only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pages import Browserless, open_pages
from support.redis import FakeRedis, RealRedis

FLAG = "/services/checkout/flags/new-cart"
AWAY = (
    *("/", "/services", "/services/checkout", FLAG, f"{FLAG}/kill", f"{FLAG}/restore", f"{FLAG}/rules/new", "/kill"),
    *("/reviews", "/fleet", "/fleet?service=checkout", "/segments", "/segments/beta", "/environments", "/health"),
    *("/account", "/ui/index.json"),
)


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Browserless]:
    with open_pages(FakeRedis(), tmp_path) as stranger:
        owner = stranger.bootstrap
        for service in ("checkout", "payments"):
            stranger.services.catalog.create_service(owner, {"key": service})
            stranger.services.flags.create(owner, service, {"key": f"new-{service}", "type": "boolean"})
        yield stranger


def events(visitor: Browserless, since: str) -> Iterator[str]:
    answer = visitor.client.get(f"/ui/events?since={since}", base_url="http://localhost", buffered=False)
    assert answer.status_code == 200
    return iter(piece.decode() for piece in answer.iter_encoded())


def test_a_page_that_is_older_than_the_newest_change_is_told_at_once(visitor: Browserless) -> None:
    visitor.sign_in("viewer")
    told = events(visitor, "an-old:1")
    assert next(told).startswith("retry:")
    assert next(told).startswith("event: changed\n")


def test_whoever_is_logged_out_is_told_nothing_more(visitor: Browserless) -> None:
    visitor.sign_in("viewer")
    told = events(visitor, "an-old:1")
    next(told)
    assert visitor.session is not None
    visitor.services.sessions.end(visitor.session)
    assert list(told) == []


def test_the_environment_view_shows_what_somebody_may_see(visitor: Browserless) -> None:
    text = visitor.sign_in("viewer", services=["checkout"]).get("/").text
    assert "new-checkout" in text
    assert "new-payments" not in text


def test_search_and_state_choose_flags(visitor: Browserless) -> None:
    visitor.sign_in("operator")
    visitor.services.kill.kill(visitor.bootstrap, "payments", "new-payments", environment="production")
    killed = visitor.get("/?environment=production&state=killed").text
    assert 'id="flag-payments--new-payments"' in killed
    assert 'id="flag-checkout--new-checkout"' not in killed
    assert 'id="flag-checkout--new-checkout"' in visitor.get("/?q=CHECK").text
    assert "Nothing fits" in visitor.get("/?q=nope").text


def test_the_palette_knows_what_somebody_may_see_and_is_asked_for_once(visitor: Browserless) -> None:
    answer = visitor.sign_in("viewer", services=["checkout"]).get("/ui/index.json")
    assert answer.get_json()["flags"] == [["checkout", "new-checkout"]]
    assert answer.get_json()["services"] == ["checkout"]
    assert "/people" not in answer.text
    again = visitor.get("/ui/index.json", if_none_match=answer.headers["ETag"])
    assert again.status_code == 304


def test_the_palette_goes_to_a_service_without_flags(visitor: Browserless) -> None:
    visitor.services.catalog.create_service(visitor.bootstrap, {"key": "quiet"})
    assert "quiet" in visitor.sign_in("viewer").get("/ui/index.json").get_json()["services"]


@pytest.mark.redis
def test_whoever_looks_while_redis_is_away_sees_all_that_is_known(tmp_path: Path) -> None:
    real = RealRedis(tmp_path / "redis").start()
    try:
        with open_pages(real, tmp_path / "data") as visitor:
            boss = visitor.bootstrap
            visitor.services.catalog.create_service(boss, {"key": "checkout"})
            visitor.services.flags.create(boss, "checkout", {"key": "new-cart", "type": "boolean"})
            visitor.services.segments.create(boss, {"key": "beta", "when": {"any": []}})
            visitor.sign_in("editor").get("/")
            real.kill()
            for path in AWAY:
                assert visitor.get(path).status_code == 200, path
            assert "new-cart" in visitor.get("/").text and "Redis is away" in visitor.get("/").text
    finally:
        real.kill()


def test_what_is_not_there_or_not_allowed_is_a_page_that_says_so(visitor: Browserless) -> None:
    visitor.sign_in("viewer", services=["checkout"])
    forbidden = visitor.get("/services/payments")
    assert forbidden.status_code == 403
    assert "Not allowed" in forbidden.text
    absent = visitor.by("admin", name="boss").get("/services/nope")
    assert absent.status_code == 404
    assert "There is no service nope." in absent.text


def test_whoever_mistypes_an_address_gets_a_page_and_a_program_a_problem(visitor: Browserless) -> None:
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    assert visitor.get("/kil", **browser).headers["Location"] == "/login?next=%2Fkil"
    visitor.sign_in("viewer")
    mistyped = visitor.get("/kil", **browser)
    assert mistyped.status_code == 404 and "There is no page at this address" in mistyped.text
    assert "default-src 'none'" in mistyped.headers["Content-Security-Policy"]
    assert visitor.get("/kill/confirm/", **browser).status_code == 404
    assert visitor.get("/logout", **browser).status_code == 405
    for path, headers in (("/kil", {}), ("/kil", {"accept": "application/json"}), ("/api/v1/kil", browser)):
        assert visitor.get(path, **headers).content_type == "application/problem+json", path


@pytest.mark.parametrize("path", ["/", "/services/checkout", "/fleet", "/fleet?service=checkout", "/health"])
def test_each_page_has_one_heading_and_no_markup_that_the_policy_forbids(visitor: Browserless, path: str) -> None:
    text = visitor.sign_in("admin", name="boss").get(path).text
    assert text.count("<h1>") == 1
    assert " style=" not in text
    assert "onclick" not in text


def test_hostile_names_are_text(visitor: Browserless) -> None:
    visitor.services.flags.patch(
        visitor.bootstrap, "checkout", "new-checkout", {"owner": "<script>alert(1)</script>", "description": "<b>"}
    )
    assert "<script>alert" not in visitor.sign_in("viewer").get("/").text

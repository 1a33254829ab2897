"""Each page for each role, in light and dark, on a desk and on a phone: axe, no complaint, nothing cut off."""

from __future__ import annotations

import pytest
from support.browser import PHONE, WIDE, House

pytestmark = [pytest.mark.browser, pytest.mark.redis]

FLAG = "/services/checkout/flags/new-cart"
EVERYBODY = (
    "/",
    "/?state=killed",
    "/services",
    "/services/checkout",
    f"{FLAG}?environment=production&context=user%3Dada%0Aplan%3Dfree",
    "/services/payments/flags/pay-2",
    "/changes",
    "/reviews",
    "/stale",
    "/fleet",
    "/fleet?service=checkout",
    "/segments",
    "/segments/beta",
    "/environments",
    "/health",
    "/account",
    "/welcome",
)
OPERATORS = ("/kill", "/kill?recent=1", f"{FLAG}/kill?environment=production")
EDITORS = (
    f"{FLAG}/rules/1?environment=production",
    f"{FLAG}/rules/new?environment=production",
    "/services/payments/flags/pay-2/restore?environment=production",
    "/services/checkout/new-flag",
)
ADMINISTRATORS = ("/keys", "/links", "/people", "/webhooks")
PAGES = {
    "viewer": EVERYBODY,
    "operator": EVERYBODY + OPERATORS,
    "editor": EVERYBODY + OPERATORS + EDITORS,
    "approver": EVERYBODY + OPERATORS + EDITORS,
    "admin": EVERYBODY + OPERATORS + EDITORS + ADMINISTRATORS,
}
LOOKS = [("light", WIDE), ("dark", PHONE)]


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_everything_as_an_administrator_sees_it(house: House, scheme: str, width: int) -> None:
    window = house.window("admin", scheme=scheme, width=width)
    for path in PAGES["admin"]:
        window.open(path).check()


@pytest.mark.parametrize("role", ["viewer", "operator", "editor", "approver"])
def test_everything_as_a_role_sees_it(house: House, role: str) -> None:
    """Each page in both looks: one after the other in the same window, which is quicker than to load it anew."""
    window = house.window(role)
    for path in PAGES[role]:
        window.open(path)
        for scheme, width in LOOKS:
            window.look(scheme, width)
            window.check(axe=False)


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_what_there_is_after_a_deed(house: House, scheme: str, width: int) -> None:
    """Pages of single things, and those that a form answers with."""
    services, boss = house.services, house.visitor.bootstrap
    window = house.window("admin", scheme=scheme, width=width)
    done = services.kill.kill(boss, "payments", "pay-1", environment="production", reason="to look at it")
    services.kill.restore(boss, "payments", "pay-1", environment="production", reason="looked at")
    wanted = {"service": "checkout", "flag": "new-cart", "environment": "production", "reason": "for all"}
    review = services.reviews.open(boss, {**wanted, "change": {"state": {"rollout": 50}}})
    hook = {"name": "chat", "url": "https://hooks.invalid/", "format": "slack", "events": ["flag.kill"]}
    person = next(each for each in services.people.list(boss).items if each["login"] == "the-admin")
    for path in (
        f"/services/payments/flags/pay-1/kill/{done.revision}?environment=production",
        f"/kill/{done.revision}?environment=production&services=payments",
        f"/changes/{done.revision}",
        f"/reviews/{review['id']}",
        f"/people/{person['id']}",
        f"/webhooks/{services.hooks.create(boss, hook)['id']}",
    ):
        window.open(path).check()
    services.reviews.withdraw(boss, review["id"])
    window.open("/kill?environment=production").page.locator('input[name="flag"]').first.check()
    with window.page.expect_navigation():
        window.page.get_by_role("button", name="Kill").first.click()
    window.check()
    stranger = house.stranger(scheme=scheme, width=width)
    stranger.open("/login").check()
    stranger.open("/welcome").check()


@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("path", [f"{FLAG}?environment=production", f"{FLAG}/kill?environment=production", "/kill"])
def test_kill_is_the_largest_button_of_the_page(house: House, path: str, width: int) -> None:
    page = house.window("admin", width=width).open(path).page
    sizes = page.evaluate(
        """[...document.querySelectorAll(".button, button")].map((each) => {
          const { width, height } = each.getBoundingClientRect();
          return [width * height, each.className, each.textContent.trim()];
        })"""
    )
    size, kind, text = max(sizes)
    assert "button-kill" in kind, text
    assert size >= 44 * 44
    assert text.startswith("Kill")


@pytest.mark.parametrize("role", ["viewer", "operator", "editor"])
def test_what_is_for_others_is_refused_in_words(house: House, role: str) -> None:
    window = house.window(role)
    for path in set(PAGES["admin"]) - set(PAGES[role]):
        window.page.goto(house.url + path)
        assert window.page.get_by_role("heading", name="Not allowed").is_visible(), (role, path)
    window.open("/").page.get_by_label("Menu").click()
    assert not window.page.get_by_role("link", name="People").is_visible()

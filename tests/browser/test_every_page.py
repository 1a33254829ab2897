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
    "/services/checkout/flags/new",
)
ADMINISTRATORS = ("/keys", "/links", "/people", "/webhooks")
PAGES = {
    "viewer": EVERYBODY,
    "operator": EVERYBODY + OPERATORS,
    "editor": EVERYBODY + OPERATORS + EDITORS,
    "approver": EVERYBODY + OPERATORS + EDITORS,
    "admin": EVERYBODY + OPERATORS + EDITORS + ADMINISTRATORS,
}
LOOKS = [("light", WIDE), ("dark", PHONE), ("dark", WIDE), ("light", PHONE)]


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_everything_as_an_administrator_sees_it(house: House, scheme: str, width: int) -> None:
    window = house.window("admin", scheme=scheme, width=width)
    for path in PAGES["admin"]:
        window.open(path).check(axe=(scheme, width) in LOOKS[:2])


@pytest.mark.parametrize("role", ["viewer", "operator", "editor", "approver"])
def test_everything_as_a_role_sees_it(house: House, role: str) -> None:
    window = house.window(role, scheme="dark", width=PHONE)
    for path in PAGES[role]:
        window.open(path).check(axe=False)


@pytest.mark.parametrize("role", ["viewer", "operator", "editor"])
def test_what_is_for_others_is_refused_in_words(house: House, role: str) -> None:
    window = house.window(role)
    for path in set(PAGES["admin"]) - set(PAGES[role]):
        window.page.goto(house.url + path)
        assert window.page.get_by_role("heading", name="Not allowed").is_visible(), (role, path)
    window.open("/").page.get_by_label("Menu").click()
    assert not window.page.get_by_role("link", name="People").is_visible()

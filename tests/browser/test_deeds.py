"""What people come for, in a real browser: to kill without scripts, to see each other's changes, to use keys alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from support.browser import PHONE, House
from support.fleet import Instance

pytestmark = [pytest.mark.browser, pytest.mark.redis]

FLAG = "/services/checkout/flags/new-cart"
HERE = f"{FLAG}?environment=production"


def restore(house: House, flag: str = "new-cart", service: str = "checkout") -> None:
    house.services.kill.restore(
        house.visitor.bootstrap, service, flag, environment="production", reason="the next test"
    )


def killed(house: House, flag: str = "new-cart", service: str = "checkout") -> bool:
    document = house.services.flags.get(house.visitor.bootstrap, service, flag)
    return document["environments"]["production"]["killed"] is not None


def test_a_kill_on_a_phone_without_scripts(house: House) -> None:
    page = house.window("operator", width=PHONE, scripts=False).open(HERE).page
    page.get_by_role("link", name="Kill in production").click()
    page.get_by_label(re.compile("Reason")).fill("carts are lost")
    page.locator("main button.button-kill").click()
    expect(page).to_have_url(re.compile(rf"{FLAG}/kill/\d+"))
    assert killed(house)
    page.goto(house.url + HERE)
    expect(page.locator("#says")).to_contain_text("killed: off for everyone")
    restore(house)


def test_the_bar_moves_as_processes_obey(house: House) -> None:
    crowd = [Instance(f"pod-{number}") for number in range(3)]
    for instance in crowd:
        instance.report(house.services)
    page = house.window("operator").open(f"{FLAG}/kill?environment=production").page
    expect(page.locator("main")).to_contain_text("3 live processes of checkout")
    page.locator("main button.button-kill").click()
    expect(page.locator("#obeyed")).to_contain_text("0 of 3 obey")
    for instance in crowd[:2]:
        instance.report(house.services)
    expect(page.locator("#obeyed")).to_contain_text("2 of 3 obey")
    expect(page.locator(".stragglers")).to_contain_text("pod-2")
    crowd[2].report(house.services)
    expect(page.locator("#obeyed")).to_contain_text("All 3")
    for instance in crowd:
        instance.report(house.services, leaving=True, epoch=None)
    restore(house)


def test_many_at_once_without_scripts(house: House) -> None:
    page = house.window("operator", width=PHONE, scripts=False).open("/kill?environment=production").page
    for name in ("pay-0", "pay-1"):
        page.locator(f'input[name="flag"][value="payments/{name}"]').check()
    page.get_by_role("button", name=re.compile("chosen|Kill the|Kill ")).first.click()
    page.locator("main button.button-kill").click()
    expect(page).to_have_url(re.compile(r"/kill/\d+"))
    for name in ("pay-0", "pay-1"):
        assert killed(house, name, "payments")
        restore(house, name, "payments")


def test_two_people_see_each_others_changes_and_lose_nothing_that_they_type(house: House) -> None:
    one, other = house.window("editor"), house.window("admin")
    one.open(HERE)
    other.open(HERE)
    one.page.get_by_text("Change the rollout").click()
    typing = one.page.get_by_label("Divided by the attribute")
    typing.fill("tenant")
    other.page.get_by_role("button", name="Switch off in production").click()
    expect(other.page.locator("#says")).to_contain_text("off for everyone")
    expect(one.page.locator("#says")).to_contain_text("off for everyone")
    expect(typing).to_have_value("tenant")
    expect(typing).to_be_visible()
    other.page.get_by_role("button", name="Switch on in production").click()
    expect(one.page.locator("#says")).to_contain_text("on for 25 % of users")
    one.check(axe=False)
    other.check(axe=False)


def test_the_environment_view_follows_a_kill(house: House) -> None:
    window = house.window("viewer").open("/?environment=production")
    row = window.page.locator("#flag-checkout--new-cart")
    expect(row).to_contain_text("Partly on")
    house.services.kill.kill(house.visitor.bootstrap, "checkout", "new-cart", environment="production")
    expect(row).to_contain_text("Killed")
    restore(house)
    expect(row).to_contain_text("Partly on")
    window.check(axe=False)


def test_a_kill_and_a_restore_by_keys_alone(house: House) -> None:
    page = house.window("editor").open("/?environment=production").page
    page.keyboard.press("/")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.type("new-c")
    expect(page.locator("#palette-found li").first).to_contain_text("checkout/new-cart")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"{FLAG}$"))
    reach(page, "Kill in production")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/kill"))
    reach(page, "Kill", button=True)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/kill/\d+"))
    assert killed(house)
    page.goto(f"{house.url}{FLAG}/restore?environment=production")
    reach(page, "Reason")
    page.keyboard.type("fixed")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/restore/\d+"))
    assert not killed(house)


def test_whatever_can_be_pressed_or_typed_into_is_in_reach_of_the_keys(house: House) -> None:
    window = house.window("admin")
    for path in (
        HERE,
        f"{FLAG}/rules/1?environment=production",
        "/kill?environment=production",
        "/keys",
        "/environments",
    ):
        page = window.open(path).page
        visible = page.evaluate(
            """(() => {
              const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary")];
              window.wanted = new Set(all.filter((each) => each.checkVisibility() && !each.closest(".unseen, .skip")
                && each.type !== "hidden" && !each.disabled && each.tabIndex !== -1));
              // Of radio buttons, one is reached by Tab and the others by arrows.
              for (const each of window.wanted) if (each.type === "radio" && !each.checked) window.wanted.delete(each);
              document.addEventListener("focusin", ({ target }) => window.wanted.delete(target));
              return window.wanted.size;
            })()"""
        )
        assert visible > 5, path
        for _ in range(visible + 20):
            page.keyboard.press("Tab")
        left = page.evaluate("[...window.wanted].map((each) => each.outerHTML.slice(0, 120))")
        assert left == [], path


def test_control_k_goes_to_an_action(house: House) -> None:
    page = house.window("operator").open("/").page
    page.keyboard.press("Control+k")
    page.keyboard.type("kill flags now")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/kill$"))


def test_search_shows_as_one_types(house: House) -> None:
    window = house.window("viewer").open("/?environment=production")
    window.page.locator("#q").press_sequentially("pay-1")
    expect(window.page.locator("#found")).to_contain_text("1 flag with “pay-1”")
    expect(window.page.locator("#q")).to_have_value("pay-1")
    window.check(axe=False)


def test_the_split_follows_the_slider(house: House) -> None:
    page = house.window("editor").open(HERE).page
    page.get_by_text("Change the rollout").click()
    page.get_by_label("Share of on, as a slider").fill("40")
    expect(page.locator("#share-2")).to_have_value("60")
    expect(page.locator(".serving .split rect").first).to_have_attribute("width", "40")
    page.get_by_role("button", name="Save the rollout").click()
    expect(page.locator("#says")).to_contain_text("on for 40 % of users")
    page.get_by_text("Change the rollout").click()
    page.get_by_label("Share of on, as a slider").fill("25")
    page.get_by_role("button", name="Save the rollout").click()
    expect(page.locator("#says")).to_contain_text("on for 25 % of users")


def test_a_nested_rule_without_scripts(house: House) -> None:
    page = house.window("editor", scripts=False).open(f"{FLAG}/rules/new?environment=staging").page
    page.get_by_role("button", name="Group").click()
    page.locator('[name="when.0.attribute"]').fill("plan")
    page.locator('[name="when.0.values"]').fill("pro")
    page.locator('[name="when.1.0.attribute"]').fill("country")
    page.locator('[name="when.1.0.values"]').fill("DE\nFR")
    page.get_by_role("button", name="Save the rule").last.click()
    expect(page.locator("#rule-1")).to_contain_text("plan is pro")
    found = house.services.flags.get(house.visitor.bootstrap, "checkout", "new-cart")
    assert found["environments"]["staging"]["rules"][0]["when"] == {
        "all": [
            {"attribute": "plan", "op": "in", "values": ["pro"]},
            {"any": [{"attribute": "country", "op": "in", "values": ["DE", "FR"]}]},
        ]
    }


def reach(page: object, name: str, *, button: bool = False) -> None:
    """Press Tab until what has this name has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")  # type: ignore[attr-defined]
        found = page.evaluate(  # type: ignore[attr-defined]
            "(() => { const e = document.activeElement; const l = e.labels?.[0]?.textContent ?? '';"
            " return [e.tagName, (e.textContent + ' ' + l).trim().replace(/\\s+/g, ' '), !!e.closest('main')]; })()"
        )
        if found[2] and name in found[1] and (not button or found[0] == "BUTTON"):
            return
    raise AssertionError(f"no way to {name} by Tab")

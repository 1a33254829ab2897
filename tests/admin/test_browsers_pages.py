"""The pages, where they are about browsers: the mark of a flag, and keys for browsers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from support.pages import Browserless

FLAG = "/services/checkout/flags/banner"


def shop(visitor: Browserless) -> Browserless:
    visitor.services.catalog.create_service(visitor.bootstrap, {"key": "checkout"})
    return visitor.by("admin", name="boss")


def flag(visitor: Browserless) -> Mapping[str, Any]:
    return visitor.services.flags.get(visitor.bootstrap, "checkout", "banner")


def ticked(text: str) -> bool:
    (box,) = re.findall(r'<input type="checkbox" name="client"[^>]*>', text)
    return "checked" in box


def test_a_flag_is_marked_by_a_box_and_unmarked_without_it(visitor: Browserless) -> None:
    admin = shop(visitor)
    assert not ticked(admin.get("/services/checkout/new-flag").text)
    form = {"key": "banner", "type": "boolean", "purpose": "release"}
    assert admin.post("/services/checkout/new-flag", form | {"client": "on"}).status_code == 303
    assert flag(visitor)["client"] is True
    page = admin.get(FLAG).text
    assert ticked(page) and "may see it" in page
    facts = {"purpose": "release", "version": flag(visitor)["version"]}
    wrong = admin.post(f"{FLAG}/facts", facts | {"client": "on", "expires": "soon"})
    assert wrong.status_code == 422 and ticked(wrong.text)
    assert not ticked(admin.post(f"{FLAG}/facts", facts | {"expires": "soon"}).text)
    assert admin.post(f"{FLAG}/facts", facts).status_code == 303
    assert flag(visitor)["client"] is False and "do not see it" in admin.get(FLAG).text


def test_where_it_is_protected_the_form_takes_a_reason(visitor: Browserless) -> None:
    admin = shop(visitor)
    visitor.services.flags.create(visitor.bootstrap, "checkout", {"key": "banner", "type": "boolean"})
    visitor.services.catalog.patch_environment(visitor.bootstrap, "production", {"protected": True})
    facts = {"purpose": "release", "client": "on", "version": flag(visitor)["version"]}
    refused = admin.post(f"{FLAG}/facts", facts)
    assert refused.status_code == 422 and "reason" in refused.text
    assert admin.post(f"{FLAG}/facts", facts | {"reason": "a page needs it"}).status_code == 303
    assert flag(visitor)["client"] is True


def test_a_key_for_browsers_is_made_and_listed_as_one(visitor: Browserless) -> None:
    admin = shop(visitor)
    form = {"kind": "client", "name": "pages", "environment": "staging", "services": "checkout"}
    made = admin.post("/keys", form)
    assert made.status_code == 200 and re.search(r"dh_client_\w+", made.text)
    (key,) = visitor.services.keys.list(visitor.bootstrap, kind="client").items
    assert (key["environment"], key["services"]) == ("staging", ["checkout"])
    page = admin.get("/keys").text
    assert "Client key, made by" in page and "dh_client_" not in page
    refused = admin.post("/keys", form | {"services": "nowhere"})
    assert refused.status_code == 422 and 'value="pages"' in refused.text

"""The page for whoever is woken at three, in a real browser: it is one screen, and it comes from nowhere else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from support.browser import chromium
from support.guides import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LAST = "[...document.querySelectorAll('article p')].at(-1).getBoundingClientRect().bottom"
WIDER = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the page, built as the site is, without the rest of it."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "index.rst").write_text("Downhaul\n========\n\n.. toctree::\n\n   incident\n")
    shutil.copy(ROOT / "docs" / "incident.md", source)
    options = ["-Q", "-c", ROOT / "docs", "-D", "extensions=myst_parser"]
    subprocess.run([sys.executable, "-m", "sphinx", *options, source, site], check=True, timeout=120)
    return (site / "incident.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize(("width", "height", "screens"), [(1280, 800, 1.0), (390, 844, 1.5)], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_one_screen(browser: Browser, page: str, width: int, height: int, screens: float, scheme: Any) -> None:
    window = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    asked: list[str] = []
    window.on("request", lambda request: asked.append(request.url))
    window.goto(page)

    assert window.evaluate(LAST) <= height * screens
    assert window.evaluate(WIDER) <= 0
    assert [url for url in asked if not url.startswith("file:")] == []
    window.close()

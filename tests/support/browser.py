"""The pages in a real browser: a server with threads on a real Redis, Chromium, and what must never be seen in it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from downhaul_server import browsers
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from support.pages import Browserless, open_pages
from support.redis import RealRedis
from werkzeug.serving import make_server

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE, PHONE = 1280, 390
PATIENCE_MS = 60_000
"""For a busy machine; costs nothing when things work. Playwright itself gives up after 5 and 30 seconds."""
expect.set_options(timeout=PATIENCE_MS)
REPORT = """
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  console.error(`CSP: ${violatedDirective} ${blockedURI}`));
"""


def chromium() -> str:
    """Chromium on this machine. Without one: skips the test on a laptop, fails it in CI."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    message = "NO BROWSER: this test needs Chromium on PATH (`make chromium` installs one)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class Window:
    """One page of one visitor, and all that its browser complains of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def open(self, path: str) -> Window:
        answer = self.page.goto(self.url + path, wait_until="load")
        assert answer is not None
        assert answer.status < 400, (path, answer.status)
        return self

    def look(self, scheme: Any, width: int) -> None:
        """Turn it to light or dark, and make it as wide as that."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size({"width": width, "height": 900})

    def check(self, *, axe: bool = True) -> None:
        """No complaint, nothing wider than the window, nothing that keeps somebody out."""
        assert self.complaints == []
        wider = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wider <= 0, self.page.url
        if axe:
            found = Axe().run(self.page).response["violations"]
            assert [(each["id"], each["nodes"][0]["html"]) for each in found] == [], self.page.url

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


class House:
    """A server, and a browser for each visitor."""

    def __init__(self, visitor: Browserless, browser: Browser, url: str) -> None:
        self.visitor = visitor
        self.services = visitor.services
        self.url = url
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    def window(self, role: str = "editor", *, scheme: Any = "light", width: int = WIDE, scripts: bool = True) -> Window:
        """Somebody who is logged in with this role."""
        context = self._context(scheme, width, scripts)
        session = self.visitor.by(role, name=f"the-{role}").session
        place = self.url.replace("http://", "https://")
        context.add_cookies([{"name": browsers.SECURE_COOKIE, "value": session or "", "url": place, "secure": True}])
        return Window(context.new_page(), self.url)

    def stranger(self, *, scheme: Any = "light", width: int = WIDE) -> Window:
        """Somebody who is not logged in."""
        return Window(self._context(scheme, width, True).new_page(), self.url)

    def _context(self, scheme: Any, width: int, scripts: bool) -> BrowserContext:
        context = self._browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}, java_script_enabled=scripts
        )
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append(context)
        if scripts:
            context.add_init_script(REPORT)
        return context

    def close_windows(self) -> None:
        for context in self._contexts:
            context.close()
        self._contexts.clear()


@contextmanager
def open_house(folder: Path) -> Iterator[House]:
    """With nothing in it but the first environments."""
    binary = chromium()
    redis = RealRedis(folder / "redis").start()
    try:
        with open_pages(redis, folder / "data") as visitor, sync_playwright() as playwright:
            server = make_server("127.0.0.1", 0, visitor.app, threaded=True)
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
            try:
                yield House(visitor, browser, f"http://localhost:{server.port}")
            finally:
                browser.close()
                visitor.services.stop()
                server.shutdown()
                thread.join()
                server.server_close()
    finally:
        redis.kill()

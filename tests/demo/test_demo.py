"""The demonstration: it comes up, its page obeys a kill in every process, what it prints works when pasted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from support.server import Server
from support.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow]

FEATURE = 'id="express-pay"'
NEW_CHECKOUT = "/api/v1/services/checkout/flags/new-checkout"
STOP_S = 40.0


class Demo(Server):
    """The demonstration; ready once it has printed what to do."""

    def ready(self) -> Demo:
        wait_until(lambda: self.ended() or "Control-C ends everything" in self.output, "it says that it is up", 120)
        assert not self.ended(), self.output
        return self

    def line(self, *parts: str) -> str:
        """The printed line that holds all of these."""
        found = [line.strip() for line in self.output.splitlines() if all(part in line for part in parts)]
        assert len(found) == 1, self.output
        return found[0]

    def page(self, what: str) -> str:
        """The URL of a microservice."""
        return self.line("http://", what).split()[0]

    def pages_by_process(self, url: str) -> dict[str, str]:
        """Ask until both processes have answered: pid -> page."""
        found: dict[str, str] = {}

        def both() -> bool:
            text = requests.get(url, timeout=5).text
            match = re.search(r'data-pid="(\d+)"', text)
            assert match, text
            found[match[1]] = text
            return len(found) == 2

        wait_until(both, "both processes have answered")
        return found

    def shows(self) -> set[bool]:
        """Whether the feature is on the page, in each process."""
        return {FEATURE in text for text in self.pages_by_process(self.page("a shop page")).values()}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """With a folder's name that a shell would trip over."""
    with Demo(tmp_path_factory.mktemp("demo") / "it's data", verb="demo") as demo:
        assert isinstance(demo, Demo)
        yield demo


@pytest.fixture(autouse=True)
def restored(demo: Demo) -> Iterator[None]:
    yield
    assert demo.call("POST", f"{NEW_CHECKOUT}/restore", {"reason": "end of the test"}).ok


def paste(line: str, folder: Path) -> str:
    """Run a line as another terminal would: it knows nothing of the demonstration's environment."""
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(["bash", "-c", line], env=bare, cwd=folder, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_feature_is_on_the_page_and_goes_in_every_process_when_it_is_killed(demo: Demo) -> None:
    assert demo.shows() == {True}
    demo.call("POST", f"{NEW_CHECKOUT}/kill")
    wait_until(lambda: demo.shows() == {False}, "the feature is gone in both processes")


def test_the_printed_curl_line_works(demo: Demo, tmp_path: Path) -> None:
    assert '"checkout/new-checkout"' in paste(demo.line("curl", "/kill"), tmp_path)
    wait_until(lambda: demo.shows() == {False}, "the feature is gone")


def test_the_printed_downhaul_lines_work(demo: Demo, tmp_path: Path) -> None:
    paste(demo.line("downhaul kill"), tmp_path)
    wait_until(lambda: demo.shows() == {False}, "the feature is gone")
    paste(demo.line("downhaul restore"), tmp_path)
    wait_until(lambda: demo.shows() == {True}, "the feature is back")


def test_it_says_where_the_token_is_and_does_not_print_it(demo: Demo, tmp_path: Path) -> None:
    (line,) = [line for line in demo.output.splitlines() if line.strip().startswith("cat ")]
    assert paste(line, tmp_path).strip() == demo.token
    assert demo.token not in demo.output


def test_instalments_hang_on_a_flag_of_another_service(demo: Demo) -> None:
    shop = demo.page("a shop page")
    assert "three instalments" in requests.get(shop, timeout=5).text
    demo.call("POST", "/api/v1/services/payments/flags/new-ledger/kill")
    try:
        wait_until(
            lambda: not any("three instalments" in text for text in demo.pages_by_process(shop).values()), "they go"
        )
        payments = requests.get(f"{demo.page('payments, with')}decisions", timeout=5).json()
        assert payments["decisions"]["new-ledger"] == {"value": False, "variant": "off", "reason": "KILLED"}
    finally:
        demo.call("POST", "/api/v1/services/payments/flags/new-ledger/restore", {"reason": "end of the test"})


def test_there_are_believable_flags_of_every_purpose_and_type(demo: Demo) -> None:
    found = [
        flag
        for service in ("checkout", "payments", "search")
        for flag in demo.call("GET", f"/api/v1/services/{service}/flags").json()["items"]
    ]
    assert 12 <= len(found) <= 15
    assert {flag["purpose"] for flag in found} == {"release", "experiment", "ops", "permission"}
    assert {flag["type"] for flag in found} == {"boolean", "string", "number", "json"}
    assert all(flag["owner"] and flag["description"] for flag in found)


def test_the_microservices_hold_no_secret_but_their_own_key(demo: Demo) -> None:
    microservices = [pid for pid, line in demo.processes().items() if "downhaul_demo" in line]
    assert len(microservices) == 6
    for pid in microservices:
        assert demo.token.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    for key in (demo.data_dir / "demo").glob("*.key"):
        assert key.stat().st_mode & 0o777 == 0o600


def known_keys(demo: Demo) -> list[dict[str, Any]]:
    """Without when they were used, which goes on."""
    items = demo.call("GET", "/api/v1/keys").json()["items"]
    return [{name: value for name, value in item.items() if name != "last_used"} for item in items]


def test_it_ends_within_seconds_and_started_again_keeps_what_a_person_changed(tmp_path: Path) -> None:
    with Demo(tmp_path / "data", verb="demo") as first:
        assert first.call("DELETE", "/api/v1/services/search/flags/suggestions").status_code == 204
        assert first.call("PATCH", "/api/v1/services/search/flags/ranker", {"owner": "ada"}).ok
        keys = known_keys(first)
        began = time.monotonic()
        assert first.stop(signal.SIGINT) == 0
        assert time.monotonic() - began < STOP_S
        assert not first.processes()

    with Demo(tmp_path / "data", verb="demo") as again:
        assert again.call("GET", "/api/v1/services/search/flags/suggestions").status_code == 404
        assert again.call("GET", "/api/v1/services/search/flags/ranker").json()["owner"] == "ada"
        assert known_keys(again) == keys

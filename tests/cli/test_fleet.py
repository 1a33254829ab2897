"""`fleet` and `drill`: who is there, and does a kill arrive."""

from __future__ import annotations

from typing import Any

import pytest
from support.cli import FakeService, Shell, known

INSTANCE = {
    "instance": "checkout-7",
    "process": "0011223344556677",
    "host": "node-7",
    "pid": 7,
    "build": "2.1.0",
    "region": None,
    "color": None,
    "sdk": "python/0.1.0",
    "link": "stream",
    "state": "live",
    "deaf": False,
    "epoch": "e1",
    "revision": 42,
    "last_seen_s": 1.0,
    "applied": True,
}
SILENT = {**INSTANCE, "instance": "checkout-8", "link": "silent", "state": "silent", "deaf": True, "applied": False}
LAGGING = {**INSTANCE, "instance": "checkout-9", "deaf": True, "applied": False, "revision": 41}
AT = {"revision": 42, "committed_at": "2026-11-23T22:07:01.250Z"}
LAST = {**known(3, 3), "service": "checkout", "environment": "production", "by": "anna", "age_s": 300, "id": "d"}


def page(*items: dict[str, Any], cursor: str | None = None) -> dict[str, Any]:
    counts = {"live": 2, "silent": 1, "gone": 0}
    return {"items": list(items), "next": cursor, "epoch": "e1", "revision": 42, "counts": counts}


class TestFleet:
    def test_each_process_has_a_line(self, service: FakeService, shell: Shell) -> None:
        service.will_answer(page(INSTANCE, LAGGING, SILENT))

        result = shell("fleet", "checkout", "-e", "staging")

        assert result.code == 0
        assert service.last.path == "/api/v1/services/checkout/fleet"
        assert service.last.query["environment"] == "staging"
        assert [line.split() for line in result.out.splitlines()] == [
            ["INSTANCE", "HOST", "BUILD", "SDK", "LINK", "STATE", "REVISION", "LAST", "HEARD"],
            ["checkout-7", "node-7", "2.1.0", "python/0.1.0", "stream", "live", "42", "1", "s", "ago"],
            ["checkout-9", "node-7", "2.1.0", "python/0.1.0", "stream", "DEAF", "41", "1", "s", "ago"],
            ["checkout-8", "node-7", "2.1.0", "python/0.1.0", "silent", "silent", "42", "1", "s", "ago"],
        ]
        assert result.err == "2 live, 1 silent, 0 gone; 2 of them are deaf; the newest revision is 42.\n"

    def test_who_has_not_applied_a_change_yet_is_behind(self, service: FakeService, shell: Shell) -> None:
        service.will_answer(page({**INSTANCE, "applied": False, "revision": 41}))

        assert "behind" in shell("fleet", "checkout").out

    def test_the_deaf_ones_are_looked_for_on_all_pages(self, service: FakeService, shell: Shell) -> None:
        service.will_answer(page(INSTANCE, cursor="more"))
        service.will_answer(page(INSTANCE, LAGGING, SILENT))

        result = shell("fleet", "checkout", "--deaf", "--limit", "1", "--json")

        assert [each["instance"] for each in result.json] == ["checkout-9"]
        assert result.err == ""

    def test_a_part_is_told_as_such(self, service: FakeService, shell: Shell) -> None:
        service.will_answer(page(INSTANCE, cursor="more"))

        result = shell("fleet", "checkout", "--limit", "1")

        assert result.err == "the first 1 are shown; 2 live, 1 silent, 0 gone; the newest revision is 42.\n"

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ([], "No process of checkout is known."),
            (["-e", "staging"], "No process of checkout is known in staging."),
            (["--state", "silent"], "No silent process of checkout is known."),
            (["--deaf"], "No process of checkout is deaf."),
        ],
    )
    def test_nobody_is_no_error(self, service: FakeService, shell: Shell, options: list[str], sentence: str) -> None:
        service.will_answer(page())

        result = shell("fleet", "checkout", *options)

        assert (result.code, result.out) == (0, "")
        assert result.err.startswith(sentence)


class TestDrill:
    def drilled(self, *services: dict[str, Any]) -> dict[str, Any]:
        confirmed = all(each["confirmed"] for each in services)
        return {"id": "d1", "environment": "production", "confirmed": confirmed, "services": list(services), **AT}

    def test_each_service_has_a_verdict(self, service: FakeService, shell: Shell) -> None:
        service.will_answer(self.drilled({"service": "checkout", **known(3, 3)}, {"service": "search", **known(2, 1)}))

        result = shell("drill", "--service", "checkout", "--service", "search", "--wait", "5")

        assert result.code == 3
        assert service.last.path == "/api/v1/drills"
        assert service.last.body == {"services": ["checkout", "search"], "wait": 5.0}
        lines = result.out.splitlines()
        assert lines[:3] == [
            "Drill in production (revision 42):",
            "checkout: Confirmed by all 3 processes in 61 ms.",
            "search: NOT CONFIRMED: 1 of 2 processes has applied it. Still missing:",
        ]
        assert lines[4].split()[:2] == ["checkout-7", "node-7"]
        assert lines[5:] == ["FAILED in 1 of 2 services."]

    def test_a_drill_that_all_obey_is_a_success(self, service: FakeService, shell: Shell) -> None:
        service.will_answer(self.drilled({"service": "checkout", **known(3, 3)}, {"service": "idle", **known(0, 0)}))

        result = shell("drill")

        assert result.code == 0
        assert "idle: No live process of idle is known in production" in result.out
        assert result.out.endswith("2 services drilled, nobody is missing.\n")

    def test_a_service_that_was_left_out_says_why(self, service: FakeService, shell: Shell) -> None:
        left_out = {"service": "checkout", **known(0, 0, confirmed=False), "error": "not boolean"}
        service.will_answer(self.drilled(left_out))

        result = shell("drill")

        assert result.code == 3 and "checkout: NOT DRILLED: not boolean" in result.out

    def test_json_is_the_answer(self, service: FakeService, shell: Shell) -> None:
        answer = self.drilled({"service": "checkout", **known(3, 2)})
        service.will_answer(answer)

        result = shell("drill", "--json")

        assert (result.code, result.json) == (3, answer)

    def test_no_service_is_no_failure(self, service: FakeService, shell: Shell) -> None:
        service.will_answer(self.drilled())

        result = shell("drill")

        assert result.code == 0 and "There is no service yet" in result.out

    def test_a_drill_may_take_longer_than_other_answers(
        self, service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: dict[str, Any] = {}

        def post(*_: Any, **options: Any) -> Any:
            asked.update(options)
            raise KeyboardInterrupt

        monkeypatch.setattr("downhaul.cli.api.Api.post", post)

        result = shell("drill", "--wait", "60")

        assert result.code == 130
        assert asked["within"] > 60
        assert "The drill ends by itself" in result.err

    def test_the_last_ones_are_shown_without_running_any(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({"items": [LAST, {**LAST, "service": "search"}], "next": None})

        result = shell("drill", "--last", "--service", "checkout")

        assert result.code == 0
        assert service.last.method == "GET"
        assert "checkout" in result.out and "5 min ago" in result.out and "search" not in result.out

    def test_a_last_one_that_failed_is_exit_code_three(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({"items": [LAST | known(3, 2), {**LAST, "environment": "staging"}], "next": None})

        result = shell("drill", "--last")

        assert result.code == 3
        assert "FAILED" in result.out and "checkout-7" in result.out
        assert shell("drill", "--last", "-e", "staging").code == 0

    def test_no_drill_yet(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({"items": [], "next": None})

        result = shell("drill", "--last")

        assert (result.code, result.out) == (0, "")
        assert "There was no drill yet" in result.err

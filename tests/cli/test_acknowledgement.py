"""`--wait`, `fleet` and `drill`: who has obeyed, in words and exit codes."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from typing import Any

import pytest
from support.cli import FLAG, KILLED, TOKEN, FakeService, Shell

STRAGGLER = {
    "service": "checkout",
    "environment": "production",
    "instance": "checkout-7",
    "host": "node-7",
    "build": "2.1.0",
    "revision": 41,
    "link": "silent",
    "last_seen_s": 181.0,
}
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


def known(instances: int, applied: int, **more: Any) -> dict[str, Any]:
    """How far a change has come."""
    return {
        "revision": 42,
        "committed_at": "2026-11-23T22:07:01.250Z",
        "instances": instances,
        "applied": applied,
        "confirmed": applied == instances,
        "stragglers": [STRAGGLER] * (instances - applied),
        "latency_ms": {"p50": 20.0, "p99": 60.0, "max": 61.2} if applied else None,
        **more,
    }


class TestKill:
    def test_it_is_made_first_and_then_watched(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(3, 0)})
        service.will_answer(known(3, 2))
        service.will_answer(known(3, 3))

        result = shell("kill", "checkout/new-checkout", "--wait")

        assert (result.code, result.err) == (0, "")
        assert result.out == (
            "checkout/new-checkout is killed in production (revision 42).\n"
            "Confirmed by all 3 live processes, the last of them after 61 ms.\n"
        )
        kill, *looks = service.asked
        assert "wait" not in kill.body
        assert [look.method for look in looks] == ["GET", "GET"]
        assert {look.path for look in looks} == {"/api/v1/acknowledgement"}
        assert looks[0].query["revision"] == "42"

    def test_stragglers_are_named_and_the_exit_code_is_three(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(38, 37)})

        result = shell("kill", "checkout/new-checkout", "--wait", "0")

        assert result.code == 3
        assert "NOT CONFIRMED: 37 of 38 processes have applied it." in result.out
        assert "checkout-7" in result.out and "node-7" in result.out and "3 min ago" in result.out
        assert len(service.asked) == 1

    def test_time_ends_the_waiting(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(2, 0)})
        service.will_answer(known(2, 1))

        result = shell("kill", "checkout/new-checkout", "--wait", "0.3")

        assert result.code == 3
        assert "1 of 2 processes" in result.out

    def test_json_is_one_document_with_the_last_that_is_known(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(1, 0)})
        service.will_answer(known(1, 1))

        result = shell("kill", "checkout/new-checkout", "--wait", "--json")

        assert result.code == 0
        assert result.json == {**KILLED, **known(1, 1)}

    def test_a_fleet_of_nobody_is_told_as_such(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(0, 0)})

        result = shell("kill", "checkout/new-checkout", "--wait")

        assert result.code == 0
        assert "No live process is known that it concerns." in result.out

    def test_a_service_that_goes_away_meanwhile_does_not_hide_that_the_kill_is_made(
        self, service: FakeService, shell: Shell
    ) -> None:
        service.will_answer({**KILLED, **known(2, 1)})
        service.will_hang_up()

        result = shell("kill", "checkout/new-checkout", "--wait")

        assert result.code == 3
        assert "is killed in production" in result.out and "NOT CONFIRMED: 1 of 2" in result.out
        assert "The change is made, but how far it has come cannot be asked" in result.err

    def test_without_wait_nobody_is_asked_twice(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(2, 1)})

        assert shell("kill", "checkout/new-checkout").code == 0
        assert len(service.asked) == 1

    @pytest.mark.parametrize("wait", ["-1", "61", "soon"])
    def test_a_wait_that_is_none_is_wrong_usage_and_kills_nothing(
        self, wait: str, service: FakeService, shell: Shell
    ) -> None:
        assert shell("kill", "checkout/new-checkout", f"--wait={wait}").code == 2
        assert not service.asked

    def test_a_restore_waits_as_well(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(1, 1)})

        result = shell("restore", "checkout/new-checkout", "--reason", "fixed", "--wait")

        assert result.code == 0
        assert "Confirmed by the one live process" in result.out

    def test_on_a_terminal_a_bar_shows_how_far_it_has_come(self, service: FakeService) -> None:
        service.will_answer({**KILLED, **known(38, 0)})
        service.will_answer(known(38, 37))

        seen, code = on_a_terminal(service, "kill", "checkout/new-checkout", "--wait", "1.5")

        assert code == 3
        assert "37 of 38 processes have applied it" in seen.partition("NOT CONFIRMED")[0]
        assert "NOT CONFIRMED: 37 of 38 processes" in seen


class TestOtherWrites:
    def test_a_rollout_waits(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**FLAG, "acknowledgement": known(2, 0)})
        service.will_answer(known(2, 2))

        result = shell("flags", "rollout", "checkout/new-checkout", "25", "-e", "production", "--wait")

        assert result.code == 0
        assert service.asked[0].query == {"wait": "0"}
        assert "Confirmed by all 2 live processes" in result.out

    def test_a_state_that_does_not_arrive_is_exit_code_three(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**FLAG, "acknowledgement": known(2, 1)})

        result = shell("flags", "set", "checkout/new-checkout", "-e", "production", "--on", "--wait", "0", "--json")

        assert result.code == 3
        assert result.json["acknowledgement"] == known(2, 1)


class TestFleet:
    def test_each_process_has_a_line(self, service: FakeService, shell: Shell) -> None:
        silent = {**INSTANCE, "instance": "checkout-8", "link": "silent", "state": "silent", "deaf": True}
        service.will_answer({"items": [INSTANCE, silent], "next": None})

        result = shell("fleet", "checkout", "-e", "staging")

        assert result.code == 0
        assert service.last.path == "/api/v1/services/checkout/fleet"
        assert service.last.query["environment"] == "staging"
        assert "checkout-7" in result.out and "checkout-8" in result.out
        assert "1 live, 1 silent; 1 of 1 live ones have the newest." in result.err

    def test_the_deaf_ones_alone(self, service: FakeService, shell: Shell) -> None:
        lagging = {**INSTANCE, "instance": "checkout-9", "deaf": True, "applied": False}
        service.will_answer({"items": [INSTANCE, lagging], "next": None})

        result = shell("fleet", "checkout", "--deaf", "--json")

        assert [each["instance"] for each in result.json] == ["checkout-9"]

    def test_nobody_is_no_error(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({"items": [], "next": None})

        result = shell("fleet", "checkout")

        assert (result.code, result.out) == (0, "")
        assert "No process of checkout is like that." in result.err


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
        assert "Confirmed by all 3 live processes" in result.out and "NOT CONFIRMED: 1 of 2" in result.out

    def test_a_drill_that_all_obey_is_a_success(self, service: FakeService, shell: Shell) -> None:
        service.will_answer(self.drilled({"service": "checkout", **known(3, 3)}))

        assert shell("drill").code == 0

    def test_a_service_that_was_left_out_says_why(self, service: FakeService, shell: Shell) -> None:
        service.will_answer(
            self.drilled({"service": "checkout", **known(0, 0, confirmed=False), "error": "not boolean"})
        )

        result = shell("drill")

        assert result.code == 3 and "not boolean" in result.out

    def test_the_last_ones_are_shown_without_running_any(self, service: FakeService, shell: Shell) -> None:
        last = {
            **known(3, 3),
            "service": "checkout",
            "environment": "production",
            "by": "anna",
            "age_s": 300,
            "id": "d",
        }
        service.will_answer({"items": [last, {**last, "service": "search"}], "next": None})

        result = shell("drill", "--last", "--service", "checkout")

        assert result.code == 0
        assert service.last.method == "GET"
        assert "checkout" in result.out and "5 min ago" in result.out and "search" not in result.out


AT = {"revision": 42, "committed_at": "2026-11-23T22:07:01.250Z"}


def on_a_terminal(service: FakeService, *arguments: str) -> tuple[str, int]:
    """Everything that appears on a terminal, and the exit code."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "DOWNHAUL_URL": service.url, "DOWNHAUL_TOKEN": TOKEN, "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "downhaul.cli", *arguments]
    with subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as process:
        os.close(theirs)
        seen = bytearray()

        def read() -> None:
            try:
                while chunk := os.read(ours, 4096):
                    seen.extend(chunk)
            except OSError:  # the other side is closed
                return

        reader = threading.Thread(target=read)
        reader.start()
        code = process.wait(30)
        reader.join(5)
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode("utf-8", "replace")), code

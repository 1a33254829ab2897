"""`--wait`: who has obeyed, in words and exit codes."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul.cli.watching import Watch
from support.cli import FLAG, KILLED, STRAGGLER, FakeService, Shell, known

KILL = ("kill", "checkout/new-checkout")
SET = ("flags", "set", "checkout/new-checkout", "-e", "production", "--on")
IS_KILLED = "checkout/new-checkout is killed in production (revision 42).\n"


class TestKill:
    def test_it_is_made_first_and_then_watched(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(3, 0)})
        service.will_answer(known(3, 2))
        service.will_answer(known(3, 3))

        result = shell(*KILL, "--wait")

        assert (result.code, result.err) == (0, "")
        assert result.out == f"{IS_KILLED}Confirmed by all 3 processes in 61 ms.\n"
        kill, *looks = service.asked
        assert "wait" not in kill.body
        assert [(look.method, look.path) for look in looks] == [("POST", "/api/v1/acknowledgement")] * 2
        assert {name: looks[0].body[name] for name in ("revision", "environment", "services")} == {
            "revision": 42,
            "environment": "production",
            "services": ["checkout"],
        }

    def test_what_all_have_at_once_is_not_asked_again(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(1, 1)})

        result = shell(*KILL, "--wait")

        assert result.out == f"{IS_KILLED}Confirmed by the only process in 61 ms.\n"
        assert len(service.asked) == 1

    def test_of_many_flags_all_services_are_asked_also_where_they_were_killed_already(
        self, service: FakeService, shell: Shell
    ) -> None:
        flags = ["checkout/a", "payments/b", "payments/c"]
        service.will_answer({**KILLED, "flags": flags, "unchanged": ["checkout/a"], **known(2, 1)})
        service.will_answer(known(2, 2))

        assert shell("kill", *flags, "--wait").code == 0
        assert service.last.body["services"] == ["checkout", "payments"]

    def test_stragglers_are_named_and_the_exit_code_is_three(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(38, 37)})

        result = shell(*KILL, "--wait", "0")

        assert result.code == 3
        assert result.out.splitlines()[1:] == [
            "NOT CONFIRMED: 37 of 38 processes have applied it. Still missing:",
            "INSTANCE    HOST    BUILD  REVISION  LAST HEARD  LINK    SERVICE ",
            "checkout-7  node-7  2.1.0  41        3 min ago   silent  checkout",
        ]
        assert len(service.asked) == 1

    def test_of_very_many_stragglers_some_are_shown(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(80, 20)})

        result = shell(*KILL, "--wait", "0")

        assert result.out.count("checkout-7") == 50
        assert "... and 10 more; --json has them." in result.out

    def test_time_ends_the_waiting(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(2, 0)})
        service.will_answer(known(2, 1))

        result = shell(*KILL, "--wait", "0.3")

        assert result.code == 3
        assert "NOT CONFIRMED: 1 of 2 processes has applied it." in result.out

    def test_a_service_that_answers_at_once_is_not_asked_all_the_time(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(2, 1)})

        shell(*KILL, "--wait", "1")

        assert 2 < len(service.asked) < 8

    def test_json_is_one_document_with_the_last_that_is_known(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(1, 0)})
        service.will_answer(known(1, 1))

        result = shell(*KILL, "--wait", "--json")

        assert (result.code, result.err) == (0, "")
        assert result.json == {**KILLED, **known(1, 1)}

    def test_a_fleet_of_nobody_is_told_as_such(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(0, 0)})

        result = shell(*KILL, "--wait")

        assert result.code == 0
        assert "No live process of checkout is known in production: there is nobody to wait for." in result.out

    def test_a_service_that_is_not_sure_confirms_nothing(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(3, 3, confirmed=False)})

        result = shell(*KILL, "--wait", "0")

        assert result.code == 3
        assert "NOT CONFIRMED: 3 of 3 have applied it, but the service is not sure that it knows all." in result.out

    def test_without_wait_nobody_is_asked_twice(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(2, 1)})

        result = shell(*KILL)

        assert (result.code, result.out, len(service.asked)) == (0, IS_KILLED, 1)

    @pytest.mark.parametrize("wait", ["-1", "61", "soon", "nan"])
    def test_a_wait_that_is_none_is_wrong_usage_and_kills_nothing(
        self, wait: str, service: FakeService, shell: Shell
    ) -> None:
        assert shell(*KILL, f"--wait={wait}").code == 2
        assert not service.asked

    def test_a_flag_after_the_option_is_a_flag(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(1, 1)})

        assert shell("kill", "--wait", "5", "checkout/new-checkout").code == 0
        assert shell("kill", "--wait", "checkout/new-checkout").code == 0
        assert shell("kill", "--wait", "--reason", "x", "--", "checkout/new-checkout").code == 0
        assert {asked.path for asked in service.asked} == {"/api/v1/services/checkout/flags/new-checkout/kill"}

    def test_a_name_that_does_not_exist_is_told_after_the_verdict(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, "not_found": ["checkout/typo"], **known(1, 1)})

        result = shell("kill", "checkout/new-checkout", "checkout/typo", "--wait")

        assert result.code == 4
        assert "Confirmed by" in result.out and "checkout/typo" in result.err

    def test_a_restore_waits_as_well(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(1, 0)})
        service.will_answer(known(1, 1))

        result = shell("restore", "checkout/new-checkout", "--reason", "fixed", "--wait")

        assert result.code == 0
        assert "is restored in production" in result.out and "Confirmed by the only process" in result.out
        assert service.asked[0].path.endswith("/restore") and service.last.path == "/api/v1/acknowledgement"


class TestTrouble:
    """The kill is made, whatever happens while it is watched."""

    def test_a_service_that_comes_back_in_time_confirms(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(2, 1)})
        service.will_refuse(503, "the service is starting")
        service.will_answer(known(2, 2))

        result = shell(*KILL, "--wait")

        assert (result.code, result.err) == (0, "")
        assert "Confirmed by all 2 processes" in result.out

    def test_a_service_that_goes_away_does_not_hide_that_the_kill_is_made(
        self, service: FakeService, shell: Shell
    ) -> None:
        service.will_answer({**KILLED, **known(2, 1)})
        service.will_hang_up()

        result = shell(*KILL, "--wait", "0.6")

        assert result.code == 3
        assert result.out.startswith(f"{IS_KILLED}NOT CONFIRMED: 1 of 2 processes has applied it.")
        assert "What is done stands; but how far it has come cannot be asked" in result.err
        assert len(service.asked) > 4  # it was tried again until the time was up

    def test_a_service_that_hangs_holds_nobody_up(
        self, service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("downhaul.cli.watching.GRACE_S", 0.1)
        service.will_answer({**KILLED, **known(2, 1)})
        service.will_stall()

        result = shell(*KILL, "--wait", "0.2")

        assert result.code == 3
        assert "it took too long to answer" in result.err

    def test_a_kill_is_tried_again_while_the_service_restarts_and_is_one_kill(
        self, service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("downhaul.cli.insisting.RETRY_S", 0.01)
        for _ in range(4):
            service.will_hang_up()
        service.will_refuse(503, "the service is starting")
        service.will_answer({**KILLED, **known(2, 2)})

        result = shell(*KILL, "--wait")

        assert result.code == 0
        assert result.err.count("trying again") == 1 and result.err.startswith("NO ANSWER YET: ")
        assert len({asked.headers["Idempotency-Key"] for asked in service.asked}) == 1

    def test_a_kill_that_was_never_made_is_none(
        self, service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("downhaul.cli.insisting.RETRY_S", 0.05)
        service.will_refuse(503, "the store cannot be written now")

        result = shell(*KILL, "--wait", "0.3")

        assert (result.code, result.out) == (7, "")
        assert result.err.splitlines()[-1].startswith("Error: the store cannot be written now")

    def test_what_is_refused_is_not_tried_again(self, service: FakeService, shell: Shell) -> None:
        service.will_refuse(403, "you may not kill")

        assert shell(*KILL, "--wait", "60").code == 6
        assert len(service.asked) == 1

    def test_who_may_not_ask_is_told_so_at_once(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(2, 1)})
        service.will_refuse(401, "the token was revoked")

        result = shell(*KILL, "--wait", "60")

        assert result.code == 3
        assert "the token was revoked" in result.err
        assert len(service.asked) == 2

    @pytest.mark.parametrize("answer", [{}, {"items": []}, {"confirmed": True}, b"x"])
    def test_an_answer_of_another_program_confirms_nothing(
        self, service: FakeService, shell: Shell, answer: Any
    ) -> None:
        service.will_answer({**KILLED, **known(2, 1)})
        service.will_answer(answer)

        assert shell(*KILL, "--wait", "0.3").code == 3

    def test_a_service_that_knows_nothing_of_processes_confirms_nothing(
        self, service: FakeService, shell: Shell
    ) -> None:
        service.will_answer(KILLED)
        service.will_refuse(404, "there is nothing here")

        result = shell(*KILL, "--wait", "--json")

        assert result.code == 3
        assert (result.json["flags"], result.json["confirmed"]) == (KILLED["flags"], False)
        assert "NOT CONFIRMED: the service does not know who has applied it." in shell_again(service, shell)

    def test_a_straggler_of_which_little_is_known_is_shown_all_the_same(
        self, service: FakeService, shell: Shell
    ) -> None:
        nothing = dict.fromkeys(STRAGGLER) | {"instance": "checkout-7"}
        service.will_answer({**KILLED, **known(2, 1), "stragglers": [nothing]})

        result = shell(*KILL, "--wait", "0")

        assert result.code == 3 and "checkout-7" in result.out


def shell_again(service: FakeService, shell: Shell) -> str:
    service.will_answer(KILLED)
    service.will_refuse(404, "there is nothing here")
    return shell(*KILL, "--wait").out


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C as soon as somebody waits."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "_look", interrupt)


class TestInterrupt:
    @pytest.mark.usefixtures("interrupted")
    def test_it_ends_the_waiting_and_says_that_the_kill_stands(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(2, 1)})

        result = shell(*KILL, "--wait")

        assert result.code == 130
        assert result.err == f"Not waiting any longer. What is done stands: {IS_KILLED}"
        assert result.out.startswith(f"{IS_KILLED}NOT CONFIRMED: 1 of 2 processes has applied it. Still missing:\n")

    @pytest.mark.usefixtures("interrupted")
    def test_programs_get_what_is_known(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**KILLED, **known(2, 1)})

        result = shell(*KILL, "--wait", "--json")

        assert (result.code, result.json) == (130, {**KILLED, **known(2, 1)})

    def test_before_the_service_has_answered_nobody_knows(
        self, service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("downhaul.cli.api.Api.post", interrupt)

        result = shell(*KILL)

        assert result.code == 130
        assert "it is not known whether the kill was made" in result.err


class TestOtherWrites:
    def test_a_rollout_waits(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**FLAG, "acknowledgement": known(2, 0)})
        service.will_answer(known(2, 2))

        result = shell("flags", "rollout", "checkout/new-checkout", "25", "-e", "production", "--wait")

        assert result.code == 0
        assert service.asked[0].query == {"wait": "0"}
        assert result.out.endswith("(revision 12).\nConfirmed by all 2 processes in 61 ms.\n")
        assert (service.last.body["revision"], service.last.body["services"]) == (12, ["checkout"])

    def test_a_state_that_does_not_arrive_is_exit_code_three(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({**FLAG, "acknowledgement": known(2, 1)})

        result = shell(*SET, "--wait", "0", "--json")

        assert result.code == 3
        assert result.json["acknowledgement"] == known(2, 1)

    def test_without_wait_nothing_is_asked(self, service: FakeService, shell: Shell) -> None:
        service.will_answer(FLAG)

        assert shell(*SET).code == 0
        assert service.last.query == {}

    def test_a_segment_waits_for_all_who_use_it(self, service: FakeService, shell: Shell) -> None:
        segment = {
            "key": "beta",
            "name": "Beta",
            "when": {"all": []},
            "version": 12,
            "updated_at": "",
            "created_at": "",
        }
        service.will_answer({**segment, "acknowledgement": known(2, 1)})
        service.will_answer(known(2, 2))

        result = shell("segments", "set", "beta", "--name", "Beta", "--when", '{"all": []}', "--wait")

        assert result.out == "The segment beta is set (revision 12).\nConfirmed by all 2 processes in 61 ms.\n"
        put, look = service.asked
        assert put.query == {"wait": "0"}
        assert (look.method, look.query["revision"]) == ("GET", "12")

    def test_a_removal_waits(self, service: FakeService, shell: Shell) -> None:
        service.will_answer({"acknowledgement": known(2, 1)})
        service.will_answer(known(2, 2))

        result = shell("flags", "delete", "checkout/new-checkout", "--yes", "--wait")

        assert result.out == "checkout/new-checkout is removed.\nConfirmed by all 2 processes in 61 ms.\n"
        assert service.last.query["revision"] == "42"

"""What is seen on a terminal while a change arrives."""

from __future__ import annotations

import json
from pathlib import Path

from support.cli import KILLED, STRAGGLER, FakeService, Shell, known
from support.terminal import ANSI, in_terminal

KILL = ("kill", "checkout/new-checkout", "--wait")
BAR = "━"


def parts(shown: str) -> tuple[str, str, str]:
    """What is said at once, what moves, and the verdict."""
    sentence, _, rest = ANSI.sub("", shown).partition("(revision 42).\n")
    moving, _, verdict = rest.partition("NOT CONFIRMED")
    return sentence, moving, verdict


def test_a_bar_shows_how_far_it_has_come_and_gives_way_to_the_verdict(service: FakeService) -> None:
    service.will_answer({**KILLED, **known(38, 0)})
    service.will_answer(known(38, 11))
    service.will_answer(known(38, 37))

    code, shown = in_terminal(*KILL, "1.5")

    sentence, moving, verdict = parts(shown)
    assert code == 3
    assert "is killed in production" in sentence and BAR not in sentence
    assert BAR in moving and "37 of 38 processes have applied it" in moving and "s of 1.5 s" in moving
    assert verdict.startswith(": 37 of 38 processes have applied it. Still missing:\n")
    assert "checkout-7" in verdict and BAR not in verdict
    assert "\x1b[2K" in shown.partition("NOT CONFIRMED")[0]  # the bar is wiped away
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # and the cursor is back


def test_on_eighty_columns_nothing_is_wrapped(service: FakeService) -> None:
    service.will_answer({**KILLED, **known(1000, 0), "stragglers": known(2, 0)["stragglers"]})
    service.will_answer({**known(1000, 998)})

    _, shown = in_terminal(*KILL, "1", NO_COLOR="1")

    _, moving, verdict = parts(shown)
    assert {len(line) <= 80 for line in moving.replace("\r", "\n").splitlines()} == {True}
    assert len(verdict.splitlines()) == 4


def test_while_the_service_is_away_the_bar_says_so(service: FakeService) -> None:
    service.will_answer({**KILLED, **known(38, 37)})
    service.will_hang_up()

    code, shown = in_terminal(*KILL, "1")

    assert code == 3
    assert "The service cannot be asked; trying again" in parts(shown)[1]
    assert "What is done stands" in shown


def test_ctrl_c_ends_the_waiting_and_not_the_kill(service: FakeService) -> None:
    service.will_answer({**KILLED, **known(38, 37)})

    code, shown = in_terminal(*KILL, "60", interrupted="37 of 38")

    assert code == 130
    assert "Not waiting any longer. What is done stands: checkout/new-checkout is killed" in ANSI.sub("", shown)
    assert parts(shown)[2].startswith(": 37 of 38 processes have applied it. Still missing:\n")
    assert "Traceback" not in shown


def test_a_program_that_reads_gets_the_answer_and_the_person_the_bar(service: FakeService, tmp_path: Path) -> None:
    service.will_answer({**KILLED, **known(38, 37)})

    _, shown = in_terminal(*KILL, "1", out=tmp_path / "out")

    assert BAR in shown
    answer = (tmp_path / "out").read_text()
    assert BAR not in answer and "\x1b" not in answer
    assert answer.splitlines()[1] == "NOT CONFIRMED: 37 of 38 processes have applied it. Still missing:"


def test_with_json_there_is_no_bar(service: FakeService) -> None:
    service.will_answer({**KILLED, **known(38, 37)})

    _, shown = in_terminal(*KILL, "0.5", "--json")

    assert json.loads(shown)["applied"] == 37


def test_in_a_pipe_there_are_only_lines(service: FakeService, shell: Shell) -> None:
    service.will_answer({**KILLED, **known(38, 37)})

    result = shell(*KILL, "0.5")

    assert BAR not in result.out + result.err and "\x1b" not in result.out + result.err


def test_a_drill_says_that_it_goes_on(service: FakeService) -> None:
    service.will_stall()

    code, shown = in_terminal("drill", "--wait", "5", interrupted="A drill is going on")

    assert code == 130
    assert "The drill ends by itself" in shown


def test_ctrl_c_ends_following_the_log_in_order(service: FakeService) -> None:
    service.will_answer({"state": "following", "epoch": "e1", "revision": 1})
    head = {"revision": 1, "at": "2026-11-23T22:07:01.250Z", "actor": "anna", "action": "flag.kill", "reason": None}
    service.will_answer({"items": [{**head, "documents": []}], "next": None})
    service.will_answer({"state": "following", "epoch": "e1", "revision": 1})

    code, shown = in_terminal("log", "--follow", interrupted="flag.kill")

    assert code == 0
    assert "Traceback" not in shown


def test_on_a_narrow_terminal_what_is_said_elsewhere_gives_way_before_lines_do(service: FakeService) -> None:
    pod = {"instance": "checkout-7f9c4d5b8-k2xq-1-a3f2c1", "host": "checkout-7f9c4d5b8-k2xq"}
    service.will_answer({**KILLED, **known(2, 1), "stragglers": [{**STRAGGLER, **pod}]})

    _, narrow = in_terminal(*KILL, "0", NO_COLOR="1")
    _, wide = in_terminal(*KILL, "0", columns=120, NO_COLOR="1")

    assert "INSTANCE                          BUILD  REVISION  LAST HEARD  LINK" in ANSI.sub("", narrow)
    assert "HOST" in wide

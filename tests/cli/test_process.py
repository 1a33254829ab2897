"""The command as a process of its own: interrupts, closed pipes, a missing extra, terminals, completion."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli import FLAG, FakeService
from support.terminal import ANSI, COMMAND, WITHIN_S, in_terminal, takes_interrupts
from support.waiting import wait_until


def test_an_interrupt_ends_it_quietly(service: FakeService) -> None:
    service.will_stall()
    process = subprocess.Popen(
        [*COMMAND, "services", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=takes_interrupts,
    )
    wait_until(lambda: service.asked, "it asks")

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WITHIN_S)

    assert (process.returncode, out, err.strip()) == (130, "", "")


def test_a_reader_who_has_gone_is_no_error(service: FakeService) -> None:
    items = [{"key": f"s{number}", "name": "x" * 1000, "created_at": ""} for number in range(500)]
    service.will_answer({"items": items, "next": None})

    for option in ([], ["--json"]):
        process = subprocess.Popen(
            [*COMMAND, "services", "list", *option], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()

        assert process.wait(WITHIN_S) == 141
        assert process.stderr.read() == ""
        process.stderr.close()


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from downhaul.cli import main; sys.exit(main())"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WITHIN_S, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert 'pip install "downhaul[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_loading_the_entry_point_loads_nothing_else() -> None:
    code = "import sys, downhaul.cli; print(sorted({'click', 'rich', 'requests'} & set(sys.modules)))"

    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=WITHIN_S).strip() == "[]"


@pytest.mark.parametrize(("shell", "sign"), [("bash", "complete"), ("zsh", "#compdef downhaul"), ("fish", "complete")])
def test_completion_writes_a_script(shell: str, sign: str) -> None:
    script = subprocess.check_output([*COMMAND, "completion", shell], text=True, timeout=WITHIN_S)

    assert sign in script
    assert f"_DOWNHAUL_COMPLETE={shell}_complete" in script


def test_completion_knows_the_commands() -> None:
    environment = {"_DOWNHAUL_COMPLETE": "bash_complete", "COMP_WORDS": "downhaul flags s", "COMP_CWORD": "2"}

    done = subprocess.run(
        COMMAND, env={**os.environ, **environment}, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )

    assert done.stdout.split() == ["plain,set", "plain,show"]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_of_any_width_gets_every_word(service: FakeService, columns: int) -> None:
    service.will_answer(FLAG)

    code, shown = in_terminal("flags", "show", "checkout/new-checkout", columns=columns, NO_COLOR="1")

    assert code == 0
    assert all(len(line) <= columns for line in ANSI.sub("", shown).splitlines())
    words = {*("One-page", "beta", "testers", "segment", '"2.1.0"', "otherwise", "double", "charges", "restored,")}
    assert words <= set(ANSI.sub("", shown).split())


def test_rows_that_do_not_fit_side_by_side_become_blocks_of_lines(service: FakeService) -> None:
    service.will_answer({"items": [FLAG, {**FLAG, "key": "one-click"}], "next": None})

    _, shown = in_terminal("flags", "list", "checkout", columns=40, NO_COLOR="1")

    lines = [line.split() for line in ANSI.sub("", shown).splitlines()]
    assert lines[0] == ["FLAG", "new-checkout"]
    assert ["STAGING", "killed"] in lines
    assert ["FLAG", "one-click"] in lines


def test_a_terminal_gets_colours_unless_it_wants_none(service: FakeService) -> None:
    service.will_answer({"items": [FLAG], "next": None})

    _, coloured = in_terminal("flags", "list", "checkout")
    _, plain = in_terminal("flags", "list", "checkout", NO_COLOR="1")

    assert "\x1b[1;31mkilled" in coloured
    assert "\x1b[31m" not in plain and "\x1b[1;31m" not in plain


def test_a_removal_is_asked_about_on_a_terminal(service: FakeService) -> None:
    service.will_answer(status=204)

    refused, _ = in_terminal("flags", "delete", "checkout/new-checkout", asked="[y/N]", typed="n\n")
    assert (refused, service.asked) == (130, [])

    agreed, shown = in_terminal("flags", "delete", "checkout/new-checkout", asked="[y/N]", typed="y\n")
    assert agreed == 0
    assert "checkout/new-checkout is removed." in shown


def test_a_token_that_is_typed_is_not_shown() -> None:
    code, shown = in_terminal("profile", "set", "work", "--url", "http://x", asked="API token", typed="dh_api_typed\n")

    assert code == 0
    assert "dh_api_typed" not in shown
    kept = Path(os.environ["XDG_CONFIG_HOME"]) / "downhaul" / "profiles.toml"
    assert 'token = "dh_api_typed"' in kept.read_text()

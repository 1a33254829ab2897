"""The guides, typed as they stand into a terminal beside one real server; only addresses, tokens and ids are ours."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from downhaul_server.settings import Settings
from support.guides import Block, blocks
from support.typed import House, Terminal, environment
from support.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_the_api_guide(house: House, terminal: Terminal) -> None:
    flag = "services/checkout/flags/new-checkout"
    house.clear()  # "From nothing to a kill"
    house.have_shop()
    said: dict[str, str] = {}
    for block in blocks("docs/api.md", "sh", "python"):
        text = house.here(block)
        if block.language == "python":  # it reads what the block before has exported
            (terminal.folder / "verify.py").write_text(text)
            text = "python verify.py"
        if '"12"' in text:
            text = text.replace('"12"', f'"{house.version(flag)}"')
        if "/stream?" in text:  # "The answer has no end."
            text = text.replace("curl", "timeout 2 curl").rstrip() + " || [ $? = 124 ]"
        if "/approve" in text:
            said[block.text] = _reviewed(house, terminal, text)
        else:
            said[block.text] = terminal.type(text)

    def answer(word: str) -> str:
        return next(output for text, output in said.items() if word in text)

    house.leave("checkout", "4f0c9a51b2e37d68")  # which the guide has reported, and nobody is

    assert '"reason":"first quarter"' in answer("/explain").replace('": "', '":"')
    assert '"confirmed":true' in answer('"wait": 5}').replace(" ", "")
    assert '"status":"applied"' in answer("/approve").replace(" ", "")
    assert "304" in answer("If-None-Match")
    assert "event: snapshot" in answer("/stream?")
    assert "next_report_s" in answer("/sdk/v1/report")


def _reviewed(house: House, terminal: Terminal, text: str) -> str:
    """Asked for by one, approved by another: nobody approves what they have asked for."""
    ask, approve = re.split(r"(?=^dh .*/approve)", text, flags=re.MULTILINE)
    terminal.type(ask)
    review = house.open_review()
    approve = approve.replace("4f1c09aa27", review["id"]).replace('"57"', f'"{review["version"]}"')
    said = terminal.type(f"( DOWNHAUL_TOKEN={house.approver}\n{approve})")
    house.unprotect()
    return said


def test_the_tutorial(house: House, terminal: Terminal) -> None:
    (make, enter, *rest) = blocks("docs/tutorial.md")
    assert make.text == "make run\n"  # what `house` stands for
    (terminal.folder / ".data").mkdir()
    (terminal.folder / ".data" / "admin-token").write_text(house.token)
    terminal.type("unset DOWNHAUL_URL DOWNHAUL_TOKEN DOWNHAUL_KEY\n" + _entered(house, enter.text))
    said = []
    program = None
    folder = terminal.folder / ".data" / "tutorial"
    output = folder / "output"
    try:
        for block in rest:
            if block.language == "python":
                (folder / _name(block)).write_text(block.text)
            elif "watch.py" in block.text:
                program = _left_running(house, terminal, block.text, output)
            elif block.text.startswith("source"):  # the third terminal
                said.append(terminal.type(_entered(house, block.text, terminal.folder)))
                wait_until(lambda: "\n8 of 100 customers" in output.read_text(), "a tenth has it", 30)
            else:
                said.append(terminal.type(house.here(block)))
            if "rollout basket/free-delivery 50" in block.text:
                wait_until(lambda: "52 of 100 customers" in output.read_text(), "half of them have it", 30)
            if block.text.startswith("downhaul kill"):
                wait_until(lambda: output.read_text().endswith("\n0 of 100 customers pay nothing\n"), "the kill", 30)
    finally:
        if program:
            program.terminate()
            program.wait(10)
    called, tested, _, rolled, _, killed, restored, _ = said
    assert "there is no snapshot yet" in called and called.endswith("490\n")
    assert "3 passed" in tested
    assert rolled.count("Confirmed by the only process") == 2
    assert "is killed in production" in killed and "Confirmed by the only process" in killed
    assert "everything is free" in restored


def _name(block: Block) -> str:
    """A file's own name, in its first line."""
    return block.text.split("\n")[0].removeprefix("# ")


def _entered(house: House, text: str, folder: Path | None = None) -> str:
    """This Python's programs are on the path already."""
    here = f'cd "{folder}"\n' if folder else ""
    return here + house.here(text.replace("source .venv/bin/activate\n", ""))


def _left_running(house: House, terminal: Terminal, text: str, output: Path) -> subprocess.Popen[bytes]:
    with open(output, "wb") as file:
        program = subprocess.Popen(
            ["bash", "-c", "exec env " + text],
            env=environment(DOWNHAUL_URL=house.server.url),
            stdout=file,
            stderr=file,
            cwd=output.parent,
        )
    wait_until(lambda: "0 of 100 customers pay nothing" in output.read_text(), "the program runs", 30)
    return program


def test_one_screen_for_the_night(house: House, terminal: Terminal) -> None:
    look, kill, restore = blocks("docs/incident.md", "sh")
    assert "checkout/new-checkout" in terminal.type(look.text)
    said = terminal.type(kill.text)
    assert "checkout/new-checkout is killed in production" in said
    other = house.server.call("GET", "/api/v1/services/payments/flags/new-checkout").json()  # it has the tag
    assert other["environments"]["production"]["killed"]["reason"] == "double charges"
    assert '"changed":false' in said.replace(" ", "")  # the third way, to kill what is killed
    assert "restored" in terminal.type(restore.text)


def test_reviews(house: House, terminal: Terminal) -> None:
    protect, ask, by_curl, approve = blocks("docs/reviews.md", "sh")
    terminal.type(protect.text)
    try:
        for each in (ask, by_curl):
            terminal.type(each.text)
            review = house.open_review()
            assert review["summary"]
            # `approve` asks a person; this one cannot be asked.
            lines = approve.text.replace("reviews approve", "reviews approve --yes").replace("4f1c09aa27", review["id"])
            said = terminal.type(f"( export DOWNHAUL_TOKEN={house.approver}\n{lines})")
            assert "applied" in said
            back = {"rollout": 0, "reason": "so that it can be asked for once more"}
            path = "services/checkout/flags/new-checkout/environments/production"
            assert house.server.call("PATCH", f"/api/v1/{path}", back).ok
    finally:
        house.unprotect()


def test_people(house: House, terminal: Terminal) -> None:
    local, *settings = blocks("docs/people.md", "sh")
    terminal.type(local.text)
    ada = house.server.call("GET", "/api/v1/people").json()["items"][0]
    assert ada["login"] == "ada" and ada["disabled"]
    (public, *providers) = settings
    (terminal.folder / "oidc").write_text("a secret of the provider's")
    for provider in providers:
        found = _settings(
            "DOWNHAUL_OIDC_CLIENT_ID=downhaul\n"
            + public.text
            + provider.text.replace("/run/secrets/oidc", f"{terminal.folder}/oidc")
        )
        assert found.public_url == "https://flags.example.com"


def _settings(text: str) -> Settings:
    """What a server makes of the variables that these lines set."""
    done = subprocess.run(
        ["bash", "-ec", f"set -a\n{text}\nenv -0"], env=environment(), capture_output=True, text=True, check=True
    )
    return Settings.from_environment(dict(line.split("=", 1) for line in done.stdout.split("\0") if line))


def test_webhooks(house: House, terminal: Terminal) -> None:
    (terminal.folder / "slack-address.txt").write_text(f"{house.server.url}/livez\n")
    (terminal.folder / "teams-address.txt").write_text(f"{house.server.url}/livez\n")
    first, slack, teams, allowed = blocks("docs/webhooks.md", "sh")
    for each in (slack, teams):
        terminal.type(each.text)
    create, test = first.text.splitlines()
    terminal.type(create)
    (hook,) = (
        each for each in house.server.call("GET", "/api/v1/webhooks").json()["items"] if each["name"] == "on-call"
    )
    said = terminal.type(test.replace("746eb1f9b8556432", hook["id"]) + " || [ $? = 1 ]")
    assert "hooks.example.com" in said  # which nobody is called
    assert [str(network) for network in _settings(allowed.text).webhook_allow] == ["10.1.0.0/16", "fd00:1234::/48"]


def test_the_processes_are_those_of_the_drawing(house: House) -> None:
    """docs/running.md"""
    (drawing,) = blocks("docs/running.md", "text")
    running = list(house.server.processes().values())
    assert drawing.text.count("worker ") + drawing.text.count("worker\n") == 2
    assert sum("downhaul_server.cli run" in line for line in running) >= 1
    assert sum("redis-server" in line or "valkey-server" in line for line in running) == 1
    assert sum("downhaul_server.serve" in line for line in running) == 3, running  # gunicorn, and two workers

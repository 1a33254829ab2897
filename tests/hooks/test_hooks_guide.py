"""The guide's receivers, taken from the page as they stand there, on a message that was really delivered."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services import hook_courier
from downhaul_server.services.container import Services
from support.guides import blocks
from support.hooks import Got, Receiver
from support.services import ADMIN, CHECKOUT, FLAG
from support.waiting import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
CHECKS = {
    "python": (
        [sys.executable, "-c"],
        "\nimport json, sys\nfor case in json.load(sys.stdin):\n"
        "    print(json.dumps(is_from_downhaul(case['secret'], case['headers'], case['body'].encode())))\n",
    ),
    "node": (
        ["node", "-e"],
        '\nfor (const c of JSON.parse(require("fs").readFileSync(0))) '
        "console.log(isFromDownhaul(c.secret, c.headers, Buffer.from(c.body)));\n",
    ),
}


@pytest.mark.parametrize("language", CHECKS)
def test_a_receiver_of_the_guide_takes_what_is_ours_and_nothing_else(
    language: str, services: Services, receiver: Receiver, hook: dict[str, Any]
) -> None:
    command, check = CHECKS[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on this machine")
    (block,) = (each.text for each in blocks("docs/webhooks.md") if each.mark == f"tried by tests/hooks: {language}")
    second = services.hooks.rotate(ADMIN, hook["id"])["secret"]
    services.kill.kill(ADMIN, CHECKOUT, FLAG, reason="für 5 €")
    wait_until(lambda: receiver.got, "it is told")
    got = receiver.got[0]
    old = {**got.headers, "webhook-timestamp": str(int(got.headers["webhook-timestamp"]) - 3600)}
    cases = [
        case(got, hook["secret"]),
        case(got, second),
        case(got, "whsec_" + "A" * 43 + "="),
        case(got, second, body=got.body.decode().replace("kill", "keep")),
        case(got, second, headers={**got.headers, "webhook-id": "evt_other"}),
        case(got, second, headers=old),
    ]

    done = subprocess.run(
        [*command, block + check], input=json.dumps(cases), capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.split()] == [True, True, False, False, False, False]


def case(got: Got, secret: str, *, headers: Any = None, body: str | None = None) -> dict[str, Any]:
    return {"secret": secret, "headers": headers or dict(got.headers), "body": body or got.body.decode()}


def test_the_guide_says_what_follows_an_answer() -> None:
    text = PAGE.read_text("utf-8")
    (row,) = re.findall(r"^\| ([0-9, ]+) \| It is tried again for an hour", text, re.MULTILINE)

    assert {int(status) for status in row.split(",")} == hook_courier.REFUSALS
    assert hook_courier.SKIP_AFTER_S == 3600 and hook_courier.GIVE_UP_S == 3 * 24 * 3600
    assert hook_courier.LONGEST_PAUSE_S == 3600


def test_the_guide_shows_a_message_as_it_is(services: Services, receiver: Receiver, hook: dict[str, Any]) -> None:
    (shown,) = re.findall(r"```json\n(\{\"type\".*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    services.kill.kill(ADMIN, CHECKOUT, FLAG, reason="double charges")
    wait_until(lambda: receiver.got, "it is told")

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shape(inner) for name, inner in value.items()}
        return [shape(inner) for inner in value] if isinstance(value, list) else type(value).__name__

    assert shape(receiver.got[0].json) == shape(json.loads(shown))

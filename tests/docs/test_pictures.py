"""What guides show as output (cli.md) is what the command prints; what they show of streams (api.md, ofrep.md) can be
read; and the drawing in blue-green.md is of the addresses that the guide sets up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.cli import TOKEN, FakeService, Shell, fake_service
from support.guides import ROOT, blocks

CLI = [block.text for block in blocks("docs/cli.md", "text")]
KILLED = {
    "revision": 42,
    "committed_at": "2026-11-23T22:07:01.250Z",
    "environment": "production",
    "flags": ["checkout/new-checkout"],
    "changed": True,
    "unchanged": [],
    "not_found": [],
}
ALL = {
    "instances": 38,
    "applied": 38,
    "confirmed": True,
    "stragglers": [],
    "latency_ms": {"p50": 9, "p99": 60, "max": 61},
}


def straggler(instance: str, host: str, build: str, service: str) -> dict[str, Any]:
    return {
        "instance": instance,
        "host": host,
        "build": build,
        "service": service,
        "environment": "production",
        "revision": 41,
        "link": "silent",
        "last_seen_s": 181.0,
    }


def missing(instances: int, *stragglers: dict[str, Any]) -> dict[str, Any]:
    applied = instances - len(stragglers)
    return {**ALL, "instances": instances, "applied": applied, "confirmed": False, "stragglers": list(stragglers)}


def process(instance: str, host: str, build: str, **more: Any) -> dict[str, Any]:
    return {
        "instance": instance,
        "host": host,
        "build": build,
        "sdk": "python/0.1.0",
        "link": "stream",
        "state": "live",
        "deaf": False,
        "revision": 42,
        "last_seen_s": 2.0,
        "applied": True,
        "process": "0",
        "pid": 7,
        **more,
    }


FLEET = {
    "items": [
        process("checkout-7f-1", "node-3", "2.1.0"),
        process("checkout-7f-2", "node-7", "2.1.0", deaf=True, applied=False, revision=41, last_seen_s=1.0),
        process(
            *("checkout-7f-3", "node-9", "2.0.4"),
            deaf=True,
            applied=False,
            revision=41,
            last_seen_s=181.0,
            link="silent",
            state="silent",
        ),
    ],
    "next": None,
    "epoch": "e",
    "revision": 42,
    "counts": {"live": 2, "silent": 1, "gone": 0},
}
DRILL = {
    "id": "d",
    "environment": "production",
    "revision": 57,
    "committed_at": KILLED["committed_at"],
    "confirmed": False,
    "services": [
        {"service": "checkout", **ALL},
        {"service": "search", **missing(12, straggler("search-7f-4", "node-4", "1.9.0", "search"))},
    ],
}
STEPS = [
    {"step": "killed", "passed": True, "detail": "not killed"},
    {"step": "on", "passed": True, "detail": "on"},
    {
        "step": "rule",
        "passed": False,
        "detail": "rule 1, beta testers, does not match: not in segment beta",
        "number": 1,
    },
    {"step": "rule", "passed": True, "detail": "rule 2, pro, matches and serves on", "number": 2},
]
EXPLAINED = {
    "flag": "new-checkout",
    "environment": "production",
    "value": True,
    "variant": "on",
    "rule": "pro",
    "reason": "TARGETING_MATCH",
    "error_code": None,
    "error_message": None,
    "revision": 42,
    "steps": STEPS,
}
KILL = ("kill", "checkout/new-checkout")
ANSWERS: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (KILL, {**KILLED, **ALL}),
    ((*KILL, "--wait"), {**KILLED, **ALL}),
    ((*KILL, "--wait", "0"), {**KILLED, **missing(38, straggler("checkout-7f-k2x", "node-7", "2.1.0", "checkout"))}),
    (("fleet", "checkout"), FLEET),
    (("drill",), DRILL),
    (("explain", "checkout/new-checkout", "user=42", "plan=pro"), EXPLAINED),
]
"""What is typed and what the service answers, for each picture of the page, in its order."""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "DOWNHAUL_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with fake_service() as fake:
        monkeypatch.setenv("DOWNHAUL_URL", fake.url)
        monkeypatch.setenv("DOWNHAUL_TOKEN", TOKEN)
        yield fake


def test_every_picture_of_the_command_line_is_taken() -> None:
    assert len(CLI) == len(ANSWERS)


@pytest.mark.parametrize("number", range(len(ANSWERS)), ids=lambda number: " ".join(ANSWERS[number][0]))
def test_the_command_prints_what_the_guide_shows(number: int, service: FakeService, shell: Shell) -> None:
    words, answer = ANSWERS[number]
    service.will_answer(answer)

    said = shell(*words)

    # A table ends each line where its last column ends.
    printed = [line.rstrip() for line in (said.out + said.err).splitlines()]
    assert printed == [line.rstrip() for line in CLI[number].splitlines()]


def events(page: str) -> list[dict[str, str]]:
    """The events of the page's picture of a stream, each by its fields."""
    (block,) = blocks(page, "text")
    return [dict(line.split(": ", 1) for line in event.splitlines()) for event in block.text.strip().split("\n\n")]


def completed(text: str) -> Any:
    """JSON in which `...` stands for what is left out."""
    text = re.sub(r", \.\.\.\}$", "}", text).replace("{...}", "{}")
    return json.loads(text)


def test_the_picture_of_the_stream_has_every_event_with_its_members() -> None:
    guide = (ROOT / "docs" / "api.md").read_text("utf-8")
    shown = events("docs/api.md")
    assert {event["event"] for event in shown} == set(
        re.findall(r"^\| `(snapshot|change|heartbeat|end)` \|", guide, re.M)
    )
    for event in shown:
        data = completed(event["data"])
        if "id" in event:
            assert event["id"] == f"{data['epoch']}:{data['revision']}"
        else:
            assert int(event["retry"]) > 0 and data["reason"] == "age"


def test_the_picture_of_the_notices_can_be_read() -> None:
    (event,) = events("docs/ofrep.md")
    assert completed(event["data"])["type"] == "refetchEvaluation"


def test_the_drawing_of_blue_and_green_has_the_addresses_of_the_guide() -> None:
    (drawing,) = blocks("docs/blue-green.md", "text")
    typed = "\n".join(block.text for block in blocks("docs/blue-green.md", "sh"))
    told = re.findall(r"/route/v1/[\w/-]+|127\.0\.0\.1:\d+", drawing.text)
    assert len(told) == 3
    for port in re.findall(r"127\.0\.0\.1:(\d+)", drawing.text):
        assert port in typed

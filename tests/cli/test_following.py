"""`log --follow`: what comes, as it comes, once each."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from downhaul.cli import following
from support.cli import FakeService, Result, Shell

Follow = Callable[..., Result]


def entry(revision: int, reason: str | None = None) -> dict[str, Any]:
    document = {"kind": "flag", "service": "checkout", "key": "new-checkout", "changes": []}
    return {
        "revision": revision,
        "at": f"2026-11-23T22:07:{revision:02}.000Z",
        "actor": "anna",
        "action": "flag.kill",
        "reason": reason,
        "documents": [document],
    }


def page(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"items": list(entries), "next": None}


def status(revision: int | None, epoch: str = "e1") -> dict[str, Any]:
    return {"state": "following", "epoch": epoch, "revision": revision}


@pytest.fixture
def follow(service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Follow:
    """Follows the log until the service has been asked so many times whether there is more; then comes Ctrl-C."""

    def run(*options: str, times: int) -> Result:
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            if len(pauses) == times:
                raise KeyboardInterrupt
            pauses.append(seconds)

        monkeypatch.setattr(following.time, "sleep", pause)
        result = shell("log", "--follow", *options)
        run.pauses = pauses  # type: ignore[attr-defined]
        return result

    return run


def test_the_newest_come_first_in_their_order_and_then_what_is_new(service: FakeService, follow: Follow) -> None:
    service.will_answer(status(2))
    service.will_answer(page(entry(2), entry(1)))
    service.will_answer(status(2))
    service.will_answer(status(4))
    service.will_answer(page(entry(4, "double\ncharges"), entry(3)))
    service.will_answer(status(4))

    result = follow(times=3)

    assert (result.code, result.err.strip()) == (0, "")
    assert [line.split()[0] for line in result.out.splitlines()] == ["1", "2", "3", "4"]
    assert result.out.splitlines()[3] == (
        "     4  2026-11-23 22:07:04 UTC  anna  flag.kill  checkout/new-checkout  double charges"
    )
    assert [asked.path.rpartition("/")[2] for asked in service.asked] == [
        *("status", "log"),
        "status",
        *("status", "log"),
        "status",
    ]


def test_what_came_while_the_first_were_read_is_shown_once(service: FakeService, follow: Follow) -> None:
    service.will_answer(status(1))
    service.will_answer(page(entry(2), entry(1)))
    service.will_answer(status(3))
    service.will_answer(page(entry(3), entry(2)))
    service.will_answer(status(3))

    result = follow(times=2)

    assert [line.split()[0] for line in result.out.splitlines()] == ["1", "2", "3"]


def test_only_what_is_wanted_and_no_further_back_than_what_is_new(service: FakeService, follow: Follow) -> None:
    service.will_answer(status(2))
    service.will_answer(page(entry(1)))
    service.will_answer(status(5))
    service.will_answer(page(entry(5), entry(4), entry(3)))
    service.will_answer(page(entry(4)))
    service.will_answer(status(5))

    result = follow("--flag", "checkout/new-checkout", "--limit", "10", times=2)

    assert [line.split()[0] for line in result.out.splitlines()] == ["1", "4"]
    first, new, wanted = (asked.query for asked in service.asked if asked.path.endswith("log"))
    assert (first["flag"], first["limit"]) == ("checkout/new-checkout", "10")
    assert new == {"limit": "3"}
    assert (wanted["flag"], wanted["since"]) == ("checkout/new-checkout", "2026-11-23T22:07:03.000Z")


def test_a_service_that_goes_away_is_asked_less_and_less_often_and_nothing_is_missed(
    service: FakeService, follow: Follow
) -> None:
    service.will_answer(status(1))
    service.will_answer(page(entry(1)))
    for _ in range(6):
        service.will_refuse(503, "the store cannot be read now")
    service.will_answer(status(2))
    service.will_answer(page(entry(2)))
    service.will_answer(status(2))

    result = follow(times=8)

    assert result.code == 0
    assert [line.split()[0] for line in result.out.splitlines()] == ["1", "2"]
    assert result.err.count("the store cannot be read now; trying again.") == 1
    assert result.err.count("The service answers again; nothing was missed.") == 1
    pauses = follow.pauses  # type: ignore[attr-defined]
    assert pauses[:8] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 1.0]


def test_a_token_that_is_revoked_ends_it(service: FakeService, follow: Follow) -> None:
    service.will_answer(status(1))
    service.will_answer(page(entry(1)))
    service.will_refuse(401, "the token was revoked")

    result = follow(times=5)

    assert result.code == 6 and "the token was revoked" in result.err


def test_a_new_epoch_is_told_and_followed(service: FakeService, follow: Follow) -> None:
    service.will_answer(status(90))
    service.will_answer(page(entry(50)))
    service.will_answer(status(7, "e2"))
    service.will_answer(status(91))  # another process of the service, which has not heard of it
    service.will_answer(status(8, "e2"))
    service.will_answer(page(entry(8)))

    result = follow(times=3)

    assert [line.split()[0] for line in result.out.splitlines()] == ["50", "8"]
    assert result.err.strip() == "The store has begun a new epoch, e2, at revision 7."


def test_a_service_that_has_nothing_loaded_is_not_there_yet(service: FakeService, shell: Shell) -> None:
    service.will_answer(status(None))

    assert shell("log", "--follow").code == 7


def test_json_is_a_document_on_each_line(service: FakeService, follow: Follow) -> None:
    service.will_answer(status(2))
    service.will_answer(page(entry(2), entry(1)))
    service.will_answer(status(2))

    result = follow("--json", times=1)

    assert [json.loads(line)["revision"] for line in result.out.splitlines()] == [1, 2]


def test_it_has_no_end(service: FakeService, shell: Shell) -> None:
    result = shell("log", "--follow", "--until", "2026-11-23")

    assert result.code == 2 and "--until" in result.err
    assert not service.asked

"""Reviews on a real Redis, from two server processes: every change is made once, and only as it was approved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import ApprovalRequired, ReviewClosed, ServiceError
from support.redis import RealRedis
from support.services import ADMIN, CHECKOUT, FLAG, actor, opened, with_flags

pytestmark = pytest.mark.redis

ADA = actor("editor")
APPROVERS = [actor("approver", name=name) for name in ("ben", "cleo", "dora", "emil")]
TURNS = 8


@pytest.fixture
def pair(real: RealRedis, tmp_path: Path) -> Iterator[tuple[Services, Services]]:
    """Two server processes (as far as the store is concerned) on one Redis; two must approve."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(opened(real, tmp_path / name)) for name in ("one", "other"))
        with_flags(one, checkout=[FLAG])
        one.catalog.patch_environment(ADMIN, "production", {"protected": True, "approvals": 2}, reason="x")
        yield settled(one, other)


def settled(one: Services, other: Services) -> tuple[Services, Services]:
    for each, of in ((other, one), (one, other)):
        each._store.wait_for(of._store.view.revision, 10)
    return one, other


def ask(services: Services, percent: int) -> str:
    change = {"state": {"on": True, "rollout": percent}}
    document = {"service": CHECKOUT, "flag": FLAG, "environment": "production", "change": change, "reason": "x"}
    return str(services.reviews.open(ADA, document)["id"])


def together(*deeds: Callable[[], Any]) -> list[Any]:
    """All at once; an answer or a ServiceError of each."""
    start = Barrier(len(deeds))

    def done(deed: Callable[[], Any]) -> Any:
        start.wait(10)
        try:
            return deed()
        except ServiceError as error:
            return error

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(done, deeds))


def share(services: Services) -> int:
    state = services.flags.get(ADMIN, CHECKOUT, FLAG)["environments"]["production"]
    return int(state["otherwise"]["split"][0]["weight"]) // 1000


def commits(services: Services, action: str) -> int:
    return len(services.history.log(ADMIN, action=action).items)


def test_many_approve_at_once_and_the_change_is_made_once(pair: tuple[Services, Services]) -> None:
    for turn in range(1, TURNS + 1):
        review = ask(pair[0], turn)
        settled(*pair)
        answers = together(
            *(
                lambda number=number, who=who, review=review: pair[number % 2].reviews.approve(who, review)
                for number, who in enumerate(APPROVERS)
            )
        )
        settled(*pair)
        shown = pair[0].reviews.get(ADMIN, review)
        assert shown["status"] == "applied"
        assert len(shown["approvals"]) == 2
        # The others were told that it is over.
        assert sum(isinstance(answer, ReviewClosed) for answer in answers) == 2
        assert share(pair[0]) == turn
    assert commits(pair[0], "flag.state") == TURNS


def test_what_moves_while_it_is_approved_is_never_overwritten(pair: tuple[Services, Services]) -> None:
    for turn in range(1, TURNS + 1):
        review = ask(pair[0], turn)
        settled(*pair)
        pair[0].reviews.approve(APPROVERS[0], review)
        settled(*pair)
        together(
            lambda review=review: pair[0].reviews.approve(APPROVERS[1], review),
            lambda turn=turn: pair[1].flags.set_state(
                ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rollout": 50 + turn}, reason="glass"
            ),
        )
        settled(*pair)
        # Whichever came last decides; had the edit come first, the review would have been stale.
        assert share(pair[0]) == 50 + turn
        assert pair[0].reviews.get(ADMIN, review)["status"] in ("applied", "stale")


def test_a_kill_is_not_held_up_by_those_who_approve(pair: tuple[Services, Services]) -> None:
    review = ask(pair[0], 10)
    settled(*pair)
    pair[0].reviews.approve(APPROVERS[0], review)
    settled(*pair)
    together(
        lambda: pair[0].reviews.approve(APPROVERS[1], review),
        lambda: pair[1].kill.kill(ADA, CHECKOUT, FLAG, environment="production"),
    )
    settled(*pair)
    assert pair[0].flags.get(ADMIN, CHECKOUT, FLAG)["environments"]["production"]["killed"]


def test_nobody_slips_in_while_an_environment_becomes_protected(pair: tuple[Services, Services]) -> None:
    for turn in range(TURNS):
        pair[0].catalog.patch_environment(ADMIN, "staging", {"protected": False}, reason="x")
        settled(*pair)
        before = pair[0]._store.view.revision
        protected, changed = together(
            lambda: pair[0].catalog.patch_environment(ADMIN, "staging", {"protected": True, "approvals": 1}),
            lambda turn=turn: pair[1].flags.set_state(
                ADA, CHECKOUT, FLAG, "staging", {"rollout": turn + 1}, reason="x"
            ),
        )
        settled(*pair)
        assert not isinstance(protected, ServiceError)
        if isinstance(changed, ServiceError):
            assert isinstance(changed, ApprovalRequired)
        else:
            first = pair[0].history.log(ADMIN, limit=2).items[-1]
            assert (first["revision"], first["action"]) == (before + 1, "flag.state")


def test_a_withdrawal_and_the_last_approval_exclude_one_another(pair: tuple[Services, Services]) -> None:
    for turn in range(1, TURNS + 1):
        review = ask(pair[0], turn)
        settled(*pair)
        pair[0].reviews.approve(APPROVERS[0], review)
        settled(*pair)
        answers = together(
            lambda review=review: pair[0].reviews.approve(APPROVERS[1], review),
            lambda review=review: pair[1].reviews.withdraw(ADA, review),
        )
        settled(*pair)
        assert sum(isinstance(answer, ReviewClosed) for answer in answers) == 1
        assert pair[0].reviews.get(ADMIN, review)["status"] in ("applied", "withdrawn")

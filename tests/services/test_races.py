"""Many at once on a real Redis, from two server processes: no kill loses, no edit undoes what it did not see."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import AlreadyExists, InUse, Invalid, Unavailable, VersionMismatch
from downhaul_server.services.names import address
from support.redis import RealRedis
from support.services import ADMIN, CHECKOUT, FLAG, PRO, actor, boolean, opened, rule, with_flags

pytestmark = pytest.mark.redis

Edit = Callable[[Services, random.Random], Any]

EDITS: list[Edit] = [
    lambda s, r: s.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rollout": r.randint(0, 100)}),
    lambda s, r: s.flags.patch(ADMIN, CHECKOUT, FLAG, {"description": str(r.random())}),
    lambda s, r: s.flags.patch(ADMIN, CHECKOUT, FLAG, {"environments": {"production": {"on": r.random() < 0.5}}}),
    lambda s, r: s.flags.replace(ADMIN, CHECKOUT, FLAG, {"type": "boolean", "owner": str(r.random())}),
    lambda s, r: s.flags.replace(ADMIN, CHECKOUT, FLAG, s.flags.get(ADMIN, CHECKOUT, FLAG)),
]


@pytest.fixture
def pair(real: RealRedis, tmp_path: Path) -> Iterator[tuple[Services, Services]]:
    """Two server processes (as far as the store is concerned) on one Redis."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(opened(real, tmp_path / name)) for name in ("one", "other"))
        with_flags(one, checkout=[FLAG], payments=["new-ledger"])
        other._store.wait_for(one._store.view.revision, 10)
        yield one, other


def test_kills_win_against_a_storm_of_edits(pair: tuple[Services, Services]) -> None:
    over = threading.Event()
    edits = [0]

    def hammer(number: int) -> None:
        dice = random.Random(number)
        while not over.is_set():
            try:
                EDITS[number % len(EDITS)](pair[number % 2], dice)
                edits[0] += 1
            except (Unavailable, Invalid):
                pass  # it was overtaken, or sent back a kill that was lifted since: told so, nothing was lost

    with ThreadPoolExecutor(6) as pool:
        storms = [pool.submit(hammer, number) for number in range(6)]
        try:
            for turn in range(15):
                services = pair[turn % 2]
                answer = services.kill.kill(actor("operator"), CHECKOUT, FLAG, reason=str(turn))
                assert answer.changed
                services.kill.restore(ADMIN, CHECKOUT, FLAG, reason="again")
        finally:
            over.set()
        for storm in storms:
            storm.result()
    assert edits[0] > 0
    _only_restores_lift_kills(pair[0])


def _only_restores_lift_kills(services: Services) -> None:
    where = address("flag", CHECKOUT, FLAG)
    for entry in services._store.log(limit=100_000):
        for change in entry.changes:
            if change.address == where and change.before and change.after:
                before, after = (
                    body["environments"].get("production", {}).get("killed") for body in (change.before, change.after)
                )
                if before and not after:
                    assert entry.action == "flag.restore"
                if after and not before:
                    assert entry.action == "flag.kill"


def test_edits_that_ask_for_no_version_all_land(pair: tuple[Services, Services]) -> None:
    def edit(number: int) -> None:
        variants = {f"v{number}": bool(number % 2)}
        pair[number % 2].flags.patch(ADMIN, CHECKOUT, FLAG, {"variants": variants})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(edit, range(24)))
    document = pair[0].flags.get(ADMIN, CHECKOUT, FLAG)
    assert document["variants"].keys() == {"on", "off", *(f"v{number}" for number in range(24))}


def test_of_edits_that_ask_for_the_same_version_one_lands(pair: tuple[Services, Services]) -> None:
    version = pair[0].flags.get(ADMIN, CHECKOUT, FLAG)["version"]
    refused = []

    def edit(number: int) -> int:
        try:
            document = pair[number % 2].flags.patch(ADMIN, CHECKOUT, FLAG, {"owner": f"{number}"}, if_match=version)
            return int(document["version"])
        except VersionMismatch as error:
            refused.append(error.current_version)
            return 0

    with ThreadPoolExecutor(8) as pool:
        landed = [found for found in pool.map(edit, range(8)) if found]
    assert len(landed) == 1 and refused == landed * 7


def test_a_key_is_taken_once(pair: tuple[Services, Services]) -> None:
    def create(number: int) -> bool:
        try:
            pair[number % 2].flags.create(ADMIN, CHECKOUT, boolean("beta", owner=f"{number}"))
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(create, range(6))) == 1


def test_a_request_repeated_while_the_first_is_under_way_is_done_once(pair: tuple[Services, Services]) -> None:
    def create(number: int) -> dict[str, Any]:
        document = {"kind": "api", "name": "ci", "role": "viewer"}
        return pair[number % 2].keys.create(ADMIN, document, operation="make-it")

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(create, range(6)))
    assert all(answer == answers[0] for answer in answers)
    assert len(pair[0].keys.list(ADMIN).items) == 1


def test_nothing_is_left_pointing_to_nowhere(pair: tuple[Services, Services]) -> None:
    """One removes a segment while the other begins to use it: one of the two is refused."""
    one, other = pair
    for _ in range(10):
        one.segments.create(ADMIN, {"key": "pro", "when": PRO})
        other._store.wait_for(one._store.view.revision, 10)
        with ThreadPoolExecutor(2) as pool:
            used, removed = pool.submit(_use_segment, other), pool.submit(_remove_segment, one)
            assert used.result() != removed.result()
        if used.result():
            one.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rules": []})
            one.segments.delete(ADMIN, "pro")


def _use_segment(services: Services) -> bool:
    try:
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rules": [rule({"segment": "pro"})]})
    except Invalid:
        return False
    return True


def _remove_segment(services: Services) -> bool:
    try:
        services.segments.delete(ADMIN, "pro")
    except InUse:
        return False
    return True


def test_two_flags_never_come_to_require_each_other(pair: tuple[Services, Services]) -> None:
    def require(services: Services, service: str, flag: str, other: str) -> bool:
        try:
            services.flags.patch(ADMIN, service, flag, {"requires": [{"flag": other, "variants": ["on"]}]})
        except Invalid:
            return False
        return True

    for _ in range(10):
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(require, pair[0], CHECKOUT, FLAG, "payments/new-ledger")
            second = pool.submit(require, pair[1], "payments", "new-ledger", f"checkout/{FLAG}")
            assert first.result() != second.result()
        for service, flag in ((CHECKOUT, FLAG), ("payments", "new-ledger")):
            pair[0].flags.patch(ADMIN, service, flag, {"requires": []})

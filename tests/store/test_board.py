"""How the workers of one node know what the others serve."""

from __future__ import annotations

import copy
import os
import threading
from typing import Any

import pytest
from downhaul_server.store import Board
from support.redis import FakeRedis
from support.store import FLAG, change
from support.waiting import wait_until


def workers(board: Board, count: int) -> list[Board]:
    """The board as `count` workers have it after the fork: the same memory, a slot of their own."""
    boards = [copy.copy(board) for _ in range(count)]
    for worker in boards:
        worker.claim(board.reserve())
    return boards


def test_a_worker_waits_for_the_others_and_not_for_itself() -> None:
    one, two, three = workers(Board(), 3)
    two.publish(7)
    three.publish(7)
    assert one.wait_others(7, timeout=0)
    assert not one.wait_others(8, timeout=0)
    two.publish(8)
    assert not one.wait_others(8, timeout=0)
    three.publish(9)
    assert one.wait_others(8, timeout=0)


def test_waiting_ends_when_the_last_one_is_there() -> None:
    one, two = workers(Board(), 2)
    two.publish(1)
    threading.Timer(0.05, lambda: two.publish(2)).start()
    assert one.wait_others(2, timeout=20)


def test_nobody_waits_for_a_worker_that_is_gone_or_follows_nothing() -> None:
    board = Board()
    one, two, three = workers(board, 3)
    two.publish(1)
    three.publish(1)
    two.publish(0)
    board.release(2)
    assert one.wait_others(5, timeout=0)


def test_a_released_slot_is_given_again_and_starts_silent() -> None:
    board = Board(slots=1)
    (one,) = workers(board, 1)
    one.publish(5)
    board.release(0)
    (two,) = workers(board, 1)
    assert two.wait_others(9, timeout=0)


def test_more_workers_than_slots_is_an_error() -> None:
    board = Board(slots=1)
    board.reserve()
    with pytest.raises(RuntimeError, match="only 1 slots"):
        board.reserve()


def test_without_a_slot_a_board_does_nothing() -> None:
    board = Board()
    board.publish(5)
    assert board.wait_others(9, timeout=0)


def test_a_forked_worker_is_seen_by_its_siblings() -> None:
    board = Board()
    mine, childs = board.reserve(), board.reserve()
    child = os.fork()
    if child == 0:
        board.claim(childs)
        board.publish(42)
        os._exit(0)
    board.claim(mine)
    os.waitpid(child, 0)
    assert board.wait_others(42, timeout=0)
    assert not board.wait_others(43, timeout=0)


def test_a_commit_is_served_by_all_workers_of_the_node_when_it_is_answered(open_store: Any) -> None:
    redis = FakeRedis()
    one, two = (open_store(redis, board=board) for board in workers(Board(), 2))
    for _ in range(10):
        committed = one.commit(change(FLAG, {}))
        assert two.view.revision >= committed.revision


@pytest.mark.redis
def test_a_worker_that_lost_redis_holds_up_nobody(real: Any, open_store: Any) -> None:
    ours, its = workers(Board(), 2)
    store = open_store(real, board=its)
    assert not ours.wait_others(99, timeout=0)
    real.kill()
    wait_until(lambda: store.health()["state"] == "away", "it has noticed")
    assert ours.wait_others(99, timeout=0)

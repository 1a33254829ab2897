"""`frozen` keeps one view of the flags over a block, whatever arrives meanwhile, and not a moment longer."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from downhaul import counters
from downhaul.client import Client
from downhaul.evaluate import Table
from downhaul.frozen import innermost
from support.fakeservice import Connect, FakeService
from support.rulesets import flag
from support.waiting import wait_until

COLOURS = {"red": "#f00", "blue": "#00f"}
COLOUR = flag(type="string", variants=COLOURS, off_variant="red", otherwise={"variant": "blue"})
FLAGS = {"plain": flag(), "colour": COLOUR}

Kill = Callable[[], None]


@pytest.fixture
def client(service: FakeService, connect: Connect) -> Client:
    service.publish(1, FLAGS)
    made = connect()
    assert made.wait_ready()
    return made


@pytest.fixture
def kill(service: FakeService, client: Client) -> Kill:
    """Kills both flags, and waits until that is in force."""

    def kill_them() -> None:
        service.publish(2, {name: {**each, "killed": True} for name, each in FLAGS.items()})
        wait_until(lambda: client.status().revision == 2, "the kill is in force")

    return kill_them


def everything(client: Client) -> tuple[object, ...]:
    """All ways to ask for the two flags."""
    return (
        client.enabled("plain"),
        client.value("colour"),
        client.boolean("plain"),
        client.string("colour"),
        client.variant("colour"),
        client.details("plain").revision,
        client.explain("plain").value,
        client.explain("plain").revision,
        client.all(),
    )


BEFORE = (True, "#00f", True, "#00f", "blue", 1, True, 1, {"plain": True, "colour": "#00f"})
AFTER = (False, "#f00", False, "#f00", "red", 2, False, 2, {"plain": False, "colour": "#f00"})


def straight(client: Client) -> bool:
    """Whether the hot path reads plain tables: then a block costs nothing."""
    tables: list[Table] = []
    swap = client._answers._put
    for each in swap.__closure__ or ():  # type: ignore[attr-defined]
        tables.append(each.cell_contents)
    return all(type(each) is dict for each in tables)


class TestABlock:
    def test_answers_as_it_was_when_it_began(self, client: Client, kill: Kill) -> None:
        with client.frozen():
            kill()
            assert everything(client) == BEFORE
        assert everything(client) == AFTER

    def test_costs_nothing_when_it_is_over(self, client: Client) -> None:
        assert straight(client)
        with client.frozen():
            assert not straight(client)
            with client.frozen():
                pass
            assert not straight(client)
        assert straight(client)
        remove = client.on_evaluation(lambda details, context: None)
        with client.frozen():
            pass
        assert not straight(client), "somebody listens"
        remove()
        assert straight(client)

    def test_does_not_see_overrides_that_begin_inside_it(self, client: Client) -> None:
        with client.override(plain=False), client.frozen(), client.override(plain=True, extra=True):
            assert client.enabled("plain") is False
            assert client.enabled("extra") is False
        with client.frozen(), client.override(plain=False):
            assert client.enabled("plain") is True

    def test_keeps_what_was_removed_and_does_not_know_what_was_added(
        self, service: FakeService, client: Client
    ) -> None:
        with client.frozen():
            service.publish(2, {"plain": COLOUR, "added": flag()})
            wait_until(lambda: client.status().revision == 2, "the change is in force")
            assert client.enabled("plain") is True, "another type since"
            assert client.value("colour") == "#00f", "removed since"
            assert client.enabled("added", default=True) is True
            assert client.enabled("added") is False
            assert client.details("added").error_code == "FLAG_NOT_FOUND"
        assert client.enabled("added") is True
        assert client.value("plain") == "#00f"

    def test_counts_every_evaluation_once_and_for_good(
        self, client: Client, kill: Kill, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counters, "_SETTLED_S", 0.0)  # as if the block were a long one
        with client.frozen():
            client.enabled("plain")
            kill()
            with client.override(extra=True):  # what was in force before the kill is no more followed
                client.enabled("plain")
            client.details("plain")
            client.value("plain")
            client.enabled("colour")
        client.enabled("plain")
        assert client.counts() == {"plain": {"on": 4, "off": 1}, "colour": {"TYPE_MISMATCH": 1}}

    def test_is_told_of_to_listeners(self, client: Client, kill: Kill) -> None:
        told: list[tuple[object, int | None]] = []
        client.on_evaluation(lambda details, context: told.append((details.value, details.revision)))
        with client.frozen():
            kill()
            client.enabled("plain")
        client.enabled("plain")
        assert told == [(True, 1), (False, 2)]

    def test_before_there_is_a_snapshot_is_of_nothing(self, service: FakeService, connect: Connect) -> None:
        service.publish(1, FLAGS)
        client = Client()
        with client.frozen():
            client.configure(url=service.url, key="dh_sdk_test_key", service="checkout")
            try:
                assert client.wait_ready()
                assert client.enabled("plain") is False
                assert client.details("plain").error_code == client.explain("plain").error_code == "PROVIDER_NOT_READY"
                assert client.all() == {}
            finally:
                client.close()
        assert client.enabled("plain") is True

    def test_nested_keeps_the_view_of_the_outer_one(self, client: Client, kill: Kill) -> None:
        with client.frozen():
            kill()
            with client.frozen():
                assert client.enabled("plain") is True
            assert client.enabled("plain") is True
        with client.frozen():
            assert client.enabled("plain") is False

    def test_is_of_one_client(self, client: Client, kill: Kill) -> None:
        other = Client()
        with client.frozen(), other.frozen():
            kill()
            with other.override(plain=True):
                assert client.enabled("plain") is True
                assert other.enabled("plain") is False, "it knew no flag when its block began"
        with other.frozen():
            assert client.enabled("plain") is False

    def test_may_end_before_one_that_began_later(self, client: Client, kill: Kill) -> None:
        first, second = client.frozen(), client.frozen()
        first.__enter__()
        second.__enter__()
        kill()
        first.__exit__(None, None, None)
        assert everything(client) == BEFORE
        second.__exit__(None, None, None)
        assert everything(client) == AFTER
        assert straight(client)

    def test_ends_with_an_error(self, client: Client, kill: Kill) -> None:
        @client.frozen()
        def failing() -> None:
            kill()
            raise LookupError

        with pytest.raises(LookupError):
            failing()
        assert client.enabled("plain") is False

    def test_may_be_entered_again(self, client: Client, kill: Kill) -> None:
        block = client.frozen()
        with block, block:
            kill()
            assert client.enabled("plain") is True
        with block:
            assert client.enabled("plain") is False
        assert straight(client)


class TestADecorator:
    def test_of_a_function(self, client: Client, kill: Kill) -> None:
        @client.frozen()
        def handle() -> tuple[bool, bool]:
            before = client.enabled("plain")
            kill()
            return before, client.enabled("plain")

        assert handle() == (True, True)
        assert client.enabled("plain") is False

    def test_of_a_coroutine_function(self, client: Client, kill: Kill) -> None:
        @client.frozen()
        async def handle() -> bool:
            await asyncio.to_thread(kill)
            return client.enabled("plain")

        assert asyncio.run(handle()) is True
        assert client.enabled("plain") is False

    @pytest.mark.parametrize("block", ["frozen", "context", "override"])
    def test_of_a_generator_function_is_refused(self, client: Client, block: str) -> None:
        def rows() -> Iterator[int]:
            yield 1

        async def rows_later() -> AsyncIterator[int]:
            yield 1

        for function in (rows, rows_later):
            with pytest.raises(
                TypeError, match=f"{function.__name__} is a generator function.*put a `with` block inside"
            ):
                getattr(client, block)()(function)


class TestThreadsAndTasks:
    def test_another_thread_sees_live_flags(self, client: Client, kill: Kill) -> None:
        seen: list[bool] = []
        with client.frozen():
            kill()
            alone = contextvars.Context()  # what a thread begins with, before Python 3.14
            thread = threading.Thread(target=alone.run, args=(lambda: seen.append(client.enabled("plain")),))
            thread.start()
            thread.join()
        assert seen == [False]

    def test_tasks_and_to_thread_inherit_it(self, client: Client, kill: Kill) -> None:
        async def ask() -> bool:
            return client.enabled("plain")

        async def handle() -> list[bool]:
            with client.frozen():
                await asyncio.to_thread(kill)
                return [await asyncio.create_task(ask()), await asyncio.to_thread(client.enabled, "plain")]

        assert asyncio.run(handle()) == [True, True]

    def test_tasks_beside_each_other_have_their_own(self, client: Client, kill: Kill) -> None:
        async def handle(frozen: asyncio.Event, killed: asyncio.Event) -> bool:
            with client.frozen():
                frozen.set()
                await killed.wait()
                return client.enabled("plain")

        async def both() -> list[bool]:
            early, late, killed = asyncio.Event(), asyncio.Event(), asyncio.Event()
            first = asyncio.create_task(handle(early, killed))
            await early.wait()
            await asyncio.to_thread(kill)
            second = asyncio.create_task(handle(late, killed))
            await late.wait()
            live = client.enabled("plain")
            killed.set()
            return [await first, live, await second]

        assert asyncio.run(both()) == [True, False, False]
        assert straight(client)

    def test_one_object_in_two_tasks(self, client: Client, kill: Kill) -> None:
        block = client.frozen()

        async def handle(entered: asyncio.Event, leave: asyncio.Event) -> bool:
            with block:
                entered.set()
                await leave.wait()
                return client.enabled("plain")

        async def both() -> list[bool]:
            entered, leave = [asyncio.Event(), asyncio.Event()], [asyncio.Event(), asyncio.Event()]
            first = asyncio.create_task(handle(entered[0], leave[0]))
            await entered[0].wait()
            await asyncio.to_thread(kill)
            second = asyncio.create_task(handle(entered[1], leave[1]))
            await entered[1].wait()
            leave[0].set()
            early = await first
            with client.override(plain=True):
                leave[1].set()
                return [early, await second]

        assert asyncio.run(both()) == [True, False]
        assert straight(client)

    def test_a_task_that_outlives_the_block_sees_live_flags(self, client: Client, kill: Kill) -> None:
        async def outlive(over: asyncio.Event) -> tuple[object, ...]:
            await over.wait()
            return everything(client)

        async def handle() -> tuple[object, ...]:
            over = asyncio.Event()
            with client.frozen():
                task = asyncio.create_task(outlive(over))
                await asyncio.to_thread(kill)
                assert everything(client) == BEFORE
            over.set()
            return await task

        assert asyncio.run(handle()) == AFTER

    def test_an_async_generator_that_is_closed_elsewhere(self, client: Client, kill: Kill) -> None:
        async def rows() -> AsyncIterator[bool]:
            with client.frozen():
                while True:
                    yield client.enabled("plain")

        async def stream() -> list[bool]:
            made = rows()
            first = [await anext(made)]
            await asyncio.to_thread(kill)
            first.append(await anext(made))
            await asyncio.create_task(made.aclose())  # type: ignore[attr-defined]
            return [*first, client.enabled("plain")]

        assert asyncio.run(stream()) == [True, True, False]
        assert straight(client)

    def test_what_was_closed_elsewhere_leaves_nothing_that_piles_up(self, client: Client) -> None:
        async def rows() -> AsyncIterator[bool]:
            with client.frozen():
                yield client.enabled("plain")

        async def stream() -> int:
            for _ in range(5):
                made = rows()
                await anext(made)
                await asyncio.create_task(made.aclose())  # type: ignore[attr-defined]
            depth, view = 0, innermost()
            while view is not None:
                depth, view = depth + 1, view.outer
            return depth

        assert asyncio.run(stream()) == 1

    def test_a_generator_that_is_dropped(self, client: Client, kill: Kill) -> None:
        def rows() -> Iterator[bool]:
            with client.frozen():
                while True:
                    yield client.enabled("plain")

        made = rows()
        assert next(made) is True
        kill()
        assert next(made) is True
        del made
        gc.collect()
        assert client.enabled("plain") is False
        assert straight(client)

    def test_many_threads_under_many_changes(self, service: FakeService, client: Client) -> None:
        stop = threading.Event()
        torn: list[object] = []
        asked = [0] * 4

        def request(number: int) -> None:
            while not stop.is_set():
                with client.frozen():
                    view = {client.details("plain").revision for _ in range(20)}
                    plain = {client.enabled("plain") for _ in range(20)}
                asked[number] += 40
                if len(view) != 1 or len(plain) != 1:
                    torn.append((view, plain))

        threads = [threading.Thread(target=request, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for revision in range(2, 8):
            service.publish(revision, {**FLAGS, "plain": flag(on=revision % 2 == 0)})
            wait_until(lambda wanted=revision: client.status().revision == wanted, "the change is in force")
        stop.set()
        for thread in threads:
            thread.join()
        assert torn == []
        assert straight(client)
        assert sum(client.counts()["plain"].values()) == sum(asked)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_live_flags_at_once(service: FakeService, client: Client) -> None:
    reader, writer = os.pipe()
    with client.frozen():
        child = os.fork()
        if child == 0:
            try:
                with client.override(plain=False):
                    seen = {client.enabled("plain"), client.boolean("plain")}
                os.write(writer, b"live" if seen == {False} else b"frozen")
                os.write(writer, b" straight" if straight(client) else b" detour")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert client.enabled("plain") is True
    os.close(writer)
    with os.fdopen(reader) as file:
        assert file.read() == "live straight"

"""The client as its user sees it: readiness, status, changes, settings in force, overrides in code."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest
from downhaul.client import Client
from downhaul.settings import Settings, SettingsError
from support.fakeservice import KEY, SERVICE, Connect, FakeService, never
from support.rulesets import flag
from support.waiting import wait_until

OFF = flag(on=False)


class TestReadiness:
    def test_waits_for_the_first_snapshot(self, connect: Connect) -> None:
        assert connect().wait_ready(10) is True

    def test_gives_up_in_time(self, service: FakeService, connect: Connect) -> None:
        service.behaviour = never
        client = connect()
        before = time.monotonic()
        assert client.wait_ready(0.2) is False
        assert time.monotonic() - before < 5

    def test_with_nothing_to_wait_for_is_false_at_once(self) -> None:
        before = time.monotonic()
        assert Client().wait_ready(30) is False
        assert time.monotonic() - before < 5

    def test_of_a_client_that_was_not_started_starts_it(self, service: FakeService) -> None:
        client = Client()
        settings = Settings.from_arguments({"url": service.url, "key": KEY, "service": SERVICE})
        client.use(settings, start=False)
        assert client.status().state == "offline" and client.status().link == "none"
        assert client.wait_ready(10) is True
        client.close()


class TestStatus:
    def test_of_a_client_that_follows(self, connect: Connect) -> None:
        client = connect(instance="web-1")
        assert client.wait_ready()
        wait_until(lambda: client.status().state == "ready", "the first round has ended")
        status = client.status()._asdict()
        assert 0 <= status.pop("age_s") < 10
        assert status == {
            "state": "ready", "service": "checkout", "environment": "production", "instance": "web-1", "epoch": "e1",
            "revision": 1, "link": "stream", "source": "service", "flags": 1, "overrides": 0, "last_error": None,
        }  # fmt: skip

    def test_before_the_first_answer(self, service: FakeService, connect: Connect) -> None:
        service.behaviour = never
        status = connect(timeout=60).status()
        assert (status.state, status.revision, status.age_s, status.source) == ("starting", None, None, "none")

    def test_age_grows_while_the_service_is_away(self, service: FakeService, connect: Connect) -> None:
        client = connect()
        assert client.wait_ready()
        service.behaviour = never
        wait_until(lambda: (client.status().age_s or 0) > 0.5, "the age grows")
        wait_until(lambda: client.status().state == "stale", "the state tells it")


class TestChanges:
    def test_are_told_by_name_from_the_thread(self, service: FakeService, connect: Connect) -> None:
        segment = {"attribute": "plan", "op": "in", "values": ["pro"]}
        beta = flag(rules=[{"when": {"segment": "beta"}, "serve": {"variant": "on"}}], otherwise={"variant": "off"})
        needs = flag(requires=[{"flag": "b", "variants": ["on"]}])
        service.publish(1, {"a": flag(), "b": flag(), "needs-b": needs, "beta": beta}, segments={"beta": segment})
        client = connect()
        assert client.wait_ready()
        told: list[tuple[frozenset[str], str]] = []
        client.on_change(lambda names: told.append((names, threading.current_thread().name)))

        service.publish(2, {"a": flag(), "b": OFF, "needs-b": needs, "beta": beta}, segments={"beta": segment})
        wait_until(lambda: len(told) == 1, "the change is told")
        service.publish(
            3,
            {"b": OFF, "needs-b": needs, "beta": beta, "new": flag()},
            segments={"beta": {**segment, "values": ["free"]}},
        )
        wait_until(lambda: len(told) == 2, "the change is told")
        assert told == [({"b", "needs-b"}, "downhaul-sync"), ({"a", "beta", "new"}, "downhaul-sync")]

    def test_are_in_force_when_they_are_told(self, service: FakeService, connect: Connect) -> None:
        client = connect()
        assert client.wait_ready()
        seen: list[bool] = []
        client.on_change(lambda _: seen.append(client.enabled("new-checkout")))
        service.publish(2, {"new-checkout": OFF})
        wait_until(lambda: seen, "the change is told")
        assert seen == [False]

    def test_a_listener_that_raises_harms_nobody(
        self, service: FakeService, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = connect()
        assert client.wait_ready()
        told: list[frozenset[str]] = []

        def broken(_: frozenset[str]) -> None:
            raise ValueError("broken listener")

        client.on_change(broken)
        remove = client.on_change(told.append)
        for revision in (2, 3):
            service.publish(revision, {"new-checkout": flag(on=revision == 3)})
            wait_until(lambda wanted=revision: len(told) == wanted - 1, "the change is told")
        assert caplog.text.count("ValueError: broken listener") == 1

        remove()
        remove()
        service.publish(4, {"new-checkout": OFF})
        wait_until(lambda: client.status().revision == 4, "the change is in force")
        assert len(told) == 2

    def test_a_flag_that_did_not_change_keeps_its_counter(self, service: FakeService, connect: Connect) -> None:
        service.publish(1, {"a": flag(), "b": flag()})
        client = connect()
        assert client.wait_ready()
        before = client._answers.compiled.evaluators["a"]
        service.publish(2, {"a": flag(), "b": OFF})
        wait_until(lambda: client.status().revision == 2, "the change is in force")
        assert client._answers.compiled.evaluators["a"] is before


class TestConfigure:
    def test_connects_a_client_that_had_nothing(self, service: FakeService) -> None:
        client = Client()
        enabled = client.enabled  # as `from downhaul.flags import enabled` takes it
        assert enabled("new-checkout") is False
        client.configure(url=service.url, key=KEY, service=SERVICE)
        assert client.wait_ready(10) and enabled("new-checkout") is True
        client.close()

    def test_keeps_the_snapshot_of_the_same_service(self, connect: Connect) -> None:
        client = connect()
        assert client.wait_ready()
        client.configure(poll_interval=1)
        assert client.enabled("new-checkout") is True

    def test_drops_the_snapshot_for_another_service(self, service: FakeService, connect: Connect) -> None:
        client = connect()
        assert client.wait_ready()
        service.behaviour = never
        client.configure(service="payments")
        assert client.enabled("new-checkout") is False and client.status().service == "payments"

    def test_a_wrong_setting_raises_and_changes_nothing(self, connect: Connect) -> None:
        client = connect()
        assert client.wait_ready()
        with pytest.raises(SettingsError, match="poll_interval"):
            client.configure(poll_interval=0)
        assert client.enabled("new-checkout") is True and client.status().link == "stream"

    def test_the_thread_before_it_ends(self, connect: Connect) -> None:
        client = connect()
        assert client.wait_ready()
        before = client._worker
        client.configure(poll_interval=1)
        before.join(10)
        assert not before._thread.is_alive()


class TestOverride:
    def test_works_with_no_service(self) -> None:
        client = Client()
        with client.override(new_checkout=True):
            assert client.enabled("new-checkout") is client.enabled("new_checkout") is True
        assert client.enabled("new-checkout") is False

    def test_takes_names_as_they_are_and_values_of_any_type(self) -> None:
        client = Client()
        with client.override({"payments/new-ledger": True, "a.b": 1.5}, colour="red", layout={"columns": 2}):
            assert client.enabled("payments/new-ledger") is True
            assert (client.value("a.b"), client.value("colour"), client.value("layout")) == (1.5, "red", {"columns": 2})
            assert client.enabled("colour", default=True) is True, "not a boolean: the default"

    def test_a_keyword_means_the_flag_that_there_is(self, service: FakeService, connect: Connect) -> None:
        service.publish(1, {"new_checkout": flag(on=False), "old-checkout": flag(on=False)})
        client = connect()
        assert client.wait_ready()
        with client.override(new_checkout=True, old_checkout=True):
            assert client.enabled("new_checkout") is client.enabled("old-checkout") is True
            assert client.enabled("new-checkout") is client.enabled("old_checkout") is False

    def test_nests_and_the_inner_block_wins(self) -> None:
        client = Client()
        with client.override(a=True, b=True):
            with client.override(a=False):
                assert (client.enabled("a"), client.enabled("b")) == (False, True)
            assert client.enabled("a") is True

    def test_blocks_may_end_in_any_order(self) -> None:
        client = Client()
        first, second = client.override(a=True), client.override(a=False)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert client.enabled("a", default=True) is False
        second.__exit__(None, None, None)
        assert client.enabled("a", default=True) is True

    def test_is_seen_by_other_threads(self) -> None:
        client, seen = Client(), []
        with client.override(a=True):
            thread = threading.Thread(target=lambda: seen.append(client.enabled("a")))
            thread.start()
            thread.join()
        assert seen == [True]

    def test_is_a_decorator_also_of_coroutines(self) -> None:
        client = Client()

        @client.override(a=True)
        def plain(depth: int = 1) -> bool:
            return client.enabled("a") and (depth == 0 or plain(depth - 1))

        @client.override(a=True)
        async def later() -> bool:
            await asyncio.sleep(0)
            return client.enabled("a")

        assert plain() is True and asyncio.run(later()) is True
        assert client.enabled("a") is False and plain.__name__ == "plain"

    def test_a_block_ends_when_it_raises(self) -> None:
        client = Client()
        with pytest.raises(ZeroDivisionError), client.override(a=True):
            raise ZeroDivisionError
        assert client.enabled("a") is False

    def test_outlives_a_change_of_the_snapshot(self, service: FakeService, connect: Connect) -> None:
        client = connect()
        assert client.wait_ready()
        with client.override(new_checkout=False):
            service.publish(2, {"new-checkout": flag(), "more": flag()})
            wait_until(lambda: client.enabled("more"), "the change is in force")
            assert client.enabled("new-checkout") is False
        assert client.enabled("new-checkout") is True


class TestContext:
    def test_is_a_decorator_also_of_coroutines(self, service: FakeService, connect: Connect) -> None:
        pro = {"when": {"attribute": "plan", "op": "in", "values": ["pro"]}, "serve": {"variant": "on"}}
        service.publish(1, {"pro": flag(rules=[pro], otherwise={"variant": "off"})})
        client = connect()
        assert client.wait_ready()

        @client.context(plan="pro")
        def plain() -> bool:
            return client.enabled("pro")

        @client.context(plan="pro")
        async def later() -> bool:
            return await asyncio.to_thread(client.enabled, "pro")

        assert plain() is True and asyncio.run(later()) is True and client.enabled("pro") is False


def run(program: str, **environment: str) -> str:
    """What a program prints in a process of its own, with nothing but these settings."""
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


class TestImport:
    def test_loads_no_http_library(self) -> None:
        heavy = "{'requests', 'urllib3', 'ssl', 'http', 'socket', 'asyncio', 'email', 'pytest'}"
        assert run(f"import sys, downhaul.flags; print({heavy} & set(sys.modules))") == "set()\n"

    def test_of_the_package_alone_loads_nothing_of_it(self) -> None:
        program = "import sys, downhaul; print([name for name in sys.modules if name.startswith('downhaul.')])"
        assert run(program) == "[]\n"

    def test_starts_the_thread_when_there_is_a_service(self, service: FakeService) -> None:
        program = "from downhaul import flags; print(flags.wait_ready(10), flags.enabled('new-checkout'))"
        settings = {"DOWNHAUL_URL": service.url, "DOWNHAUL_KEY": KEY, "DOWNHAUL_SERVICE": SERVICE}
        assert run(program, **settings) == "True True\n"
        threads = "import threading; from downhaul import flags; print(threading.active_count())"
        assert run(threads, **settings) == "2\n"
        assert run(threads, **settings, DOWNHAUL_AUTOSTART="0") == "1\n"
        assert run(program, **settings, DOWNHAUL_AUTOSTART="0") == "True True\n", "asking for readiness starts it"
        assert run(threads) == "1\n"

    def test_survives_wrong_settings_and_tells_them(self) -> None:
        program = "from downhaul import flags; print(flags.enabled('a', default=True), flags.status().last_error)"
        told = run(program, DOWNHAUL_URL="flags.example", DOWNHAUL_KEY="secret key", DOWNHAUL_POLL_INTERVAL="soon")
        assert "DOWNHAUL_URL must be an address" in told and "DOWNHAUL_POLL_INTERVAL" in told
        assert "secret" not in told and told.startswith("True ")

    def test_tells_what_is_missing(self) -> None:
        program = "from downhaul import flags; print(flags.status().last_error)"
        told = run(program, DOWNHAUL_URL="http://flags.example")
        assert "DOWNHAUL_KEY is not set; DOWNHAUL_SERVICE is not set" in told


class TestSmallness:
    def test_a_running_client_takes_little_memory_beyond_requests(self, service: FakeService) -> None:
        program = """
import resource, requests
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from downhaul import flags
assert flags.wait_ready(10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""
        settings = {"DOWNHAUL_URL": service.url, "DOWNHAUL_KEY": KEY, "DOWNHAUL_SERVICE": SERVICE}
        assert int(run(program, **settings)) < 12_000  # kB; bench/engine.py measures against the goal of 5 MB

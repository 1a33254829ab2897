"""`enabled` and `value` never raise, never block, and count every call."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest
from downhaul.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fakeservice import Connect, FakeService
from support.rulesets import flag
from support.waiting import wait_until

SPLIT = {"split": [{"variant": "on", "weight": 25000}, {"variant": "off", "weight": 75000}], "by": "user"}
PRO = {"name": "pro", "when": {"attribute": "plan", "op": "in", "values": ["pro"]}, "serve": {"variant": "on"}}
NEWER = {"when": {"attribute": "build", "op": "semver_gte", "values": ["2.1.0"]}, "serve": {"variant": "on"}}
BLUE = {"variant": "blue"}
LAYOUT = {"columns": [1, 2], "deep": {"x": []}}
FLAGS = {
    "plain": flag(),
    "dark": flag(on=False),
    "killed": flag(killed=True),
    "split": flag(otherwise=SPLIT),
    "pro": flag(rules=[PRO], otherwise={"variant": "off"}),
    "newer": flag(rules=[NEWER], otherwise={"variant": "off"}),
    "colour": flag(type="string", variants={"red": "#f00", "blue": "#00f"}, off_variant="red", otherwise=BLUE),
    "limit": flag(type="number", variants={"low": 1, "high": 2.5}, off_variant="low", otherwise={"variant": "high"}),
    "layout": flag(type="json", variants={"a": LAYOUT, "b": None}, off_variant="b", otherwise={"variant": "a"}),
    "layouts": flag(
        type="json", variants={"a": LAYOUT, "b": None}, off_variant="b", otherwise={"variant": "b"},
        rules=[{**PRO, "serve": {"variant": "a"}}],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    service = FakeService()
    service.publish(1, FLAGS)
    made = Client(url=service.url, key="dh_sdk_test_key", service="checkout", build="2.2.0", poll_interval=60)
    assert made.wait_ready()
    yield made
    made.close()
    service.close()


class TestAnswers:
    @pytest.mark.parametrize(
        ("name", "context", "answer"),
        [
            ("plain", {}, True),
            ("dark", {}, False),
            ("killed", {}, False),
            ("pro", {"plan": "pro"}, True),
            ("pro", {"plan": "free"}, False),
            ("newer", {}, True),
            ("newer", {"build": "1.0.0"}, True),  # the process knows better than the caller
            ("split", {}, False),
        ],
    )
    def test_of_boolean_flags(self, client: Client, name: str, context: dict[str, Any], answer: bool) -> None:
        assert client.enabled(name, **context) is answer
        assert client.value(name, **context) is answer
        assert client.explain(name, **context).value is answer

    def test_of_other_types(self, client: Client) -> None:
        assert client.value("colour", default="green") == "#00f"
        assert client.value("limit") == 2.5
        assert client.value("layout") == LAYOUT
        assert client.value("layouts", default={}) is None

    def test_a_json_value_is_a_copy_that_the_caller_may_change(self, client: Client) -> None:
        for name in ("layout", "layouts"):
            first = client.value(name, plan="pro")
            first["columns"].append(3)
            first["deep"]["x"] = "changed"
            assert client.value(name, plan="pro") == LAYOUT
            client.explain(name, plan="pro").value["columns"].clear()
            assert client.value(name, plan="pro") == LAYOUT

    def test_defaults(self, client: Client) -> None:
        assert client.enabled("nope") is False
        assert client.enabled("nope", True) is True
        assert client.enabled("nope", default=True, user="u") is True
        assert client.enabled("colour") is False, "a flag of another type is not on"
        assert client.enabled("colour", default=True) is True
        assert client.value("nope") is None
        assert client.value("nope", "blue") == client.value("nope", default="blue") == "blue"

    def test_attributes_may_be_called_flag_and_self(self, client: Client) -> None:
        assert client.enabled("pro", flag="x", self="y", plan="pro") is True

    def test_a_name_may_be_an_enumeration(self, client: Client) -> None:
        class Name(StrEnum):
            PLAIN = "plain"
            NOPE = "nope-enum"

        assert client.enabled(Name.PLAIN) is True
        client.enabled(Name.NOPE)
        assert client.counts()["nope-enum"] == {"FLAG_NOT_FOUND": 1}

    def test_a_split_is_sticky_and_in_proportion(self, client: Client) -> None:
        answers = {user: client.enabled("split", user=user) for user in range(4000)}
        assert 0.22 < sum(answers.values()) / len(answers) < 0.28
        assert all(client.enabled("split", user=str(user)) is answer for user, answer in answers.items())


class TestAmbientContext:
    def test_counts_for_everything_inside(self, client: Client) -> None:
        with client.context(plan="pro"):
            assert client.enabled("pro") is True
            assert client.enabled("pro", plan="free") is False, "a keyword wins"
            with client.context(plan="free"):
                assert client.enabled("pro") is False
            assert client.value("pro") is True
            assert client.explain("pro").value is True
        assert client.enabled("pro") is False

    def test_follows_the_task_and_not_the_thread_beside_it(self, client: Client) -> None:
        seen: list[bool] = []
        with client.context(plan="pro"):
            thread = threading.Thread(target=lambda: seen.append(client.enabled("pro")))
            thread.start()
            thread.join()
        assert seen == [sys.version_info >= (3, 14)]


class Hostile:
    """Raises at whatever is asked of it."""

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __str__(self) -> str:
        raise RuntimeError("str")

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class HostileText(str):
    __slots__ = ()

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")


hostile = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.builds(Hostile),
    st.builds(HostileText), st.just("\ud800"), st.just("1" * 10_000), st.just(10**5000),
    st.lists(st.integers()), st.dictionaries(st.text(), st.integers()), st.builds(object), st.just(type),
)  # fmt: skip
names = st.one_of(st.sampled_from(list(FLAGS)), hostile)
contexts = st.dictionaries(st.sampled_from(["user", "plan", "build", "flag", "self", "", "\ud800"]), hostile)


class TestNeverRaises:
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(name=names, default=hostile, context=contexts)
    def test_whatever_the_arguments(self, client: Client, name: Any, default: Any, context: dict[str, Any]) -> None:
        client.enabled(name, default=default, **context)
        client.value(name, default=default, **context)

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        name=names, default=hostile, context=contexts, wanted=st.sampled_from(["boolean", "string", "number", "json"])
    )
    def test_by_whatever_call(
        self, client: Client, name: Any, default: Any, context: dict[str, Any], wanted: str
    ) -> None:
        def every_call() -> None:
            client.enabled(name, default=default, **context)
            client.value(name, default, **context)
            client.details(name, default=default, **context)
            client.variant(name, default, **context)
            client.all(**context)
            getattr(client, wanted)(name, default, **context)
            getattr(client, f"{wanted}_details")(name, default=default, **context)

        every_call()
        with client.frozen():
            every_call()
        remove = client.on_evaluation(lambda details, context: details.flag + 1)  # type: ignore[operator]
        every_call()
        remove()

    def test_on_a_full_stack(self, client: Client) -> None:
        answers: list[Any] = []

        def fall(depth: int) -> None:
            if depth:
                fall(depth - 1)
            answers.append((client.enabled("pro", plan="pro"), client.enabled("nope", default=True)))

        limit = sys.getrecursionlimit()
        for spare in range(6, 40):
            answers.clear()
            try:
                fall(limit - _depth() - spare)
            except RecursionError as error:  # of `fall`, or of the call itself: never from inside
                assert "downhaul" not in _innermost(error)  # noqa: PT017
            assert all(answer == (True, True) or answer[1] is True for answer in answers)

    def test_where_a_log_handler_raises(self, client: Client) -> None:
        class Broken(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                raise RuntimeError("broken handler")

        handler = Broken()
        logging.getLogger("downhaul").addHandler(handler)
        try:
            assert client.enabled("with-a-broken-handler", default=True) is True
        finally:
            logging.getLogger("downhaul").removeHandler(handler)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_but_lets_pass_what_is_to_end_the_caller(self, error: type[BaseException]) -> None:
        class Interrupting(str):
            __slots__ = ()

            def __hash__(self) -> int:
                raise error

        client = Client()
        with pytest.raises(error):
            client.enabled(Interrupting("plain"))

    def test_and_waits_for_nobody(self, client: Client) -> None:
        from downhaul import forks

        done = threading.Event()

        def ask() -> None:
            client.enabled("split", user="u")
            client.value("layout")
            client.enabled("nope")
            done.set()

        with forks.guard():  # as if a change were under way for ever
            threading.Thread(target=ask).start()
            assert done.wait(10)


class TestCounts:
    def test_add_up_under_threads_and_under_changes(self, service: FakeService, connect: Connect) -> None:
        service.publish(1, FLAGS)
        client = connect(poll_interval=0.05)
        assert client.wait_ready()
        each, threads = 5000, 4
        stop = threading.Event()

        def ask() -> None:
            for number in range(each):
                client.enabled("plain")
                client.enabled("split", user=number)
                client.value("colour")
                client.enabled("nope")

        def change() -> None:
            revision = 1
            while not stop.is_set():
                revision += 1
                service.publish(revision, {**FLAGS, "plain": flag(on=revision % 2 == 0)})
                wait_until(lambda wanted=revision: client.status().revision == wanted, "the change is in force")
                with client.override(colour="green"):
                    pass

        workers = [threading.Thread(target=ask) for _ in range(threads)]
        changer = threading.Thread(target=change)
        for each_thread in (*workers, changer):
            each_thread.start()
        for worker in workers:
            worker.join()
        stop.set()
        changer.join()

        counts = client.counts()
        asked = {name: sum(counts[name].values()) for name in ("plain", "split", "colour", "nope")}
        assert asked == dict.fromkeys(asked, each * threads)
        assert counts["nope"] == {"FLAG_NOT_FOUND": each * threads}

    def test_tell_a_wrong_type_from_a_flag_that_is_not_there(self, connect: Connect, service: FakeService) -> None:
        service.publish(1, FLAGS)
        client = connect()
        assert client.wait_ready()
        client.enabled("colour")
        client.enabled("nope")
        client.enabled(["unhashable"])  # type: ignore[arg-type]
        client.enabled("split")
        client.enabled("killed")
        assert client.counts() == {
            "(list)": {"FLAG_NOT_FOUND": 1},
            "colour": {"TYPE_MISMATCH": 1},
            "killed": {"off": 1},
            "nope": {"FLAG_NOT_FOUND": 1},
            "split": {"off": 1},
        }

    def test_of_names_without_end_take_bounded_memory(self) -> None:
        client = Client()
        for number in range(3000):
            client.enabled(f"made-up-{number}")
        counts = client.counts()
        assert sum(sum(each.values()) for each in counts.values()) == 3000
        assert len(counts) <= 1001

    def test_each_cause_is_logged_once(
        self, service: FakeService, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        service.publish(1, FLAGS)
        client = connect()
        assert client.wait_ready()
        for _ in range(10):
            client.enabled("never-heard-of")
            client.enabled("limit")
        assert caplog.text.count("never-heard-of") == 1
        assert caplog.text.count("'limit' is not boolean") == 1


class TestExplain:
    def test_tells_value_reason_rule_revision_age_and_steps(self, client: Client) -> None:
        why = client.explain("pro", plan="pro")
        assert (why.flag, why.value, why.variant, why.reason, why.rule) == ("pro", True, "on", "TARGETING_MATCH", "pro")
        assert why.revision == 1 and why.age_s is not None and why.age_s >= 0 and why.error_code is None
        assert [step.step for step in why.steps]
        json.dumps([step.to_json() for step in why.steps])

    def test_tells_of_errors(self, client: Client) -> None:
        missing = client.explain("nope", default="x")
        assert (missing.value, missing.reason, missing.error_code) == ("x", "ERROR", "FLAG_NOT_FOUND")
        assert client.explain("split").error_code == "TARGETING_KEY_MISSING"

    def test_counts_nothing(self, connect: Connect) -> None:
        client = connect()
        assert client.wait_ready()
        client.explain("new-checkout")
        assert client.counts() == {}


def _depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame := frame.f_back:  # type: ignore[assignment]
        depth += 1
    return depth


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename.rpartition("/sdk/")[2] if trace else ""

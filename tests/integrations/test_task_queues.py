"""Real workers of Celery and RQ, on a real Redis; and tasks that run where they are called."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
from celery import Celery
from downhaul.client import Client
from downhaul.flags import client
from downhaul.integrations import celery
from downhaul.integrations.recording import evaluated
from downhaul.integrations.rq import job_class
from downhaul.settings import Settings
from rq import Queue, SimpleWorker
from support.fakeservice import KEY, SERVICE, FakeService
from support.house import ends_promptly, running
from support.redis import RealRedis

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRedis]:
    made = RealRedis(tmp_path_factory.mktemp("redis")).start()
    yield made
    made.stop()


@pytest.fixture
def environ(service: FakeService, broker: RealRedis) -> dict[str, str]:
    ours = {"DOWNHAUL_URL": service.url, "DOWNHAUL_KEY": KEY, "DOWNHAUL_SERVICE": SERVICE}
    return {**os.environ, **ours, "BROKER": broker.url, "PYTHONPATH": str(PROGRAMS)}


@pytest.mark.redis
@pytest.mark.slow
def test_a_prefork_worker_of_celery(environ: dict[str, str], broker: RealRedis, tmp_path: Path) -> None:
    queue, output = Celery("test", broker=broker.url, backend=broker.url), tmp_path / "output"
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "2"]
    options = ["--loglevel", "info", "--without-gossip", "--without-mingle"]
    with running([*command, *options], environ, output, PROGRAMS) as worker:

        def ask(order: str, **options: Any) -> dict[str, Any]:
            result: dict[str, Any] = queue.send_task("told", kwargs={"order": order}, **options).get(timeout=40)
            return result

        for order, on in [("anna", True), ("bert", False), ("broken", False), ("anna", True)]:
            told = ask(order)
            assert told["both"] == [on, False], output.read_text()
            assert told["evaluated"] == {"new-checkout": "on" if on else "off", "acme-only": "off"}
            assert told["pid"] != worker.pid
        assert ask("anna", headers={"tenant": "acme"})["both"] == [True, True]
        assert ends_promptly(worker, output) == 0
    queue.close()
    assert "the context function failed" in output.read_text()


@pytest.mark.redis
@pytest.mark.slow
def test_a_worker_of_rq(environ: dict[str, str], broker: RealRedis) -> None:
    with redis.Redis.from_url(broker.url) as connection:
        queue = Queue(connection=connection)
        orders = {order: queue.enqueue("tasks.job", order=order) for order in ("anna", "bert")}
        acme = queue.enqueue("tasks.job", order="carl", meta={"tenant": "acme"})
        command = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", broker.url]
        done = subprocess.run(
            [*command, "--job-class", "tasks.Job"], env=environ, capture_output=True, text=True, timeout=100
        )
        results = {name: job.latest_result() for name, job in {**orders, "acme": acme}.items()}
    assert all(result and result.return_value for result in results.values()), done.stderr
    both = {name: result.return_value["both"] for name, result in results.items() if result}
    assert both == {"anna": [True, False], "bert": [False, False], "acme": [False, True]}
    assert results["anna"] and results["anna"].return_value["evaluated"] == {"new-checkout": "on", "acme-only": "off"}
    pids = {result.return_value["pid"] for result in results.values() if result}
    assert len(pids) == 3, "each job has a process of its own"


@pytest.mark.redis
def test_a_job_that_fails_leaves_nothing(broker: RealRedis, client: Client) -> None:
    kind = job_class(context=lambda job: {"user": "anna"}, client=client, frozen=True)
    with redis.Redis.from_url(broker.url) as connection:
        queue = Queue("here", connection=connection, job_class=kind)
        job = queue.enqueue("math.sqrt", "no number")
        SimpleWorker([queue], connection=connection, job_class=kind).work(burst=True)
        assert job.get_status(refresh=True).value == "failed"
    assert evaluated() == {}
    assert client.enabled("new-checkout") is False


@pytest.fixture
def tasks(service: FakeService) -> Iterator[ModuleType]:
    """The tasks, in this process."""
    client.configure(url=service.url, key=KEY, service=SERVICE)
    assert client.wait_ready(20)
    spec = importlib.util.spec_from_file_location("tasks", PROGRAMS / "tasks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    client.use(Settings(), start=False)


class TestTasksWhereTheyAreCalled:
    def test_keep_apart_when_one_runs_inside_another(self, tasks: ModuleType) -> None:
        found = tasks.outer.apply(kwargs={"order": "anna"}).get()
        assert found == [True, False, True, ["new-checkout"]]
        assert evaluated() == {}

    def test_leave_nothing_when_they_fail(self, tasks: ModuleType) -> None:
        assert tasks.fails.apply(kwargs={"order": "anna"}).failed()
        assert evaluated() == {}
        assert client.enabled("new-checkout") is False

    def test_have_the_function_that_was_installed_last(self, tasks: ModuleType) -> None:
        asked: list[str] = []
        celery.install(context=lambda task: asked.append(task.name))  # type: ignore[func-returns-value]
        tasks.told.apply()
        assert asked == ["told"]


def test_a_coroutine_function_is_refused() -> None:
    async def context(task: object) -> dict[str, Any]:
        return {}

    for refuse in (celery.install, job_class):
        with pytest.raises(TypeError, match="must not be a coroutine function"):
            refuse(context=context)

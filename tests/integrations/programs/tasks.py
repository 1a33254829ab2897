"""Tasks of Celery and jobs of RQ, in a module that their workers import."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from downhaul import flags
from downhaul.integrations import celery, rq
from downhaul.integrations.recording import evaluated

BROKER = os.environ.get("BROKER", "memory://")

app = Celery("tasks", broker=BROKER, backend=BROKER if BROKER.startswith("redis") else None)
app.conf.broker_connection_retry_on_startup = True


def context_of_task(task: Any) -> dict[str, Any]:
    if task.request.kwargs.get("order") == "broken":
        raise LookupError("no such order")
    return {"user": task.request.kwargs.get("order"), "tenant": (task.request.headers or {}).get("tenant")}


celery.install(context=context_of_task)


@app.task(name="told")
def told(order: str = "") -> dict[str, Any]:
    """What a task is told."""
    flags.wait_ready(20)
    both = [flags.enabled("new-checkout"), flags.enabled("acme-only")]
    return {"pid": os.getpid(), "both": both, "evaluated": evaluated()}


@app.task(name="outer")
def outer(order: str = "") -> list[Any]:
    """A task inside a task, as applications have it under test."""
    before = flags.enabled("new-checkout")
    inside = told.apply(kwargs={"order": "bert"}).get(disable_sync_subtasks=False)["both"][0]
    return [before, inside, flags.enabled("new-checkout"), [*evaluated()]]


@app.task(name="fails")
def fails(order: str = "") -> None:
    raise RuntimeError(order)


Job = rq.job_class(context=lambda job: {"user": job.kwargs.get("order"), "tenant": job.meta.get("tenant")})


def job(order: str = "") -> dict[str, Any]:
    """What a job is told."""
    flags.wait_ready(20)
    both = [flags.enabled("new-checkout"), flags.enabled("acme-only")]
    return {"pid": os.getpid(), "both": both, "evaluated": evaluated()}

"""Flags in RQ's jobs: a class of jobs, which the worker is told of by `--job-class`."""

from __future__ import annotations

from typing import Any

from rq.job import Job

from downhaul.client import Client
from downhaul.integrations.scopes import Context, Scopes


def job_class(
    context: Context | None = None,
    client: Client | None = None,
    *,
    frozen: bool = False,
    record: bool = True,
    base: type[Job] = Job,
) -> type[Job]:
    """A class of jobs that run in their context, and record what they evaluate.

    The attributes are what `context(job)` returns, asked at the job's first evaluation: `job.kwargs`, and `job.meta`,
    which its producer may fill. `frozen`: one view of the flags from the beginning of a job to its end. `record=False`:
    logs and traces tell no flags. `base`: a class of your own. Raises TypeError where `context` is a coroutine
    function.
    """
    scopes = Scopes(context, client, frozen=frozen, record=record, wait=False)

    class FlaggedJob(base):  # type: ignore[valid-type, misc]
        """A job inside its scope."""

        def perform(self) -> Any:
            with scopes.around(self):
                return super().perform()

    return FlaggedJob

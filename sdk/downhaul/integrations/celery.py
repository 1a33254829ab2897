"""Flags in Celery's tasks: `install(context=...)` in the module that the worker imports."""

from __future__ import annotations

from typing import Any, Final

from celery.signals import task_postrun, task_prerun

from downhaul.client import Client
from downhaul.integrations.scopes import Context, Scopes

_UID: Final = "downhaul"
_SCOPE: Final = "_downhaul_scope"


def install(
    context: Context | None = None, client: Client | None = None, *, frozen: bool = False, record: bool = True
) -> None:
    """Set the context of each task that runs in this process, and record what it evaluates.

    The attributes are what `context(task)` returns, asked at the task's first evaluation: `task.request` holds its
    arguments (`args`, `kwargs`) and the `headers` that its producer has sent. `frozen`: one view of the flags from the
    beginning of a task to its end. `record=False`: logs and traces tell no flags.

    For all applications of the process; the last call counts. Raises TypeError where `context` is a coroutine function.
    """
    scopes = Scopes(context, client, frozen=frozen, record=record, wait=False)

    def begin(task: Any, **_: Any) -> None:
        scope = scopes.around(task)
        scope.__enter__()
        setattr(task.request_stack.top, _SCOPE, scope)  # of this run: a task may run inside another, or in threads

    task_prerun.disconnect(dispatch_uid=_UID)
    task_postrun.disconnect(dispatch_uid=_UID)
    task_prerun.connect(begin, weak=False, dispatch_uid=_UID)
    task_postrun.connect(_end, weak=False, dispatch_uid=_UID)


def _end(task: Any, **_: Any) -> None:
    scope = vars(task.request_stack.top).pop(_SCOPE, None)
    if scope is not None:
        scope.__exit__(None, None, None)

"""Every answer that a client gives: from the flags in force, counted, and told to those who listen.

`enabled` and `value` read tables and know nothing of listeners. While somebody wants to know of each evaluation, other
tables take their place, a `Detour` each, which send the same two calls the longer way round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from downhaul.context import ambient, entered
from downhaul.counters import Counters
from downhaul.details import (
    FLAG_NOT_FOUND,
    GENERAL,
    MESSAGES,
    PROVIDER_NOT_READY,
    TYPE_MISMATCH,
    Details,
    failed,
)
from downhaul.evaluate import Answer, Entry, Table, bind, copied
from downhaul.health import Once
from downhaul.listeners import Listeners

if TYPE_CHECKING:
    from downhaul.engine import Evaluator, Outcome
    from downhaul.tables import Compiled

EvaluationListener = Callable[[Details[Any], Mapping[str, Any]], object]

_telling: ContextVar[bool] = ContextVar("downhaul_telling", default=False)


class Detour(dict[str, Entry]):
    """A table that holds nothing, and has an entry for whatever it is asked for."""

    def __init__(self, run: Callable[[str, Mapping[str, Any]], Answer]) -> None:
        self._run = run

    def __missing__(self, flag: str) -> Entry:
        return None, None, partial(self._run, flag)


class Answers:
    """The flags in force, and the calls that evaluate them. None of these raises, or waits for anybody."""

    def __init__(self, once: Once) -> None:
        self.compiled: Compiled | None = None
        self.counters = Counters()
        self._once = once
        self._listeners = Listeners[Details[Any], Mapping[str, Any]](once, "a listener of evaluations raised")
        self.enabled, self.value, self._put = bind(self._missed)
        self._straight: tuple[Table, Table] = {}, {}
        self._detours: tuple[Table, Table] = Detour(partial(self._run, "boolean")), Detour(partial(self._run, None))
        self._switch = RLock()

    def force(self, compiled: Compiled | None) -> None:
        """Answer by these from now on. Not for two threads at once."""
        straight = compiled.tables() if compiled else ({}, {})
        self.counters.follow(compiled.evaluators.values() if compiled else ())
        with self._switch:
            self.compiled, self._straight = compiled, straight
            self._route()

    def listen(self, listener: EvaluationListener) -> Callable[[], None]:
        """Tell `listener(details, context)` of each evaluation from now on; gives its removal."""
        remove = self._listeners.add(listener)

        def stop() -> None:
            remove()
            self._reroute()

        self._reroute()
        return stop

    def details(self, flag: str, default: Any, given: Mapping[str, Any], wanted: str | None = None) -> Details[Any]:
        """What `flag` is for the context around the caller and `given`. `wanted`: the type that it has to have."""
        try:
            context = _whole(given)
            try:
                evaluator, outcome = self._evaluate(flag, context, wanted)
                found = self._found(evaluator, outcome)
                next(outcome.counter)
            except Exception as error:  # noqa: BLE001 -- no fault of ours and no argument may break the caller
                found = self._fault(flag, default, wanted, error)
            self._tell(found, context)
            return found
        except Exception:  # noqa: BLE001 -- nor may a user's log handler
            return failed(flag, default, GENERAL, None)

    def after_fork_in_child(self) -> None:
        """The child has locks and counters of its own."""
        self._switch = RLock()
        self.counters.restart()
        self._reroute()

    def _reroute(self) -> None:
        with self._switch:
            self._route()

    def _route(self) -> None:
        self._put(*(self._detours if self._listeners else self._straight))

    def _evaluate(self, flag: str, context: Mapping[str, Any], wanted: str | None) -> tuple[Evaluator, Outcome]:
        """Raises LookupError where there is no such flag of that type."""
        if self.compiled is None:
            raise LookupError
        evaluator = self.compiled.evaluators[flag]
        if wanted is not None and evaluator.type != wanted:
            raise LookupError
        return evaluator, evaluator.evaluate(context)

    def _found(self, evaluator: Evaluator, outcome: Outcome) -> Details[Any]:
        code = str(outcome.error_code) if outcome.error_code else None
        return Details(
            evaluator.name,
            copied(outcome.value),
            outcome.variant,
            str(outcome.reason),
            outcome.rule,
            code,
            MESSAGES[code] if code else None,
            self.compiled.revision if self.compiled else None,
        )

    def _run(self, wanted: str | None, flag: str, given: Mapping[str, Any]) -> Answer:
        """`enabled` and `value` while somebody listens. What it raises goes to `_missed`."""
        evaluator, outcome = self._evaluate(flag, given, wanted)
        self._tell(self._found(evaluator, outcome), {name: each for name, each in given.items() if name != "default"})
        return outcome.answer

    def _missed(
        self, flag: object, boolean: bool, error: Exception, default: object, given: Mapping[str, Any], /
    ) -> None:
        """`enabled` or `value` has given its default."""
        found = self._fault(flag, given.get("default", default), "boolean" if boolean else None, error)
        if self._listeners:
            context = _whole(given)
            context.pop("default", None)
            self._tell(found, context)

    def _fault(self, flag: object, default: Any, wanted: str | None, error: Exception) -> Details[Any]:
        """Count a call that got its default, and log it once for its cause."""
        name = str.__str__(flag) if isinstance(flag, str) else f"({type(flag).__name__})"
        compiled = self.compiled
        evaluator = compiled.evaluators.get(name) if compiled else None
        if evaluator is None:
            self.counters.missed(name, FLAG_NOT_FOUND)
            if compiled is None or not compiled.ready:
                code = PROVIDER_NOT_READY
                self._once.warn("no snapshot", "there is no snapshot yet: flags have the defaults of their callers")
            else:
                code = FLAG_NOT_FOUND
                self._once.warn(("unknown", name), "there is no flag %r: its callers get their default", name)
        elif wanted is not None and evaluator.type != wanted:
            code = TYPE_MISMATCH
            self.counters.missed(name, code)
            self._once.warn(("mismatch", name, wanted), _MISMATCHES[wanted], name)
        else:
            code = GENERAL
            self.counters.missed(name, code)
            self._once.warn(("fault", name, type(error)), "flag %r could not be evaluated", name, trace=error)
        return failed(name, default, code, compiled.revision if compiled else None)

    def _tell(self, found: Details[Any], context: Mapping[str, Any]) -> None:
        """A listener may evaluate flags itself: that is not told, or there would be no end of it."""
        if self._listeners and not _telling.get():
            token = _telling.set(True)
            try:
                self._listeners.tell(found, context)
            finally:
                _telling.reset(token)


_MISMATCHES: Final = {
    "boolean": "flag %r is not boolean: ask for its value, not whether it is on",
    **{
        each: f"flag %r is no {each} flag: its callers who ask for {'a ' * (each != 'json')}{each} get their default"
        for each in ("string", "number", "json")
    },
}


def _whole(given: Mapping[str, Any]) -> dict[str, Any]:
    """The context around the caller, and what it says itself."""
    return {**(ambient() or {}), **given} if entered else dict(given)

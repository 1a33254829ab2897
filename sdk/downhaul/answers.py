"""Every answer that a client gives: from the flags in force, counted, and told to those who listen.

`enabled` and `value` read tables, and know nothing of listeners and of frozen blocks. While there is one of either,
other tables take the place of those: a `Detour` each, which sends the same two calls the longer way round.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from threading import RLock, local
from typing import TYPE_CHECKING, Any, Final

from downhaul.context import ambient, entered
from downhaul.counters import Counters
from downhaul.details import (
    FLAG_NOT_FOUND,
    GENERAL,
    MESSAGES,
    NO_METADATA,
    PROVIDER_NOT_READY,
    TYPE_MISMATCH,
    Details,
    failed,
)
from downhaul.evaluate import Answer, Entry, Table, bind, copied
from downhaul.frozen import View, innermost, view_for
from downhaul.health import Once
from downhaul.listeners import Listeners

if TYPE_CHECKING:
    from downhaul.engine import Outcome
    from downhaul.tables import Compiled

EvaluationListener = Callable[[Details[Any], Mapping[str, Any]], object]


class Telling(local):
    """Whether this thread is telling listeners now. No context variable: tasks that they start would inherit it."""

    now = False


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
        self.enabled, self.value, self._put = bind(self.missed)
        self._straight: tuple[Table, Table] = {}, {}
        self._detours: tuple[Table, Table] = Detour(partial(self._run, "boolean")), Detour(partial(self._run, None))
        self._views: set[View] = set()
        self._is_heard = False
        self._telling = Telling()
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

    @property
    def seen(self) -> Compiled | None:
        """The flags that answer the caller: those in force, or those that a block around it has frozen."""
        view = innermost()
        if view is not None and (view.over or view.owner is not self):
            view = view_for(self)
        return self.compiled if view is None else view.compiled

    def froze(self, view: View) -> None:
        """A block has begun that keeps answering by what is in force now."""
        with self._switch:
            self._views.add(view)
            self._route()

    def thawed(self, view: View) -> None:
        """It has ended, for whoever may still be inside."""
        view.over = True
        with self._switch:
            self._views.discard(view)
            self._route()

    def details(self, flag: str, default: Any, given: Mapping[str, Any], wanted: str | None = None) -> Details[Any]:
        """What `flag` is for the context around the caller and `given`. `wanted`: the type that it has to have."""
        try:
            context, compiled = _whole(given), self.seen
            try:
                name, outcome = _evaluate(compiled, flag, context, wanted)
                found = _found(compiled, name, outcome)
                next(self._counter(compiled, name, outcome))
            except Exception as error:  # noqa: BLE001 -- no fault of ours and no argument may break the caller
                found = self._fault(flag, default, wanted, error)
            self._tell(found, context)
            return found
        except Exception:  # noqa: BLE001 -- as above: a hostile name
            return failed(flag, default, GENERAL, None)

    def all(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The value of each flag for the context around the caller and `given`. Counts nothing, and tells nobody."""
        values: dict[str, Any] = {}
        compiled, context = self.seen, _whole(given)
        for name, evaluator in compiled.evaluators.items() if compiled else ():
            try:
                values[name] = copied(evaluator.evaluate(context).value)
            except Exception as error:  # noqa: BLE001 -- one flag must not hide the others
                self._warn_of_fault(name, error)
        return values

    def missed(self, flag: object, boolean: bool, error: Exception, default: object, given: Mapping[str, Any]) -> None:
        """`enabled` or `value` has given its default."""
        found = self._fault(flag, given.get("default", default), "boolean" if boolean else None, error)
        if self._is_heard:
            context = _whole(given)
            context.pop("default", None)
            self._tell(found, context)

    def after_fork_in_child(self) -> None:
        """The child has locks and counters of its own, and live flags: what it was forked in may never end there."""
        self._switch = RLock()
        self.counters.restart()
        for view in self._views:
            view.over = True
        self._views = set()
        self._reroute()

    def _reroute(self) -> None:
        with self._switch:
            self._route()

    def _route(self) -> None:
        self._is_heard = bool(self._listeners)
        self._put(*(self._detours if self._is_heard or self._views else self._straight))

    def _run(self, wanted: str | None, flag: str, given: Mapping[str, Any]) -> Answer:
        """`enabled` and `value` on the longer way, which should be as short as it can. Raises as `_evaluate` does."""
        current = self.compiled
        compiled = current if innermost() is None else self.seen
        if compiled is None:
            raise LookupError
        evaluator = compiled.evaluators[flag]
        if wanted is not None and evaluator.type != wanted:
            raise LookupError
        outcome = evaluator.constant or evaluator.evaluate(given)
        if self._is_heard:
            context = {name: each for name, each in given.items() if name != "default"}
            self._tell(_found(compiled, evaluator.name, outcome), context)
        if compiled is not current:
            return self._counter(compiled, evaluator.name, outcome), outcome.value, outcome
        return outcome.answer

    def _counter(self, compiled: Compiled | None, name: str, outcome: Outcome) -> Iterator[int]:
        return outcome.counter if compiled is self.compiled else self.counters.late(name, outcome)

    def _fault(self, flag: object, default: Any, wanted: str | None, error: Exception) -> Details[Any]:
        """Count a call that got its default, and log it once for its cause."""
        name = str.__str__(flag) if isinstance(flag, str) else f"({type(flag).__name__})"
        compiled = self.seen
        evaluator = compiled.evaluators.get(name) if compiled else None
        if evaluator is None:
            self.counters.missed(name, FLAG_NOT_FOUND)
            if compiled is None or not compiled.ready:
                code = PROVIDER_NOT_READY
                self._warn("no snapshot", "there is no snapshot yet: flags have the defaults of their callers")
            else:
                code = FLAG_NOT_FOUND
                self._warn(("unknown", name), "there is no flag %r: its callers get their default", name)
        elif compiled and not compiled.suits(evaluator, wanted):
            code = TYPE_MISMATCH
            self.counters.missed(name, code)
            self._warn(("mismatch", name, wanted), _MISMATCHES[wanted or "json"], name)
        else:
            code = GENERAL
            self.counters.missed(name, code)
            self._warn_of_fault(name, error)
        return failed(name, default, code, compiled.revision if compiled else None)

    def _warn_of_fault(self, name: str, error: Exception) -> None:
        self._warn(("fault", name, type(error)), "flag %r could not be evaluated", name, trace=error)

    def _warn(self, cause: Hashable, message: str, *args: object, trace: Exception | None = None) -> None:
        try:  # noqa: SIM105 -- `suppress` would itself raise where the stack is full
            self._once.warn(cause, message, *args, trace=trace)
        except Exception:  # noqa: BLE001, S110 -- a user's log handler may raise
            pass

    def _tell(self, found: Details[Any], context: Mapping[str, Any]) -> None:
        """A listener may evaluate flags itself: that is not told, or there would be no end of it."""
        telling = self._telling
        if self._is_heard and not telling.now:
            telling.now = True
            try:
                self._listeners.tell(found, context)
            finally:
                telling.now = False


_MISMATCHES: Final = {
    "boolean": "flag %r is not boolean: ask for its value, not whether it is on",
    **{
        each: f"flag %r is no {each} flag: its callers who ask for {'a ' * (each != 'json')}{each} get their default"
        for each in ("string", "number", "json")
    },
}


def _evaluate(
    compiled: Compiled | None, flag: str, context: Mapping[str, Any], wanted: str | None
) -> tuple[str, Outcome]:
    """The flag's name as a plain text, and its outcome. Raises LookupError where there is no such flag of that type."""
    if compiled is None:
        raise LookupError
    evaluator = compiled.evaluators[flag]
    if not compiled.suits(evaluator, wanted):
        raise LookupError
    return evaluator.name, evaluator.evaluate(context)


def _found(compiled: Compiled | None, name: str, outcome: Outcome) -> Details[Any]:
    code = str(outcome.error_code) if outcome.error_code else None
    return Details(
        name,
        copied(outcome.value),
        outcome.variant,
        str(outcome.reason),
        outcome.rule,
        code,
        MESSAGES[code] if code else None,
        compiled.revision if compiled else None,
        compiled.metadata(name) if compiled else NO_METADATA,
    )


def _whole(given: Mapping[str, Any]) -> dict[str, Any]:
    """The context around the caller, and what it says itself."""
    return {**(ambient() or {}), **given} if entered else dict(given)

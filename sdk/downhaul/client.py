"""The client: what the user's code calls, over one thread that keeps it up to date. Works with no service at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, Unpack
from weakref import WeakSet

from downhaul import forks
from downhaul.answers import Answers, EvaluationListener
from downhaul.context import ambient, context
from downhaul.details import Details, Explanation
from downhaul.endings import at_end
from downhaul.frozen import Frozen
from downhaul.health import Health, Once, Status
from downhaul.identity import Identity
from downhaul.layers import Layer, Layers, Override
from downhaul.listeners import Listeners
from downhaul.settings import Arguments, Settings
from downhaul.typed import Getters
from downhaul.when import when
from downhaul.worker import Found, Worker

if TYPE_CHECKING:
    from downhaul.tables import Compiled, Ruleset

P = ParamSpec("P")
Result = TypeVar("Result")
Listener = Callable[[frozenset[str]], object]
StatusListener = Callable[[Status], object]

__all__ = ["Client", "Explanation"]

_EXIT_S: Final = 1.0
_open_clients: WeakSet[Client] = WeakSet()


class Client(Getters):
    """Flags of one service, as one process sees them. Most programs need only the one behind `downhaul.flags`."""

    context = context
    _worker: Worker
    _identity: Identity

    def __init__(self, **settings: Unpack[Arguments]) -> None:
        """Starts at once when there is something to follow: a service (`url`, `key`, `service`) or a file.

        With neither, every call gives its default, or what `override` says. Raises SettingsError for a wrong setting.
        """
        once = Once()
        self._answers = Answers(once)
        self.enabled, self.value = self._answers.enabled, self._answers.value
        self._layers = Layers()
        self._change_listeners = Listeners[frozenset[str]](once, "a listener of changes raised")
        self._status_listeners = Listeners[Status](once, "a listener of the status raised")
        self._told = ("starting", "none")
        self._closed = False
        self._problems = ""
        self._assume(Settings.from_arguments(settings), Found(), counted={})
        forks.follow(self)
        _open_clients.add(self)
        self._worker.start()

    def configure(self, **settings: Unpack[Arguments]) -> None:
        """Put these settings over those in force, and start, also after `close`. Raises SettingsError for a wrong one.

        The snapshot stays until there is a new one, unless the settings name another service, address or key.
        """
        self.use(Settings.from_arguments(settings, self._settings))

    def use(self, settings: Settings, *, start: bool = True, problems: str = "") -> None:
        """Work with these settings from now on. `problems`: what `status()` has to tell about them."""
        with forks.guard():
            old = self._worker
            old.stop()
            self._closed, self._problems = False, problems
            found = old.found if _same_source(settings, self._settings) else Found()
            self._assume(settings, found, counted=self.counts() if old.started else {})
        if start:
            self._worker.start()

    def explain(self, flag: str, /, default: Any = None, **context: Any) -> Explanation:
        """The value of `flag` for `context`, why it is so, and every step that led there. Counts nothing."""
        worker = self._worker
        with forks.guard():  # it may load the engine
            from downhaul.tables import Compiled
        compiled = self._answers.seen or Compiled()
        age_s = worker.health.age() if compiled.revision is not None else None
        return compiled.explain(flag, {**(ambient() or {}), **context}, default, age_s)

    def details(self, flag: str, /, default: Any = None, **context: Any) -> Details[Any]:
        """The value of `flag` for `context`, and why it is so. Never raises, never blocks; counts as `value` does."""
        return self._answers.details(flag, default, context)

    def all(self, /, **context: Any) -> dict[str, Any]:
        """The value of every flag for `context`, by name; empty where there is no snapshot yet. Counts nothing."""
        return self._answers.all(context)

    def when(
        self,
        flag: str,
        /,
        *,
        otherwise: Callable[P, Result],
        context: Callable[P, Mapping[str, Any]] | None = None,
        default: bool = False,
    ) -> Callable[[Callable[P, Result]], Callable[P, Result]]:
        """A decorator: at each call the function runs if the boolean `flag` is on, else `otherwise` does.

        `context(*args, **kwargs)` gives the attributes of a call; if it raises, `default` decides. Raises TypeError if
        one of the two is a coroutine function and the other is not.
        """
        return when(self._answers, flag, otherwise, context, default)

    def frozen(self) -> Frozen:
        """A block, or decorator, in which every evaluation answers by the flags that were in force when it began.

        It holds for this task or thread and what inherits its context, until the block ends; a forked child has live
        flags at once. **A kill waits for the end of the block**, so let it be no longer than a request.
        """
        return Frozen(self._answers)

    def on_evaluation(self, listener: EvaluationListener) -> Callable[[], None]:
        """Call `listener(details, context)` after each evaluation. Returns its removal.

        From the caller's own thread, with the whole context: be quick. What it raises is logged, once. Evaluations that
        a listener makes are not told. While nobody listens this costs nothing.
        """
        return self._answers.listen(listener)

    def override(self, values: Mapping[str, Any] | None = None, /, **flags: Any) -> Override:
        """A block, or decorator, in which flags have these values, for tests: `with flags.override(new_checkout=True)`.

        In a keyword, `_` stands for `-`, unless there is a flag of that very name; `values` takes names as they are.
        Seen by every thread of the process; blocks nest, and the inner one wins. Only the overrides file wins over it.
        """
        by_flag = dict(values or {})
        return Override(self._enter, self._leave, lambda: Layer(by_flag, flags))

    def isolated(self, ruleset: Ruleset | None = None) -> Override:
        """A block in which no flag is known but those that are overridden inside it: no service, no cache, no file.

        With a `ruleset`, its flags are known as well.
        """
        return Override(self._enter, self._leave, lambda: Layer({}, {}, alone=True, ruleset=ruleset))

    def wait_ready(self, timeout: float = 5.0) -> bool:
        """Wait for a snapshot, and for the end of a first attempt to have it confirmed; at most `timeout` seconds.

        True when there is a snapshot, be it from the cache. Starts the client if it was not started. False at once if
        there is no service to wait for.
        """
        worker = self._worker
        if not self._closed:
            worker.start()
        if worker.started and worker.settings.complete:
            worker.ready.wait(timeout)
        return self._worker.found.snapshot is not None

    def on_change(self, listener: Listener, *, flag: str | None = None) -> Callable[[], None]:
        """Call `listener(names)` after each change, with the flags that may now answer otherwise. Returns its removal.

        `flag`: only after those changes that concern this one.
        It is called from the thread that follows the service: be quick. What it raises is logged, once.
        """
        return self._change_listeners.add(listener if flag is None else _only(flag, listener))

    def on_status(self, listener: StatusListener) -> Callable[[], None]:
        """Call `listener(status)` whenever `state` or `link` of the status has changed. Returns its removal.

        From the same thread as `on_change`, and under the same conditions. Time that passes is a change as well: a
        service that is not heard any more is told of within 13 seconds.
        """
        return self._status_listeners.add(listener)

    def status(self) -> Status:
        """What the client is doing now."""
        worker, identity = self._worker, self._identity
        found, health = worker.found, worker.health
        snapshot = found.snapshot
        return Status(
            state=self._state(),
            service=worker.settings.service,
            environment=snapshot.environment if snapshot else None,
            instance=identity.instance,
            epoch=snapshot.epoch if snapshot else None,
            revision=snapshot.revision if snapshot else None,
            age_s=health.age() if snapshot else None,
            link=self._link(),
            source=found.source,
            flags=len(snapshot.ruleset.flags) if snapshot else 0,
            overrides=len(compiled.overrides) if (compiled := self._answers.compiled) else 0,
            last_error=health.error or self._problems or None,
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """How often each flag gave each variant in this process: `{"new-checkout": {"on": 12, "off": 3}}`.

        An answer without a variant counts under its reason or its error code, such as `FLAG_NOT_FOUND` (also
        while there is no snapshot).
        """
        with forks.guard():
            return self._answers.counters.read()

    def close(self, timeout: float = 2.0) -> None:
        """Stop following the service; flags stay as they are. Waits at most `timeout` seconds, and may be repeated."""
        self._closed = True
        self._worker.stop()
        self._worker.join(max(0.0, timeout))

    def after_fork_in_child(self) -> None:
        """Called by `forks`: the child has an identity, counters and a live thread of its own."""
        old = self._worker
        old.stopping = True  # where it is a greenlet it lives on in the child
        old.abandon()
        self._identity = self._identity.in_child(old.settings)
        self._answers.after_fork_in_child()
        self._worker = Worker(old.settings, self._identity, old.health.in_child(), old.found, self)
        if (old.started or old.postponed) and not self._closed:
            forks.when_over(self._worker.start)

    def adopt(self, worker: Worker, found: Found) -> frozenset[str]:
        """Called by the worker, under the guard of `forks`: put `found` in force. Returns the flags that changed."""
        if worker is not self._worker:  # `use` has replaced it
            return frozenset()
        before, after = self._answers.compiled, self._compile(found)
        self._answers.force(after)
        return after.changes_since(before) if self._change_listeners else frozenset()

    def tell(self, names: frozenset[str]) -> None:
        """Called by the worker: tell the listeners."""
        self._change_listeners.tell(names)

    def attend(self, worker: Worker) -> None:
        """Called by the worker, often: tell the listeners of a status that has changed."""
        if worker is self._worker and (now := (self._state(), self._link())) != self._told:
            self._told = now
            self._status_listeners.tell(self.status())

    def _assume(self, settings: Settings, found: Found, counted: dict[str, dict[str, int]]) -> None:
        self._settings = settings
        self._identity = Identity.of(settings)
        self._worker = Worker(settings, self._identity, Health(), found, self, counted)
        if found.snapshot or found.overrides or self._layers:
            self._answers.force(self._compile(found))
        else:
            self._answers.force(None)

    def _compile(self, found: Found) -> Compiled:
        """What is in force with `found` and the open blocks. An operator's file wins over the program."""
        # Loaded when there is something to evaluate: with the engine it takes longer to load than all the rest.
        from downhaul.tables import Compiled, Ruleset

        before = self._answers.compiled or Compiled()
        if self._layers.alone:
            ruleset = self._layers.ruleset or Ruleset()
            return before.then(ruleset, self._identity.known(None), self._layers.values(ruleset.flags))
        snapshot = found.snapshot
        ruleset = snapshot.ruleset if snapshot else Ruleset()
        known = self._identity.known(snapshot.environment if snapshot else None)
        overrides = {**self._layers.values(ruleset.flags), **found.overrides}
        return before.then(ruleset, known, overrides, snapshot.revision if snapshot else None, ready=bool(snapshot))

    def _enter(self, layer: Layer) -> None:
        with forks.guard():
            self._layers.add(layer)
            self._answers.force(self._compile(self._worker.found))

    def _leave(self, layer: Layer) -> None:
        with forks.guard():
            self._layers.remove(layer)
            self._answers.force(self._compile(self._worker.found))

    def _state(self) -> str:
        health = self._worker.health
        if self._closed:
            return "closed"
        if self._worker.found.snapshot is None:
            return "starting" if self._worker.started and not health.attempted else "offline"
        return "ready" if health.ready else "stale"

    def _link(self) -> str:
        return self._worker.health.link if self._worker.started and not self._closed else "none"


def _only(flag: str, listener: Listener) -> Listener:
    def told(names: frozenset[str]) -> None:
        if flag in names:
            listener(names)

    return told


def _same_source(one: Settings, other: Settings) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in ("url", "service", "key", "key_file", "file"))


@at_end
def _close_all() -> None:
    """A thread that logs while the interpreter ends could break its end."""
    end = monotonic() + _EXIT_S
    for client in list(_open_clients):
        client.close(0.0)
    for client in list(_open_clients):
        client.close(max(0.0, end - monotonic()))

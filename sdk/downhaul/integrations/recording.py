"""Which flags the request or task at hand has evaluated, and what each gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakKeyDictionary

from downhaul.client import Client
from downhaul.details import Details

Answer = str | bool | int | float | None
Listener = Callable[[Details[Any], Mapping[str, Any]], object]

MOST_FLAGS: Final = 50
"""So many are kept: a log record is no place for more."""
LONGEST_NAME: Final = 164  # service/flag
_LONGEST_TEXT: Final = 64


class Recording(dict[str, Answer]):
    """Flags by name, in the order of their first evaluation, each with its last answer. At most `MOST_FLAGS`.

    Its text is short, for access logs: `new-checkout=on button-colour=blue`.
    """

    def note(self, details: Details[Any]) -> None:
        """One more evaluation."""
        name = details.flag[:LONGEST_NAME]
        if name in self or len(self) < MOST_FLAGS:
            self[name] = answer_of(details)

    def __str__(self) -> str:
        return " ".join(f"{name}={told if isinstance(told, str) else repr(told)}" for name, told in self.items())


current: ContextVar[Recording | None] = ContextVar("downhaul_recording", default=None)

_attached: WeakKeyDictionary[Client, dict[str, Callable[[], None]]] = WeakKeyDictionary()


def evaluated() -> dict[str, Answer]:
    """The flags that this request or task has evaluated so far: the variant of each, or its value if it has none.

    Empty outside of one.
    """
    return dict(current.get() or {})


def answer_of(details: Details[Any]) -> Answer:
    """The variant, or the value where there is none: a caller's default, an override. Texts are cut, objects named."""
    value = details.variant if details.variant is not None else details.value
    if isinstance(value, str):
        return str.__str__(value)[:_LONGEST_TEXT]
    if value is None or isinstance(value, bool | int | float):
        return value
    return f"({type(value).__name__})"


def note(details: Details[Any], context: Mapping[str, Any]) -> None:
    """A listener of evaluations: keeps them in the recording at hand."""
    recording = current.get()
    if recording is not None:
        recording.note(details)


def attach(client: Client, name: str, listener: Listener, *, anew: bool = False) -> Callable[[], None]:
    """Let `listener` hear of the evaluations of `client`, as its only one of that name; gives its removal.

    Where there is one already it stays, or goes, if `anew`. Not for two threads at once.
    """
    listeners = _attached.setdefault(client, {})
    if anew and (remove := listeners.pop(name, None)):
        remove()
    if name not in listeners:
        listeners[name] = client.on_evaluation(listener)
    kept = listeners[name]

    def stop() -> None:
        kept()
        if listeners.get(name) is kept:
            del listeners[name]

    return stop

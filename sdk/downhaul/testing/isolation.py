"""The flags of one test: none is known but those that it declares, in every thread and task of the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from downhaul.blocks import Function, decorated
from downhaul.testing.watch import UndeclaredFlagError, Watch

if TYPE_CHECKING:
    from downhaul.answers import EvaluationListener
    from downhaul.client import Client, Listener, StatusListener
    from downhaul.client import Client as Calls
    from downhaul.engine import Ruleset
    from downhaul.testing.sides import Both, Sides
else:
    Calls = object  # at run time the calls are the client's own: see `__getattr__`

_NOT_IN_TESTS = ("client", "close", "configure")
_open: list[IsolatedFlags] = []


def current() -> IsolatedFlags | None:
    """The flags of the test that runs now, if they are isolated."""
    return _open[-1] if _open else None


class IsolatedFlags(Calls):
    """The flags of one test: all calls of `downhaul.flags`, and those that only a test needs.

    What is set, and every listener, is gone when the test ends.
    """

    def __init__(self, client: Client, stack: ExitStack, ruleset: Ruleset | None) -> None:
        self._client = client
        self._stack = stack
        self.ruleset = ruleset
        """The flags of the file that was given, with their definitions."""
        self.watch = Watch()
        stack.callback(client.on_evaluation(self.watch))

    def __getattr__(self, name: str) -> Any:
        from downhaul import flags

        if name in flags.__all__ and name.islower() and name not in _NOT_IN_TESTS:
            return getattr(self._client, name)
        raise AttributeError(f"{name!r} is no call for a test; there are set, both, and the calls of downhaul.flags")

    def set(self, values: Mapping[str, Any] | None = None, /, **flags: Any) -> None:
        """Give flags these values until the end of the test; in a keyword, `_` stands for `-`."""
        self.watch.gave(values or (), flags)
        self._stack.enter_context(self._client.override(values, **flags))

    def both(self, *flags: str | Sides, **values: Any) -> Both:
        """Each side in turn, inside of one test: `for sides in flags.both("new-checkout"): ...`."""
        from downhaul.testing.sides import both

        return both(*flags, **values)

    def on_change(self, listener: Listener, *, flag: str | None = None) -> Callable[[], None]:
        """As `downhaul.flags.on_change`, until the end of the test."""
        return self._until_the_end(self._client.on_change(listener, flag=flag))

    def on_status(self, listener: StatusListener) -> Callable[[], None]:
        """As `downhaul.flags.on_status`, until the end of the test."""
        return self._until_the_end(self._client.on_status(listener))

    def on_evaluation(self, listener: EvaluationListener) -> Callable[[], None]:
        """As `downhaul.flags.on_evaluation`, until the end of the test."""
        return self._until_the_end(self._client.on_evaluation(listener))

    def check(self) -> None:
        """Raises UndeclaredFlagError if, since the last check, flags were evaluated that nobody has declared."""
        if complaint := self.watch.complaint():
            raise UndeclaredFlagError(complaint)

    def within(self, values: Mapping[str, Any], keywords: Mapping[str, Any]) -> ExitStack:
        """A block in which flags have these values; the end of the test closes it where nothing else does."""
        self.watch.gave(values, keywords)
        block = ExitStack()
        block.enter_context(self._client.override(values, **keywords))
        self._stack.callback(block.close)
        return block

    def _until_the_end(self, remove: Callable[[], None]) -> Callable[[], None]:
        self._stack.callback(remove)
        return remove


class isolated:  # noqa: N801 -- reads as a statement: `with isolated(new_checkout=True) as flags:`
    """A block, or decorator, in which no flag is known but those that are given here, or set inside it.

    `values` and keywords are as in `override`. `file`: a file of flags (docs/testing.md) that are known as well.
    `strict`: leaving the block raises UndeclaredFlagError if other flags were evaluated in it.
    A flag by the name of `file` or `strict` is given in `values`.
    """

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        /,
        *,
        strict: bool = False,
        file: str | os.PathLike[str] | None = None,
        **flags: Any,
    ) -> None:
        self._values, self._flags, self._strict, self._file = dict(values or {}), flags, strict, file
        self._entered: list[tuple[ExitStack, IsolatedFlags]] = []

    def __enter__(self) -> IsolatedFlags:
        """Raises LocalFileError for a `file` that is wrong."""
        with ExitStack() as stack:
            flags = stack.enter_context(begun(ruleset_of(self._file) if self._file is not None else None))
            flags.set(self._values, **self._flags)
            self._entered.append((stack.pop_all(), flags))
        return flags

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        stack, flags = self._entered.pop()
        stack.close()
        complaint = flags.watch.complaint() if self._strict else ""
        if complaint and error is not None:
            error.add_note(complaint)
        elif complaint:
            raise UndeclaredFlagError(complaint)

    def __call__(self, function: Function, /) -> Function:
        def wrapped(each: Function) -> Function:
            return decorated(each, lambda: isolated(self._values, strict=self._strict, file=self._file, **self._flags))

        return each_test(function, wrapped) if is_case(function) else wrapped(function)


@contextmanager
def begun(ruleset: Ruleset | None = None) -> Iterator[IsolatedFlags]:
    """A block in which no flag is known but those of `ruleset`, and what is set inside it."""
    from downhaul.flags import client

    with ExitStack() as stack:
        stack.enter_context(client.isolated(ruleset))
        flags = IsolatedFlags(client, stack, ruleset)
        _open.append(flags)
        stack.callback(_open.remove, flags)
        yield flags


def ruleset_of(file: str | os.PathLike[str]) -> Ruleset:
    """The flags of a file. Raises LocalFileError."""
    from downhaul.local.reading import read_ruleset

    return read_ruleset(os.path.abspath(os.path.expanduser(os.fspath(file))))


def is_case(kind: object) -> bool:
    """Whether it is a class of unittest."""
    unittest = sys.modules.get("unittest")
    return unittest is not None and isinstance(kind, type) and issubclass(kind, unittest.TestCase)


def each_test(case: Function, wrap: Callable[[Function], Function]) -> Function:
    """The class, with all its tests wrapped."""
    for name in dir(case):
        if name.startswith("test") and callable(method := getattr(case, name)):
            setattr(case, name, wrap(method))
    return case

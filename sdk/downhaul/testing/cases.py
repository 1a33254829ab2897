"""Isolated flags for classes of unittest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from downhaul.testing.isolation import IsolatedFlags, begun, current, ruleset_of

if TYPE_CHECKING:
    from unittest import TestCase as Case
    from unittest import TestResult
else:
    Case = object


class FlagsMixin(Case):
    """Gives each test of a `unittest.TestCase` isolated flags: `class CheckoutTest(FlagsMixin, TestCase)`.

    They hold in `setUp`, in the test, in `tearDown` and in clean-ups, of coroutines too.
    """

    flags: IsolatedFlags
    """The flags of the test."""
    flag_values: Mapping[str, Any] = MappingProxyType({})
    """What each test of the class begins with; those of a base class count too, unless they are here as well."""
    flags_strict: bool = False
    """Whether a test fails that evaluates a flag which it does not declare."""
    flags_file: str | os.PathLike[str] | None = None
    """A file of flags that are known in each test."""

    def run(self, result: TestResult | None = None) -> TestResult | None:
        with self._isolated() as flags:
            self.flags = flags
            for base in reversed(type(self).__mro__):
                flags.set(vars(base).get("flag_values", {}))
            if self.flags_strict:
                self.addCleanup(flags.check)  # the first to be added is the last to be called
            return super().run(result)

    @contextmanager
    def _isolated(self) -> Iterator[IsolatedFlags]:
        """Under pytest those of its plugin, if the test has any: marks count here too."""
        open_already = current()
        if open_already is not None and self.flags_file is None:
            yield open_already
        else:
            with begun(ruleset_of(self.flags_file) if self.flags_file is not None else None) as flags:
                yield flags

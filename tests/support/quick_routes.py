"""Apps that are made quickly. Each of a thousand tests has an app of its own, and most of its making is werkzeug
compiling a function for the address of each route, the same for every app: so each is compiled once in a process."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from werkzeug.routing import Rule


def remember() -> None:
    """From now on, in this process. What a rule compiles to depends on what is in the key, and on nothing else."""
    compile_builder = Rule._compile_builder
    known: dict[Hashable, Callable[..., Any]] = {}

    def remembered(rule: Rule, append_unknown: bool = True) -> Callable[..., Any]:
        converters = tuple((name, type(each)) for name, each in rule._converters.items())
        trace, defaults = tuple(rule._trace), repr(rule.defaults)
        key = (rule.rule, trace, defaults, converters, append_unknown)
        if key not in known:
            known[key] = compile_builder(rule, append_unknown)
        return known[key]

    Rule._compile_builder = remembered  # type: ignore[method-assign]

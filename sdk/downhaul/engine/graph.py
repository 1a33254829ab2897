"""What depends on what: flags on flags, segments on segments. Iterative, so that no chain is too long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class CycleError(ValueError):
    """`cycle` is the way round, its first name repeated at the end."""

    def __init__(self, cycle: list[str]) -> None:
        super().__init__(" -> ".join(cycle))
        self.cycle = cycle


def find_cycle(graph: Mapping[str, Iterable[str]]) -> list[str] | None:
    """A cycle as `[a, b, a]`, or None. Names that are no keys of `graph` have no edges."""
    try:
        dependency_order(graph)
    except CycleError as error:
        return error.cycle
    return None


def dependency_order(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """The keys of `graph`, each after those that it points to. Raises CycleError."""
    done: dict[str, None] = {}
    for start in graph:
        if start not in done:
            _visit(start, graph, done)
    return list(done)


def _visit(start: str, graph: Mapping[str, Iterable[str]], done: dict[str, None]) -> None:
    on_path: dict[str, Iterator[str]] = {start: iter(graph[start])}
    while on_path:
        name, rest = next(reversed(on_path.items()))
        for following in rest:
            if following in on_path:
                path = list(on_path)
                raise CycleError([*path[path.index(following) :], following])
            if following not in done and following in graph:
                on_path[following] = iter(graph[following])
                break
        else:
            del on_path[name]
            done[name] = None

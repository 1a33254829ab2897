"""Which flags are meant, when many are killed or restored at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from downhaul_server.services.errors import Invalid, NotFound
from downhaul_server.services.names import address
from downhaul_server.store import Document, View


@dataclass(frozen=True, slots=True)
class Selected:
    """Flags in the order of their names, and what was named but is not there."""

    flags: tuple[Document, ...]
    not_found: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """The flags of any of `services` with any of `tags` (both, when both are given), plus `flags` (`service/key`)."""

    services: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises Invalid when it selects by nothing, or names a flag without its service."""
        if not (self.services or self.tags or self.flags):
            raise Invalid.at(message="expected services, tags or flags: nothing was selected")
        bare = [index for index, name in enumerate(self.flags) if "/" not in name]
        if bare:
            raise Invalid([(("flags", index), "expected service/key") for index in bare])

    def named_services(self) -> tuple[str, ...]:
        """Those that must be in the actor's scope, because they are named."""
        return (*self.services, *(name.partition("/")[0] for name in self.flags))

    def of(self, view: View, may: Callable[[str], bool]) -> Selected:
        """What it selects now; what a tag alone finds, only in services where the actor `may`. Raises NotFound."""
        found = {document.address: document for document in self._by_service_and_tag(view, may)}
        missing = [service for service in self.services if view.get(address("service", service)) is None]
        for name in self.flags:
            document = view.get(address("flag", name))
            if document is None:
                missing.append(name)
            else:
                found[document.address] = document
        if not found:
            raise NotFound("flag", "that was selected")
        return Selected(tuple(found[where] for where in sorted(found)), tuple(dict.fromkeys(missing)))

    def _by_service_and_tag(self, view: View, may: Callable[[str], bool]) -> Iterator[Document]:
        if not (self.services or self.tags):
            return
        for prefix in [f"flag/{service}/" for service in self.services] or ["flag/"]:
            for document in view.of_kind(prefix):
                if may(document.body["service"]) and (
                    not self.tags or not set(self.tags).isdisjoint(document.body["tags"])
                ):
                    yield document

"""What one service needs in one environment, gathered from the documents: its flags, their prerequisites, segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from downhaul_server.services.flag_forms import active_rules, snapshot_form, snapshot_name, state_of
from downhaul_server.services.names import address, resolve
from downhaul_server.services.references import segments_closure, segments_of_state
from downhaul_server.store import Document, View


@dataclass(frozen=True, slots=True)
class Part:
    """What one flag's document gives to a content. The same object as long as the document is the same."""

    document: Document
    form: dict[str, Any]
    """The flag as a snapshot holds it."""
    segments: tuple[str, ...]
    """That its rules name."""
    needs: tuple[tuple[str, str], ...]
    """Service and key of each prerequisite."""


@dataclass(frozen=True, slots=True)
class Content:
    """As in a snapshot; `decode_ruleset` takes `{"flags": flags, "segments": segments}`."""

    flags: dict[str, dict[str, Any]]
    """By the names that the service knows them by: `key`, or `service/key` for another service's."""
    segments: dict[str, Any]
    """Key -> condition; those that the flags use, and those inside them."""
    services: frozenset[str]
    """Whose flags these are: a change of any of them may change this."""
    parts: Mapping[str, Part] = field(repr=False, compare=False)
    """By the same names as `flags`."""


def gather(
    view: View, service: str, environment: str, flags: Iterable[str] | None = None, before: Content | None = None
) -> Content:
    """All flags of the service (or those named) with everything that they need, wherever it lies.

    `before` is what was gathered for the same service and environment at another revision: what it has of documents
    that are the same is taken over as it is, so that a change costs little more than what has changed.
    """
    known = before.parts if before else {}
    parts: dict[str, Part] = {}
    waiting: list[tuple[str, str]] = []
    for document in _own(view, service, flags):
        name = document.key
        part = known.get(name)
        if part is None or part.document is not document:
            part = _part(document, environment, service)
        parts[name] = part
        waiting += part.needs
    services = {service}
    while waiting:
        owner, key = waiting.pop()
        name = snapshot_name(owner, key, service)
        needed = view.get(address("flag", owner, key))
        if name in parts or needed is None:
            continue
        part = known.get(name)
        if part is None or part.document is not needed:
            part = _part(needed, environment, service)
        parts[name] = part
        services.add(owner)
        waiting += part.needs
    named = {segment for part in parts.values() for segment in part.segments}
    forms = {name: part.form for name, part in parts.items()}
    return Content(forms, segments_closure(view, named), frozenset(services), parts)


def _own(view: View, service: str, flags: Iterable[str] | None) -> Iterable[Document]:
    if flags is None:
        return view.of_kind(f"flag/{service}/")
    return filter(None, (view.get(address("flag", service, key)) for key in flags))


def _part(document: Document, environment: str, reader: str) -> Part:
    flag = document.body
    return Part(
        document,
        snapshot_form(flag, environment, reader),
        tuple({segment for _, segment in segments_of_state({"rules": active_rules(state_of(flag, environment))})}),
        tuple(resolve(need["flag"], flag["service"]) for need in flag["requires"]),
    )


def revision_of(view: View, services: Iterable[str], environment: str) -> int:
    """The last commit that changed anything for those who evaluate flags of these services there.

    Never goes back for a service while the services are those of its `Content`: what takes one of them away is itself
    a later change of one that stays.
    """
    return max(view.touched(service, environment) for service in services)

"""What one service needs in one environment, gathered from the documents: its flags, their prerequisites, segments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from downhaul_server.services.flag_forms import snapshot_form, snapshot_name, state_of
from downhaul_server.services.names import address, resolve
from downhaul_server.services.references import segments_closure, segments_of_state
from downhaul_server.store import View


@dataclass(frozen=True, slots=True)
class Content:
    """As in a snapshot; `decode_ruleset` takes `{"flags": flags, "segments": segments}`."""

    flags: dict[str, dict[str, Any]]
    """By the names that the service knows them by: `key`, or `service/key` for another service's."""
    segments: dict[str, Any]
    """Key -> condition; those that the flags use, and those inside them."""
    services: frozenset[str]
    """Whose flags these are: a change of any of them may change this."""


def gather(view: View, service: str, environment: str, flags: Iterable[str] | None = None) -> Content:
    """All flags of the service (or those named) with everything that they need, wherever it lies."""
    keys = [document.key for document in view.of_kind(f"flag/{service}/")] if flags is None else flags
    waiting = [(service, key) for key in keys]
    found: dict[str, dict[str, Any]] = {}
    services = {service}
    named: set[str] = set()
    while waiting:
        owner, key = waiting.pop()
        name = snapshot_name(owner, key, service)
        document = view.get(address("flag", owner, key))
        if name in found or document is None:
            continue
        found[name] = snapshot_form(document.body, environment, service)
        services.add(owner)
        named.update(segment for _, segment in segments_of_state(state_of(document.body, environment)))
        waiting += [resolve(need["flag"], owner) for need in document.body["requires"]]
    return Content(found, segments_closure(view, named), frozenset(services))


def revision_of(view: View, services: Iterable[str], environment: str) -> int:
    """The last commit that changed anything for those who evaluate flags of these services there.

    Never goes back for a service while the services are those of its `Content`: what takes one of them away is itself
    a later change of one that stays.
    """
    return max(view.touched(service, environment) for service in services)

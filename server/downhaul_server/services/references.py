"""What documents say of one another: segments in conditions, flags in `requires`. Nothing may point to nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from downhaul_server.services.errors import InUse, Invalid, Path
from downhaul_server.services.names import address, flag_name, resolve
from downhaul_server.store import Document, View

Body = Mapping[str, Any]


def segments_in(condition: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every segment that a valid condition names, with its place."""
    waiting: list[tuple[Path, Any]] = [(path, condition)]
    while waiting:
        place, part = waiting.pop()
        if "segment" in part:
            yield (*place, "segment"), part["segment"]
        elif "not" in part:
            waiting.append(((*place, "not"), part["not"]))
        for name in ("all", "any"):
            waiting += [((*place, name, index), inner) for index, inner in enumerate(part.get(name, ()))]


def segments_of_state(state: Body, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every segment that the rules of a state name, with its place."""
    for index, rule in enumerate(state["rules"]):
        yield from segments_in(rule["when"], (*path, "rules", index, "when"))


def check_segments(view: View, named: Iterable[tuple[Path, str]]) -> None:
    """Raises Invalid for each segment that is not there."""
    missing = [(path, f"there is no segment {key}") for path, key in named if not view.get(address("segment", key))]
    if missing:
        raise Invalid(missing)


def segments_closure(view: View, keys: Iterable[str]) -> dict[str, Any]:
    """The conditions of these segments and of those inside them: key -> condition."""
    found: dict[str, Any] = {}
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        document = view.get(address("segment", key))
        if key not in found and document is not None:
            found[key] = document.body["when"]
            waiting += [inner for _, inner in segments_in(document.body["when"])]
    return found


def check_requires(view: View, flag: Body) -> None:
    """Raises Invalid for a prerequisite that is not there, lacks the variants, or lacks the variants."""
    for index, need in enumerate(flag["requires"]):
        service, key = resolve(need["flag"], flag["service"])
        # The flag may name itself before it is there: that is a cycle, and refused as one.
        required = flag if (service, key) == (flag["service"], flag["key"]) else _body(view, service, key)
        if required is None:
            raise Invalid.at("requires", index, "flag", message=f"there is no flag {flag_name(service, key)}")
        for place, variant in enumerate(need["variants"]):
            if variant not in required["variants"]:
                message = f"the flag {flag_name(service, key)} has no variant {variant}"
                raise Invalid.at("requires", index, "variants", place, message=message)


def check_dependents(view: View, before: Document, variants: Iterable[str] | None) -> None:
    """Raises InUse when other flags require variants that the flag would lose (None: the flag is to go)."""
    lost = set(before.body["variants"]) - set(variants or ())
    needed = _needed(view, before) if lost else {}
    if variants is None and needed:
        raise InUse(f"flag {name_of(before)}", [f"flag {name}" for name in needed])
    for variant in sorted(lost):
        if users := [f"flag {name}" for name, wanted in needed.items() if variant in wanted]:
            raise InUse(f"variant {variant} of flag {name_of(before)}", users)


def _needed(view: View, required: Document) -> dict[str, set[str]]:
    """The other flags that require a flag: name -> the variants that they want."""
    own = (required.body["service"], required.body["key"])
    found: dict[str, set[str]] = {}
    for document in view.of_kind("flag/"):
        for need in document.body["requires"]:
            if document.address != required.address and resolve(need["flag"], document.body["service"]) == own:
                found.setdefault(name_of(document), set()).update(need["variants"])
    return found


def users_of_segment(view: View, key: str) -> list[str]:
    """Who names a segment directly: `flag checkout/new-checkout`, `segment beta`."""
    flags = [
        f"flag {name_of(document)}"
        for document in view.of_kind("flag/")
        if any(key == name for state in document.body["environments"].values() for _, name in segments_of_state(state))
    ]
    segments = [
        f"segment {document.key}"
        for document in view.of_kind("segment/")
        if any(key == name for _, name in segments_in(document.body["when"]))
    ]
    return flags + segments


def reached_by_segment(view: View, key: str) -> tuple[tuple[str, str], ...]:
    """The (service, environment) pairs whose rules use a segment, directly or inside another one."""
    containing = {key}
    grown = True
    while grown:
        more = {
            document.key
            for document in view.of_kind("segment/")
            if any(name in containing for _, name in segments_in(document.body["when"]))
        }
        grown = not more <= containing
        containing |= more
    return tuple(
        sorted(
            {
                (document.body["service"], environment)
                for document in view.of_kind("flag/")
                for environment, state in document.body["environments"].items()
                if any(name in containing for _, name in segments_of_state(state))
            }
        )
    )


def name_of(flag: Document) -> str:
    """`service/key` of a stored flag."""
    return flag_name(flag.body["service"], flag.body["key"])


def _body(view: View, service: str, key: str) -> Body | None:
    document = view.get(address("flag", service, key))
    return document.body if document else None

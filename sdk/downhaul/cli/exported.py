"""An export of the log, verified without asking anybody: digests, chain, nothing missing in between or at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

FORMAT = "downhaul-log"
VERSION = 1
MOST_FAULTS = 1000


@dataclass(slots=True)
class Verdict:
    """What was found."""

    entries: int = 0
    hidden: int = 0
    """Entries whose digest cannot be checked, because a secret in their body was hidden."""
    filtered: bool = False
    faults: list[str] = field(default_factory=list)
    """At most MOST_FAULTS."""

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "whole": not self.faults,
            "entries": self.entries,
            "hidden": self.hidden,
            "filtered": self.filtered,
            "faults": self.faults,
        }


def verify(lines: Iterable[str]) -> Verdict:
    """Read all of it, a line at a time. Raises ValueError for what is no export of ours."""
    reader = _Reader()
    for number, line in enumerate(lines, 1):
        if line.strip() and len(reader.verdict.faults) < MOST_FAULTS:
            reader.read(number, _document(number, line))
    return reader.end()


class _Reader:
    def __init__(self) -> None:
        self.verdict = Verdict()
        self._begun = self._ended = False
        self._last: tuple[int, str] | None = None

    def read(self, number: int, document: dict[str, Any]) -> None:
        if not self._begun:
            self._begin(document)
        elif self._ended:
            self._fault(f"line {number}: there is more after the end")
        elif "end" in document:
            self._ended = True
            if document.get("entries") != self.verdict.entries:
                self._fault(f"{document.get('entries')} entries were exported, {self.verdict.entries} are here")
        else:
            try:
                self._entry(document)
            except (KeyError, TypeError, ValueError) as error:
                self._fault(f"line {number}: not an entry: {error!r}")

    def end(self) -> Verdict:
        if not self._begun:
            raise ValueError("it is empty")
        if not self._ended:
            self._fault("the end is missing: the export was broken off, or cut")
        return self.verdict

    def _begin(self, head: dict[str, Any]) -> None:
        if head.get("format") != FORMAT or head.get("version") != VERSION:
            raise ValueError(f"the first line does not say that it is a {FORMAT} of version {VERSION}")
        self._begun, self.verdict.filtered = True, bool(head.get("filtered"))

    def _entry(self, entry: dict[str, Any]) -> None:
        self.verdict.entries += 1
        kind = "revision" if "revision" in entry else "number"
        number, previous = int(entry[kind]), entry["previous"]
        name = f"revision {number}" if kind == "revision" else f"refusal {number}"
        if entry["redacted"]:
            self.verdict.hidden += 1
        elif _digest(entry["body"]) != entry["digest"]:
            self._fault(f"{name}: the body does not have the digest that was written with it")
        if previous is not None and _link(previous, number, entry["at_ms"], entry["digest"]) != entry["chain"]:
            self._fault(f"{name}: the hash does not follow from the entry before")
        self._follows(name, number, previous)
        self._last = number, entry["chain"]

    def _follows(self, name: str, number: int, previous: str | None) -> None:
        if previous is None:
            self._fault(f"{name}: the entry before was missing from the log already")
        if self._last is None:
            return
        last, chain = self._last
        if number <= last:
            self._fault(f"{name}: it comes after {last}, out of order")
        elif number == last + 1 and previous not in (None, chain):
            self._fault(f"{name}: the entry before is not the one that it was written after")
        elif number > last + 1 and not self.verdict.filtered:
            self._fault(f"{name}: what lies between it and {last} is missing")

    def _fault(self, sentence: str) -> None:
        self.verdict.faults.append(sentence)


def _document(number: int, line: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"line {number} is not a JSON object")
    return document


def _digest(body: Any) -> str:
    # The order of the members and the form of the numbers are kept by `json`, so this is the text that was hashed.
    text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _link(previous: str, number: int, at_ms: int, digest: str) -> str:
    return hashlib.sha1(f"{previous}:{number}:{at_ms}:{digest}".encode(), usedforsecurity=False).hexdigest()

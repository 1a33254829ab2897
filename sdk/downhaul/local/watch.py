"""The looks at the file: when they are due, what they find told and put in force."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from downhaul.forks import guard
from downhaul.health import Once, log
from downhaul.local.definitions import Contents, read_contents
from downhaul.local.errors import LocalFileError
from downhaul.local.formats import read_text
from downhaul.local.reading import read_bytes
from downhaul.snapshot import Snapshot, digest_of

if TYPE_CHECKING:
    from downhaul.worker import Worker

#: Seconds between two looks; and between the first look at something new and the second, after which it is believed.
LOOK_EVERY_S = 0.4
SETTLED_AFTER_S = 0.1
_GOOD_FOR_S = 10.0


class LocalFile:
    """One file, looked at again and again.

    What is new counts when it is seen a second time: half of a TOML file is often a valid file with fewer flags.
    """

    def __init__(self, path: str, service: str = "", digest: bytes = b"") -> None:
        """`digest`: of what is in force already, in a forked child."""
        self.path = path
        self._service = service
        self._believed: object = digest or None
        self._doubted: object = None

    @property
    def unsettled(self) -> bool:
        """Whether the last look found something new, that is to be seen once more."""
        return self._doubted is not None

    def look(self) -> tuple[Contents, bytes] | None:
        """What the file says and its digest, if that is new. Raises LocalFileError when it is wrong, once."""
        content, trouble = b"", None
        try:
            content = read_bytes(self.path)
        except LocalFileError as error:
            trouble = error
        found: object = str(trouble) if trouble else digest_of(content)
        if found == self._believed:
            self._doubted = None
            return None
        if self._believed is not None and found != self._doubted:
            self._doubted = found
            return None
        self._believed, self._doubted = found, None
        if trouble:
            raise trouble
        return read_contents(self.path, read_text(self.path, content), self._service), digest_of(content)


class LocalFileWatch:
    """Follows the file that the settings of a worker name. Never raises for what is wrong with it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._once = Once()
        settings, snapshot = worker.settings, worker.found.snapshot
        self._file = LocalFile(settings.file, settings.service, snapshot.digest if snapshot else b"")
        self._trouble = ""
        self._next = 0.0 if settings.file else inf

    def due_in(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._next - monotonic())

    def look_if_due(self) -> None:
        """Look, and put what is new in force."""
        if monotonic() < self._next:
            return
        try:
            with guard():
                found = self._file.look()
        except LocalFileError as error:
            self._wrong(str(error))
        else:
            if found is not None:
                self._apply(*found)
        self._next = monotonic() + (SETTLED_AFTER_S if self._file.unsettled else LOOK_EVERY_S)
        if self._trouble:
            self._worker.health.without_file(self._trouble)
        else:
            self._worker.health.with_file(_GOOD_FOR_S)

    def _wrong(self, sentence: str) -> None:
        self._once.forget(self._trouble)
        self._trouble = sentence
        self._once.warn(sentence, "%s; flags stay as they are", sentence)

    def _apply(self, contents: Contents, digest: bytes) -> None:
        before = self._worker.found.snapshot
        revision = before.revision + 1 if before else 1
        snapshot = Snapshot("file", revision, contents.service, contents.environment, contents.ruleset, digest=digest)
        self._worker.apply(self._worker.found._replace(snapshot=snapshot, source="file"))
        self._once.forget(self._trouble)
        self._trouble = ""
        log.info("%s was read: %d flags", self._file.path, len(contents.ruleset.flags))

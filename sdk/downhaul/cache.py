"""The last known good snapshot on disk, for the next start: one file, shared safely by the processes of a machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence

from downhaul.snapshot import MAX_BYTES, Change, Snapshot, SnapshotError, fold, read_snapshot


class SnapshotCache:
    """The last known good snapshot of one service on disk, shared by the processes of a machine.

    It holds a whole payload, never the key; only the key's hash is in its name, so that a snapshot is never
    used with a key for another environment.
    """

    def __init__(self, directory: str, url: str, service: str, key: str) -> None:
        identity = hashlib.sha256("\n".join((url, service, key)).encode()).hexdigest()[:16]
        self.path = os.path.join(directory, f"{service}-{identity}.json")
        self._service = service

    def load(self) -> tuple[Snapshot, float] | None:
        """The snapshot and the time (seconds since 1970) at which it was written, or None if there is no file.

        Raises SnapshotError if the file does not hold a whole and valid snapshot, and OSError if it cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                body, written = file.read(MAX_BYTES + 1), os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None
        return read_snapshot(body, self._service), written

    def save(self, snapshot: Snapshot, body: bytes) -> None:
        """Keep `snapshot`, that came in `body`, unless the file has it or a newer one already. Raises OSError."""
        held = self._held()
        if held is None or held[0].epoch != snapshot.epoch or held[0].revision < snapshot.revision:
            self._write(body)

    def follow(self, changes: Sequence[Change]) -> bool:
        """Work changes, oldest first, into the file; False if it holds nothing that they follow from. Raises OSError.

        It is the file that is changed, and not a copy in memory, because there need not be one there.
        """
        held = self._held()
        if held is None or held[0].epoch != changes[-1]["epoch"]:
            return False
        snapshot, body = held
        if snapshot.revision >= changes[-1]["revision"]:  # another process was here before
            return True
        rest = [each for each in changes if each["base"] >= snapshot.revision]
        if not rest or rest[0]["base"] != snapshot.revision:
            return False
        self._write(fold(body, rest))
        return True

    def _held(self) -> tuple[Snapshot, bytes] | None:
        """The snapshot in the file, and its payload; a damaged file holds nothing."""
        try:
            with open(self.path, "rb") as file:
                body = file.read(MAX_BYTES + 1)
            return read_snapshot(body, self._service), body
        except (OSError, SnapshotError):
            return None

    def _write(self, body: bytes) -> None:
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        temporary = f"{self.path}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
        try:
            _write_private(temporary, body)
            os.replace(temporary, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def _write_private(path: str, body: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    with open(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())  # else a power cut can leave an empty file in place of the last known good

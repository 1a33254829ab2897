"""Everything on disk, for a start while Redis is away. The file is whole or it is not used."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from downhaul_server.store.documents import decode_object, encode, undisturbed
from downhaul_server.store.view import Document, Freshness, View

log = logging.getLogger(__name__)

SCHEMA = 1
WRITE_EVERY_S = 2.0
DOCUMENTS_A_TURN = 50
"""After so many documents are encoded, other threads (under gevent: requests) get their turn."""


class CheckpointCorruptError(Exception):
    """The file is not what was written; it has been set aside. One sentence that says what and where."""


class FileLock:
    """A lock between processes that ends with its holder, however that ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """True while we have it."""
        return self._descriptor is not None

    def acquire(self) -> bool:
        """Take it if it is free; True when we have it. Raises OSError when the file cannot be made."""
        if self._descriptor is not None:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let go. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Checkpoint:
    """`<data>/checkpoint.json`: an object whose last member, `checksum`, is the SHA-256 of all the text before it."""

    def __init__(self, data_dir: Path) -> None:
        self.path: Final = data_dir / "checkpoint.json"

    def save(self, view: View) -> None:
        """Write it whole or not at all; one writer at a time. Raises OSError."""
        draft = self.path.with_name(f".{self.path.name}.draft")
        digest = hashlib.sha256()
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for part in _parts(view):
                text = part.encode("ascii")
                digest.update(text)
                file.write(text)
            file.write(_seal(digest.hexdigest()))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        _sync_folder(self.path.parent)

    def load(self, freshness: Freshness) -> View | None:
        """The view in it, with `freshness` set to its age; None when there is no file.

        Raises CheckpointCorruptError, after renaming the file to `checkpoint.json.corrupt`; OSError.
        """
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            with undisturbed():
                return _view(_unsealed(text), freshness)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            aside = self.path.with_name(f"{self.path.name}.corrupt")
            self.path.replace(aside)
            raise CheckpointCorruptError(f"the checkpoint is corrupt ({error}); it was set aside as {aside}") from error


def _parts(view: View) -> Iterator[str]:
    saved_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    place = {"epoch": view.epoch, "succeeds": list(view.succeeds), "revision": view.revision, "chain": view.chain}
    head = {"schema": SCHEMA, **place, "saved_at": saved_at}
    yield encode(head)[:-1] + f',"touched":{encode(dict(view.touches))},"documents":{{'
    for number, document in enumerate(view):
        if number % DOCUMENTS_A_TURN == 0:
            time.sleep(0)
        comma = "," if number else ""
        yield f"{comma}\n{encode(document.address)}:{encode({'version': document.version, 'body': document.body})}"
    yield "\n}"


def _seal(digest: str) -> bytes:
    return f',"checksum":"sha256:{digest}"}}\n'.encode("ascii")


SEAL_LENGTH = len(_seal("0" * 64))


def _unsealed(text: bytes) -> dict[str, Any]:
    content, seal = text[:-SEAL_LENGTH], text[-SEAL_LENGTH:]
    if seal != _seal(hashlib.sha256(content).hexdigest()):
        raise ValueError("its checksum does not match")
    found = decode_object(content + b"}")
    if found["schema"] != SCHEMA:
        raise ValueError(f"it has schema {found['schema']}, this release knows {SCHEMA}")
    return found


def _view(found: dict[str, Any], freshness: Freshness) -> View:
    age = datetime.now(UTC) - datetime.fromisoformat(found["saved_at"])
    freshness.confirm(age_s=max(0.0, age.total_seconds()))
    return View.of(
        (Document(address, stored["version"], stored["body"]) for address, stored in found["documents"].items()),
        epoch=found["epoch"],
        revision=found["revision"],
        chain=found["chain"],
        touched=found["touched"],
        freshness=freshness,
        succeeds=tuple(found.get("succeeds", ())),  # an older release did not write it
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Keeper:
    """The thread that writes the checkpoint when the view has changed; of a node's workers, the one with the lock."""

    def __init__(self, checkpoint: Checkpoint, latest: Callable[[], View | None]) -> None:
        """`latest` gives the newest view, or None while there is none."""
        self._checkpoint = checkpoint
        self._latest = latest
        self._lock = FileLock(checkpoint.path.with_name("checkpoint.lock"))
        self._saved = latest()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="downhaul-checkpoint", daemon=True)
        self.problem: str | None = None
        """Why the last attempt to write failed; None when it did not."""

    def start(self) -> None:
        """Start writing, every two seconds at most."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is new, and end. Idempotent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._lock.release()

    def _run(self) -> None:
        while not self._stopping.wait(WRITE_EVERY_S):
            self._save_changes()
        self._save_changes()

    def _save_changes(self) -> None:
        view = self._latest()
        if view is None or view is self._saved:
            return
        try:
            if self._lock.acquire():
                self._checkpoint.save(view)
                self._saved = view
            self.problem = None
        except OSError as error:
            if self.problem is None:
                log.warning("store: the checkpoint cannot be written: %s", error)
            self.problem = f"the checkpoint cannot be written: {error}"

"""A private Redis of our own, for whoever has none."""

from __future__ import annotations

from pathlib import Path


class EmbeddedError(RuntimeError):
    """The embedded Redis cannot run. One sentence that says what to do about it."""


class Embedded:
    """A `redis-server` (or `valkey-server`) child process on a Unix socket in the data folder, with durable settings."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    @property
    def url(self) -> str:
        """`unix://...`, for `Store.open(redis_url=...)`."""
        raise NotImplementedError

    def start(self) -> str:
        """Lock the data folder, end an orphan of an earlier life, start Redis, wait until it answers; gives `url`.

        Call it in the thread that lives as long as the server (on Linux the child dies with that thread).
        Raises EmbeddedError: no binary anywhere, folder in use by another server, Redis did not come up.
        """
        raise NotImplementedError

    def ensure_running(self) -> bool:
        """Start Redis again when it has died. True when it had to. For the supervisor's loop; raises EmbeddedError."""
        raise NotImplementedError

    def stop(self) -> None:
        """Shut Redis down cleanly and unlock the data folder. Idempotent."""
        raise NotImplementedError

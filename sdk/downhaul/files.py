"""Reading a file that somebody may be writing, or may have put something else in the place of."""

from __future__ import annotations

import os
import stat


class UnreadableError(Exception):
    """The file cannot be read. The message goes on from its name: `cannot be opened: ...`."""


def read_file(path: str, most: int) -> bytes | None:
    """All of a regular file of at most `most` bytes; None if it is not there. Never waits. Raises UnreadableError."""
    try:
        # Non-blocking, because opening a named pipe would otherwise wait for its writer, and the thread with it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnreadableError(f"cannot be opened: {error.strerror}") from None
    try:
        return _read_regular(descriptor, most)
    finally:
        os.close(descriptor)


def _read_regular(descriptor: int, most: int) -> bytes:
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadableError("is not a regular file")
        content = b""
        while chunk := os.read(descriptor, most + 1 - len(content)):
            content += chunk
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from None
    if len(content) > most:
        raise UnreadableError(f"is larger than {most} bytes")
    return content

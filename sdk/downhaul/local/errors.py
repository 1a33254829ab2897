"""What can be wrong with the file."""

from __future__ import annotations


class LocalFileError(Exception):
    """The file cannot be used. The message names the file, the place in it, and what was expected there."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")

"""One look at a file of flags, for whoever does not follow it."""

from __future__ import annotations

import os

from downhaul.engine import Ruleset
from downhaul.files import UnreadableError, read_file
from downhaul.local.definitions import read_contents
from downhaul.local.errors import LocalFileError
from downhaul.local.formats import READERS, read_text

MAX_BYTES = 4 << 20


def read_bytes(path: str) -> bytes:
    """What is in the file. Raises LocalFileError."""
    try:
        content = read_file(path, MAX_BYTES)
    except UnreadableError as error:
        raise LocalFileError(path, str(error)) from None
    if content is None:
        raise LocalFileError(path, "there is no such file")
    return content


def read_ruleset(path: str) -> Ruleset:
    """The flags in the file. Raises LocalFileError."""
    if os.path.splitext(path)[1].lower() not in READERS:
        raise LocalFileError(path, f"expected a name that ends in {', '.join(READERS)}")
    return read_contents(path, read_text(path, read_bytes(path))).ruleset

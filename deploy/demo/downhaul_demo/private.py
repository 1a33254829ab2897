"""Files that only we may read."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, secret: str) -> None:
    """Write a line, mode 0600 from the first moment; a file of that name is replaced."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f"{secret}\n")
    draft.replace(path)


def token_file(folder: Path, generated: Path, token: str) -> Path:
    """A private file that holds the administrator's token: the generated one, or a copy of our own in `folder`."""
    if generated.exists() and generated.read_text("utf-8").strip() == token:
        return generated
    copy = folder / "admin-token"
    write_private(copy, token)
    return copy

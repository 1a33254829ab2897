"""What the reference of the SDK needs beyond autodoc."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _skip(app: Sphinx, what: str, name: str, member: Any, *_: Any) -> bool | None:
    """Fields of a named tuple are in its signature, and nobody has described them."""
    return True if (getattr(member, "__doc__", None) or "").startswith("Alias for field number") else None

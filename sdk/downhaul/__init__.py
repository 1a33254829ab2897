"""Downhaul, a feature flag SDK whose kill switch holds: `from downhaul import flags`.

Nothing is loaded here: the service imports `downhaul.engine` from this package, and must not pay for a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from downhaul import flags as flags

__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    """Load `downhaul.flags` when it is first asked for, so that plain `import downhaul` costs next to nothing."""
    if name == "flags":
        from importlib import import_module

        return import_module("downhaul.flags")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

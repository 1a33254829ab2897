"""Flags in a Django project: an app, a middleware, template tags and a context processor.

`"downhaul.integrations.django"` belongs into INSTALLED_APPS, `"downhaul.integrations.django.DownhaulMiddleware"` into
MIDDLEWARE, and what they are told into the setting DOWNHAUL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from downhaul.integrations.django.middleware import DownhaulMiddleware
    from downhaul.integrations.django.processors import flags

__all__ = ["DownhaulMiddleware", "flags"]


def __getattr__(name: str) -> Any:
    # Django imports this package before its settings and apps are ready.
    if name == "DownhaulMiddleware":
        from downhaul.integrations.django.middleware import DownhaulMiddleware

        return DownhaulMiddleware
    if name == "flags":
        from downhaul.integrations.django.processors import flags

        return flags
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The app: it applies the settings, and holds the template tags."""

from __future__ import annotations

from django.apps import AppConfig

from downhaul.integrations.django import config


class DownhaulConfig(AppConfig):
    """`downhaul.integrations.django` in INSTALLED_APPS."""

    name = "downhaul.integrations.django"
    label = "downhaul"
    verbose_name = "Downhaul"

    def ready(self) -> None:
        """Raises ImproperlyConfigured for a wrong setting."""
        config.apply()

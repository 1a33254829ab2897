"""The setting DOWNHAUL: a dict, with CONTEXT, FROZEN, and the settings of the SDK by their names after `DOWNHAUL_`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from downhaul.integrations.clients import client_or_default
from downhaul.integrations.scopes import Context
from downhaul.settings import Settings, SettingsError

_SDK = {name.upper(): name for name in Settings._fields}
_OURS = ("CONTEXT", "FROZEN")


class Config(NamedTuple):
    """What the middleware is told."""

    context: Context | None
    frozen: bool


def read() -> Config:
    """What the middleware is told. Raises ImproperlyConfigured."""
    given = _given()
    context = given.get("CONTEXT")
    if isinstance(context, str):
        try:
            context = import_string(context)
        except ImportError as error:
            raise ImproperlyConfigured(f"DOWNHAUL['CONTEXT']: {error}") from error
    if context is not None and not callable(context):
        raise ImproperlyConfigured(f"DOWNHAUL['CONTEXT'] must be a function or the path of one, not {context!r}")
    frozen = given.get("FROZEN", False)
    if not isinstance(frozen, bool):
        raise ImproperlyConfigured(f"DOWNHAUL['FROZEN'] must be True or False, not {frozen!r}")
    return Config(context, frozen)


def apply() -> None:
    """Put the settings of the SDK over those of the environment. Raises ImproperlyConfigured."""
    wanted: Any = {_SDK[name]: value for name, value in _given().items() if name in _SDK and value is not None}
    try:
        if wanted:
            client_or_default(None).configure(**wanted)
    except SettingsError as error:
        raise ImproperlyConfigured(f"DOWNHAUL: {error}") from error
    read()


def _given() -> Mapping[str, Any]:
    given = getattr(settings, "DOWNHAUL", {})
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"DOWNHAUL must be a dict, not {given!r}")
    for name in given:
        if name not in _SDK and name not in _OURS:
            raise ImproperlyConfigured(f"DOWNHAUL[{name!r}] is unknown; there are {', '.join((*_OURS, *_SDK))}")
    return given

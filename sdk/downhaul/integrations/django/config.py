"""The setting DOWNHAUL: a dict of CONTEXT, FROZEN, RECORD, and the SDK's settings by their names after `DOWNHAUL_`."""

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
_OURS = ("CONTEXT", "FROZEN", "RECORD")


class Config(NamedTuple):
    """What the middleware is told."""

    context: Context | None
    frozen: bool
    record: bool


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
    return Config(context, _switch("FROZEN", given.get("FROZEN", False)), _switch("RECORD", given.get("RECORD", True)))


def apply() -> None:
    """Put the settings of the SDK over those of the environment. Raises ImproperlyConfigured."""
    wanted: Any = {_SDK[name]: value for name, value in _given().items() if name in _SDK and value is not None}
    try:
        if wanted:
            client_or_default(None).configure(**wanted)
    except SettingsError as error:
        raise ImproperlyConfigured(f"DOWNHAUL: {error}") from error
    read()


def _switch(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ImproperlyConfigured(f"DOWNHAUL[{name!r}] must be True or False, not {value!r}")
    return value


def _given() -> Mapping[str, Any]:
    given = getattr(settings, "DOWNHAUL", {})
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"DOWNHAUL must be a dict, not {given!r}")
    for name in given:
        if name not in _SDK and name not in _OURS:
            raise ImproperlyConfigured(f"DOWNHAUL[{name!r}] is unknown; there are {', '.join((*_OURS, *_SDK))}")
    return given

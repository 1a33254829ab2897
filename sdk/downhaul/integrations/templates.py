"""The flag functions as templates know them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from downhaul.client import Client
from downhaul.details import FLAG_NOT_FOUND, PROVIDER_NOT_READY


def functions(client: Client) -> Mapping[str, Callable[..., Any]]:
    """`flag("new-checkout")`: whether a boolean flag is on. `flag_value("button-colour", "blue")`: the value of any."""
    return {"flag": client.enabled, "flag_value": client.value}


class ByAttribute:
    """Values of flags for templates that cannot call functions: `flags.new_checkout`, evaluated when it is looked at.

    `_` stands for `-`, unless there is a flag of that very name. A flag that does not exist is None.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getitem__(self, name: str) -> Any:
        if "_" in name and self._client.explain(name).error_code in (FLAG_NOT_FOUND, PROVIDER_NOT_READY):
            name = name.replace("_", "-")
        return self._client.value(name)

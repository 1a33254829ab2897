"""Whose flags an integration is about, if it is not told."""

from __future__ import annotations

from downhaul.client import Client


def client_or_default(client: Client | None) -> Client:
    """`client`, or that of `downhaul.flags`, which is imported only here: that starts its thread."""
    if client is not None:
        return client
    from downhaul import flags

    return flags.client

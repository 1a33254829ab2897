"""Who wants to know of streams: what they must offer, and what is taken where nobody does."""

from __future__ import annotations

from typing import Protocol

from downhaul_server.services.actors import SdkKey


class Observer(Protocol):
    """Who counts what happens here. Called by several threads; must be quick and never raise."""

    def opened(self) -> None:
        """A stream begins."""

    def ended(self, reason: str) -> None:
        """A stream has ended."""

    def sent(self, event: str, streams: int) -> None:
        """An event was handed to so many streams."""


class Fleet(Protocol):
    """Who keeps account of processes."""

    def stream_opened(self, key: SdkKey, service: str, process: str) -> None:
        """A stream of this process begins."""

    def stream_closed(self, key: SdkKey, service: str, process: str, by_client: bool) -> None:
        """A stream of this process has ended."""


class Unobserved:
    """An observer that looks away."""

    def opened(self) -> None: ...
    def ended(self, reason: str) -> None: ...
    def sent(self, event: str, streams: int) -> None: ...

"""The two connections of the one thread: one that holds a stream, and one for what is asked and told besides."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import Protocol

from downhaul.forks import guard
from downhaul.settings import Settings, SettingsError, read_key
from downhaul.snapshot import MAX_BYTES
from downhaul.sockets import Limits
from downhaul.transport import Transport
from downhaul.waiting import Bell

#: A stream has a heartbeat every 5 s. After two and a half of them without any it is dead.
DEAD_S = 12.5
_SILENCE_S = 5.0


class InterruptedByStreamError(Exception):
    """Something has come on the stream: it is read first, whatever else was being waited for."""


class Duties(Protocol):
    """What the thread does in its waits."""

    bell: Bell

    def go_on(self) -> None:
        """Raises if the thread has to end."""
        ...

    def look(self) -> None:
        """What is done in every wait. What it raises ends it."""
        ...

    def look_in(self) -> float:
        """Seconds until that is to be done."""
        ...

    def work(self) -> None:
        """What is done in waits for the stream alone, because it waits itself."""
        ...

    def work_in(self) -> float:
        """Seconds until there is such work."""
        ...


class Links:
    """Made with one key."""

    def __init__(self, settings: Settings, key: str, duties: Duties) -> None:
        self.key = key
        total = settings.timeout
        limits = Limits(silence=min(_SILENCE_S, total), total=total, lull=DEAD_S, body=MAX_BYTES)
        self.stream = Transport(settings.url, key, limits, _Between(duties))
        self._aside = _Aside(duties, self.stream)
        self.side = Transport(settings.url, key, limits, self._aside)

    def insist(self, seconds: float) -> None:
        """For so long, what is waited for on the side is not interrupted."""
        self._aside.insisting_until = monotonic() + seconds

    def close(self) -> None:
        """Hang up."""
        self.side.close()
        self.stream.close()

    def abandon(self) -> None:
        """In a forked child: these are the parent's connections."""
        self.side.abandon()
        self.stream.abandon()


class Connector:
    """Makes the links when they are needed, and anew when the key has been changed."""

    def __init__(self, settings: Settings, duties: Duties) -> None:
        self._settings = settings
        self._duties = duties
        self.links: Links | None = None

    def connect(self) -> Links:
        """Links with the key of this moment. Raises SettingsError if it cannot be read."""
        self.close()
        key = read_key(self._settings)
        with guard():  # a fork while OpenSSL holds a lock of its own would leave that held in the child for ever
            self.links = Links(self._settings, key, self._duties)
        return self.links

    def has_other_key(self, used: str) -> bool:
        """Whether the key has been changed since `used` was read; then there are no links with that any more."""
        try:
            changed = read_key(self._settings) != used
        except SettingsError:
            return False
        if changed and self.links is not None and self.links.key == used:
            self.close()
        return changed

    def close(self) -> None:
        """Hang up."""
        if self.links is not None:
            self.links.close()
            self.links = None

    def abandon(self) -> None:
        """In a forked child: the links are the parent's."""
        if self.links is not None:
            self.links.abandon()


class _Between:
    """What is done while the stream is waited for."""

    def __init__(self, duties: Duties) -> None:
        self._duties = duties

    def go_on(self) -> None:
        self._duties.go_on()

    def look(self) -> None:
        self._duties.look()
        self._duties.work()

    def pause(self) -> float:
        return min(self._duties.look_in(), self._duties.work_in())

    def descriptors(self) -> list[int]:
        return [self._duties.bell.fileno()]


class _Aside:
    """What is done while something else is waited for: nothing that waits itself, and the stream goes first."""

    def __init__(self, duties: Duties, stream: Transport) -> None:
        self._duties = duties
        self._stream = stream
        self.insisting_until = 0.0

    def go_on(self) -> None:
        self._duties.go_on()

    def look(self) -> None:
        self._duties.look()
        if monotonic() >= self.insisting_until and self._stream.heard():
            raise InterruptedByStreamError

    def pause(self) -> float:
        insisting_s = self.insisting_until - monotonic()
        return min(self._duties.look_in(), insisting_s if insisting_s > 0 else inf)

    def descriptors(self) -> list[int]:
        stream = self._stream.descriptors() if monotonic() >= self.insisting_until else []
        return [self._duties.bell.fileno(), *stream]

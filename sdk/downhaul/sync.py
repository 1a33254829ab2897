"""What the one thread does: hold a stream, poll while there is none, report, watch the overrides file, keep the cache.

Loads the HTTP library. Nothing but a newer valid snapshot ever takes the place of a snapshot. Whatever goes wrong ends
as one sentence in `Health`, and the thread goes on.
"""

from __future__ import annotations

import math
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

from downhaul import backoff
from downhaul.adoption import Adoption
from downhaul.cache import SnapshotCache
from downhaul.forks import threads_are_greenlets
from downhaul.health import DEAF_S, Once
from downhaul.links import DEAD_S, Connector, InterruptedByStreamError, Links
from downhaul.listening import Stream, StreamEnd
from downhaul.overrides import OverridesWatch
from downhaul.report import Reporter
from downhaul.settings import SettingsError
from downhaul.snapshot import SnapshotError
from downhaul.trouble import LinkError
from downhaul.waiting import Bell, wait_for

if TYPE_CHECKING:
    from downhaul.worker import Worker

_FLOOR_S = 60.0
_PATIENCE_WITH_STREAM_S = 2.0
_LONG_ENOUGH_S = 30.0
_STREAM_EVERY_S = 5.0
_RESUMED_WITHIN_S = 2.0
_INTERRUPTED_S = 0.125
_MOST_INTERRUPTIONS = 3
_INSISTED_S = 0.3
_LEAST_FOR_REPORT_S = 1.0
_GAP_S = 2.0
_NOT_THERE_S = 300.0
_LAST_WORD_S = 0.5
_REST_S = 1.0


class StoppedError(Exception):
    """The thread was asked to end."""


class Sync:
    """The loop of one client in one process."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._settings = worker.settings
        self._health = worker.health
        self._once = Once()
        self._overrides = OverridesWatch(self._settings.overrides, worker, self._once)
        self._reporter = Reporter(worker.identity, worker.counts, worker.counted)
        self._adoption = Adoption(worker, self._once, self._reporter)
        self._connector = Connector(self._settings, self)
        self._stream: Stream | None = None
        self._stream_at = 0.0 if self._settings.stream else math.inf
        self._poll_at = _PATIENCE_WITH_STREAM_S + monotonic() if self._settings.stream else 0.0
        self._short_streams = 0
        self._stream_is_deaf = False
        self._streaming = False
        self._interruptions = 0
        self._last_word = False
        self._abandoned = False
        self.bell = Bell()
        worker.wake, worker.abandon = self.bell.ring, self._abandon

    def run(self) -> None:
        """Until the worker is told to stop."""
        try:
            self._begin()
            while True:
                self._turn()
        except StoppedError:
            if not self._abandoned:
                self._worker.attend()
                self._leave()
        finally:
            self._connector.close()
            self.bell.close()
        if self._abandoned:  # to end would be an error: gevent's `threading` has forgotten this greenlet
            Event().wait()

    def _begin(self) -> None:
        found = self._worker.found
        if found.snapshot is not None or found.overrides:  # a forked child: compiled for an identity of its own
            self._worker.apply(found)

    def _turn(self) -> None:
        try:
            self.look()
            if not self._settings.complete:
                self._rest(backoff.CAP_S)
            elif monotonic() >= self._stream_at:
                self._follow()
            else:
                self.work()
                self._rest(min(self._stream_at - monotonic(), self.work_in()))
        except StoppedError:
            raise
        except Exception as error:  # noqa: BLE001 -- a fault of ours must not end the thread that hears of a kill
            self._health.ill(f"a fault in the sync thread: {error!r}", "fault")
            self._once.warn(f"fault {type(error).__name__}", "a fault in the sync thread", trace=error)
            self._stream_at = max(self._stream_at, monotonic() + backoff.CAP_S)
            self._rest(backoff.after_failure(self._health.failures, self._settings.poll_interval))

    # The stream.

    def _follow(self) -> None:
        """Hold a stream to its end, and decide when there is to be another."""
        began, key = monotonic(), ""
        stream = self._stream = Stream(self._adoption, self._heard, self._missed)
        try:
            links = self._connect()
            key = links.key
            current = self._adoption.current
            place = current.place if current else None
            with links.stream.stream(self._settings.service, self._worker.identity.process, place) as chunks:
                end = stream.read(chunks)
        except LinkError as error:
            self._broken(error, key, lived=monotonic() - began)
        except (SnapshotError, SettingsError) as error:
            self._broken(LinkError(str(error), type(error).__name__), key, lived=monotonic() - began)
        else:
            self._ended(end, lived=monotonic() - began)
        finally:
            self._stream = None

    def _heard(self, age_s: float) -> None:
        """An event has come, and what is in force is what the service has."""
        if not self._streaming:
            self._streaming = True
            self._poll_at = monotonic() + backoff.regular(_FLOOR_S)
            self._health.with_stream()
        self._well("stream", DEAD_S, age_s)
        self._stream_is_deaf = age_s >= DEAF_S
        if self._stream_is_deaf:  # its server may be the only one that has lost the store: another one is asked
            self._poll_at = min(self._poll_at, monotonic() + backoff.regular(2 * self._settings.poll_interval))

    def _missed(self) -> None:
        """There is something newer than what is in force: it is fetched, not by a whole fleet in the same moment."""
        self._poll_at = min(self._poll_at, monotonic() + backoff.between(0.0, min(_GAP_S, self._settings.timeout)))

    def _ended(self, end: StreamEnd, lived: float) -> None:
        """In order. All streams of a server end together when it does, so the polls in between are spread as well."""
        self._short_streams = 0 if lived > _LONG_ENOUGH_S else self._short_streams + 1
        now, interval = monotonic(), self._settings.poll_interval
        pause = backoff.after_stream(self._short_streams, min(interval, _STREAM_EVERY_S), end.retry_s)
        if pause > _RESUMED_WITHIN_S:  # a shorter one is a part of the service's housekeeping
            self._without_stream()
        self._streaming = False
        self._stream_at = now + pause
        self._poll_at = min(self._poll_at, now + backoff.regular(interval))

    def _broken(self, error: LinkError, key: str, lived: float) -> None:
        self._health.without_stream(str(error), error.cause)
        was_streaming, self._streaming = self._streaming, False
        self._without_stream()
        self._short_streams = 1 if lived > _LONG_ENOUGH_S else self._short_streams + 1
        now, interval = monotonic(), self._settings.poll_interval
        if error.refused and self._connector.has_other_key(key):
            pause = 0.0
        elif error.refused:
            pause = backoff.after_refusal(interval)
        elif error.missing:
            pause = _NOT_THERE_S * backoff.between(0.9, 1.1)
        else:
            pause = backoff.after_failure(self._short_streams, min(interval, _STREAM_EVERY_S), error.retry_after)
        self._stream_at = now + pause
        soon = backoff.between(0.0, min(_GAP_S, interval)) if was_streaming else 0.0
        if self._short_streams == 1:
            self._poll_at = min(self._poll_at, now + soon)
        else:
            self._poll_at = min(self._poll_at, now + backoff.regular(interval))

    def _without_stream(self) -> None:
        if self._health.link == "stream":
            self._health.link = "poll"
            self._reporter.linked("poll")

    # What is done beside it.

    def work(self) -> None:
        """Poll, report and write what is due. Also between two events of the stream, which interrupts it."""
        if self._stream is not None:
            self._stream.check()
        try:
            if monotonic() >= self._poll_at:
                self._poll()
            if self._reporter.due and (links := self._connector.links) is not None:
                self._report(links)
        except InterruptedByStreamError:
            self._interruptions += 1
        self._adoption.keep_if_due()

    def work_in(self) -> float:
        """Seconds until there is any of that to do."""
        due_in = self._poll_at - monotonic()
        if self._connector.links is not None:
            due_in = min(due_in, self._reporter.due_in)
        if self._stream is not None:
            due_in = min(due_in, self._stream.dead_in)
        return max(0.0, min(due_in, self._adoption.keep_in))

    def _poll(self) -> None:
        self._poll_at = monotonic() + backoff.regular(self._settings.poll_interval)
        key = ""
        try:
            links = self._connect()
            key = links.key
            current = self._adoption.current
            self._insist(links)
            etag = current.etag if current and not self._adoption.lacks_whole else None
            polled = links.side.snapshot(self._settings.service, etag)
            if polled.body is None:
                self._adoption.confirmed()
            else:
                self._adoption.whole(polled.body, polled.place)
        except InterruptedByStreamError:
            self._poll_at = monotonic() + min(_INTERRUPTED_S * 2.0 ** min(self._interruptions, 8), _GAP_S)
            raise
        except LinkError as error:
            self._poll_at = monotonic() + self._failed(error, key)
        except (SnapshotError, SettingsError) as error:
            if self._connector.links is not None:
                self._connector.links.side.close()  # behind the same address another server may know better
            self._poll_at = monotonic() + self._failed(LinkError(str(error), type(error).__name__), key)
        else:
            self._interruptions = 0
            self._polled(polled.age_s)
        finally:
            if self._adoption.current is not None:
                self._worker.ready.set()

    def _polled(self, age_s: float) -> None:
        if age_s >= DEAF_S and self._connector.links is not None:
            self._connector.links.side.close()  # behind the same address another server may know better
        elif self._streaming and self._stream_is_deaf:
            raise LinkError("the server of the stream has lost its store, and another one has not", "deaf")
        if not self._streaming:
            interval = self._settings.poll_interval
            self._well("poll", 1.2 * interval + self._settings.timeout + _REST_S, age_s)
        elif self._stream is not None and self._stream.is_behind:  # the server that was asked has not got it either
            self._poll_at = monotonic() + backoff.between(1.0, 3.0)
        else:
            self._poll_at = monotonic() + backoff.regular(_FLOOR_S)

    def _failed(self, error: LinkError, key: str) -> float:
        """Seconds until the next poll. While there is a stream, a poll that fails is no trouble."""
        interval = self._settings.poll_interval
        if error.refused and self._connector.has_other_key(key):
            return 0.0
        if self._streaming:
            return backoff.after_failure(3, interval, error.retry_after)
        self._health.ill(str(error), error.cause)
        if error.refused:
            return backoff.after_refusal(interval)
        return backoff.after_failure(self._health.failures, interval, error.retry_after)

    def _report(self, links: Links) -> None:
        self._insist(links)
        until_poll_s = max(_LEAST_FOR_REPORT_S, self._poll_at - monotonic())  # which is worth more
        try:
            answer = links.side.report(
                self._reporter.document(self._adoption.current), min(until_poll_s, self._settings.timeout)
            )
        except InterruptedByStreamError:
            self._reporter.interrupted()
            raise
        except LinkError as error:
            self._reporter.failed(error)
        else:
            self._interruptions = 0
            self._reporter.taken(answer)

    def _insist(self, links: Links) -> None:
        """What was interrupted again and again gets a moment to come to its end, or it would never be said."""
        if self._interruptions >= _MOST_INTERRUPTIONS:
            links.insist(_INSISTED_S)
            self._interruptions = 0

    def _leave(self) -> None:
        """A last word, if somebody listens and it is quickly said."""
        self._adoption.keep()
        links = self._connector.links
        if links is None or not self._reporter.may_be_known:
            return
        self._last_word = True
        document = self._reporter.document(self._adoption.current, leaving=True)
        try:
            links.side.report(document, total_s=_LAST_WORD_S)
        except (LinkError, InterruptedByStreamError):
            return

    def _well(self, link: str, good_for: float, age_s: float) -> None:
        self._health.link = link
        self._health.well(good_for, age_s)
        self._reporter.linked(link)
        self._worker.ready.set()

    def _connect(self) -> Links:
        """The links; at first, and where nothing is in force yet, also the last known good of their key."""
        if (links := self._connector.links) is not None:
            return links
        settings = self._settings
        links = self._connector.connect()
        if settings.cache_dir:
            self._adoption.use_cache(SnapshotCache(settings.cache_dir, settings.url, settings.service, links.key))
        return links

    def _abandon(self) -> None:
        """In a forked child: leave all to the parent. A greenlet lives on here, and does that when it wakes."""
        self._abandoned = True
        if not threads_are_greenlets():
            self.bell.close()
            self._connector.abandon()

    def _rest(self, seconds: float) -> None:
        wait_for((self.bell.fileno(),), min(seconds, self.look_in()))

    def go_on(self) -> None:
        """Raises if the thread has to end. In a child, where it may live on, it must not touch what is its parent's."""
        if self._abandoned or (self._worker.stopping and not self._last_word):
            raise StoppedError

    def look(self) -> None:
        """What the thread does in every wait of any kind. Raises to end it."""
        self.go_on()
        self.bell.hush()
        if self._last_word:
            return
        self._worker.attend()
        self._overrides.look_if_due()
        self._worker.look_at_file()

    def look_in(self) -> float:
        """Seconds until that is to be done again, if nobody rings before."""
        return min(_REST_S, self._overrides.due_in, self._worker.file_due_in())

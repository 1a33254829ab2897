"""The flags that a request or task has evaluated, in its log records: as the attribute `feature_flags`, a dict."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any, Final

from downhaul.integrations.recording import Recording, evaluated

KEY: Final = "downhaul.feature_flags"
"""Where a request keeps its recording (WSGI's environ, Django's META, an ASGI scope), for later logs."""

_installed = False


class FeatureFlags(logging.Filter):
    """Lets every record pass, with `feature_flags`: those of the request or task at hand, else of the record's own.

    Needed only where `install` was not called; or for records that are written when their request is over, which
    have it in `request`, as those of `django.request` do.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        flags = evaluated()
        if not flags:
            made = getattr(record, "feature_flags", None) or _of_request(getattr(record, "request", None))
            flags = dict(made) if isinstance(made, dict) else {}
        record.feature_flags = flags
        return True


def install() -> None:
    """From now on every log record of this process has `feature_flags`, empty outside of requests and tasks.

    By the factory of records, over the one that is there. Once is enough; more does no harm.
    """
    global _installed
    if _installed:
        return
    _installed = True
    make = logging.getLogRecordFactory()

    def make_with_flags(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.feature_flags = evaluated()
        return record

    logging.setLogRecordFactory(make_with_flags)


def add_feature_flags(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog: adds `feature_flags` to the events of a request or task that has evaluated any."""
    if flags := evaluated():
        event.setdefault("feature_flags", flags)
    return event


def _of_request(request: object) -> Recording | None:
    meta = getattr(request, "META", None)
    return meta.get(KEY) if isinstance(meta, dict) else None

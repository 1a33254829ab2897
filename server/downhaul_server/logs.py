"""Logs: one event a line, JSON or for people, our own and our libraries' alike. No line ever holds a token."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor

from downhaul_server.redaction import HIDDEN, hide
from downhaul_server.settings import Settings

QUIET = ("urllib3", "asyncio", "webargs")
"""Libraries that say little of use below a warning."""


def configure(settings: Settings) -> None:
    """Send every log record of this process to standard error. Idempotent; the last call wins."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    _install(_Formatter(settings, shared), settings.log_level)


class _Formatter(ProcessorFormatter):
    """structlog's, and then whatever looks like a token is hidden, wherever in the line it stands."""

    def __init__(self, settings: Settings, shared: list[Processor]) -> None:
        last: list[Any] = (
            [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
            if settings.log_format == "json"
            else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        )
        super().__init__(foreign_pre_chain=shared, processors=[ProcessorFormatter.remove_processors_meta, *last])
        self._secret = settings.admin_token

    def format(self, record: logging.LogRecord) -> str:
        line = hide(super().format(record))
        return line.replace(self._secret, HIDDEN) if self._secret else line


class _Handler(logging.StreamHandler[Any]):
    """Ours, so that configuring again finds it. Follows `sys.stderr`, which tests and supervisors replace."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _install(formatter: logging.Formatter, level: str) -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)
    handler = _Handler()
    handler.setFormatter(formatter)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)

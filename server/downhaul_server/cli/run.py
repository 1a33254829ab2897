"""`downhaul-server run`: the service, with a Redis of its own unless it was given one."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from downhaul_server import limits, logs
from downhaul_server.cli.failures import prepared_settings, told
from downhaul_server.listening import address_of, listen, url_of
from downhaul_server.settings import Settings
from downhaul_server.store import Embedded
from downhaul_server.supervise import Child, Supervisor

log = logging.getLogger(__name__)


@click.command()
@told
def run() -> None:
    """Run the service until SIGTERM or Control-C."""
    settings = prepared_settings()
    logs.configure(settings)
    with Supervisor() as supervisor:
        listener = start_server(supervisor, settings, os.environ)
        log.info("Downhaul listens at %s", url_of(listener))
        if not _token_was_set(settings):
            log.info("the admin token is in the file %s", settings.admin_token_file)
        supervisor.watch()


def start_server(supervisor: Supervisor, settings: Settings, environ: Mapping[str, str]) -> socket.socket:
    """Start Redis, unless there is one, and the web server; `environ` holds the settings.

    Gives the socket that it listens on. Raises ListenError, EmbeddedError.
    """
    if warning := limits.descriptor_warning(limits.raise_descriptor_limit()):
        log.warning("%s", warning)
    listener = listen(settings.host, settings.port)
    supervisor.close_at_end(listener)
    redis_url = settings.redis_url or supervisor.start_redis(Embedded(settings.data_dir))
    supervisor.start(_web_server(listener, redis_url, metrics_folder(settings.data_dir), environ))
    return listener


def metrics_folder(data_dir: Path) -> Path:
    """An empty folder in which the workers of one run share what they count."""
    folder = data_dir / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _web_server(listener: socket.socket, redis_url: str, metrics: Path, environ: Mapping[str, str]) -> Child:
    host, port = address_of(listener)
    told_by_us = {
        "DOWNHAUL_BIND": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "DOWNHAUL_REDIS_URL": redis_url,
        # Now that the URL is read, its file must not be named beside it.
        "DOWNHAUL_REDIS_URL_FILE": "",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }
    return Child(
        name="the web server",
        # -P: a file in the folder where somebody starts us must not take the place of a module.
        command=(sys.executable, "-P", "-m", "downhaul_server.serve", str(listener.fileno())),
        environ={**environ, **told_by_us},
        descriptors=(listener.fileno(),),
        reloads=True,
    )


def _token_was_set(settings: Settings) -> bool:
    return bool(os.environ.get("DOWNHAUL_ADMIN_TOKEN", "").strip() or os.environ.get("DOWNHAUL_ADMIN_TOKEN_FILE"))

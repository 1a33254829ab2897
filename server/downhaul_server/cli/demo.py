"""`downhaul-server demo`: the service, demonstration flags, and two microservices that use them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import click
from downhaul_demo import microservice
from downhaul_demo.banner import Addresses, banner
from downhaul_demo.private import token_file
from downhaul_demo.seed import Administrator, DemoError, sdk_key_file, seed

from downhaul_server import logs
from downhaul_server.cli.asking import answers
from downhaul_server.cli.failures import CommandFailed, prepared_settings, told
from downhaul_server.cli.run import start_server
from downhaul_server.listening import ListenError, listen, url_of
from downhaul_server.settings import Settings
from downhaul_server.supervise import Child, Supervisor

CHECKOUT_PORT = 8081
PAYMENTS_PORT = 8082
UP_TIMEOUT_S = 60.0
PAUSE_S = 0.1


@click.command()
@told
def demo() -> None:
    """Run the service with demonstration flags and two microservices, until Control-C."""
    # For eyes in a terminal, unless told otherwise.
    environ = {"DOWNHAUL_LOG_FORMAT": "console", "DOWNHAUL_LOG_LEVEL": "warning", **os.environ}
    settings = prepared_settings(environ)
    logs.configure(settings)
    with Supervisor() as supervisor:
        server = url_of(start_server(supervisor, settings, environ))
        _wait_until(supervisor, lambda: answers(f"{server}/readyz"), "the server is ready")
        checkout, payments = _microservices(supervisor, settings, server)
        _wait_until(supervisor, lambda: answers(checkout) and answers(payments), "the microservices answer")
        token = token_file(_folder(settings), settings.admin_token_file, settings.admin_token or "")
        click.echo(banner(Addresses(server, checkout, payments, token)))
        supervisor.watch()


def _microservices(supervisor: Supervisor, settings: Settings, server: str) -> tuple[str, str]:
    """Seed, make their keys, start them; gives the URLs of checkout and payments."""
    folder, environment = _folder(settings), settings.default_environment
    administrator = Administrator(server, settings.admin_token or "")
    try:
        seed(administrator, folder, environment)
        keys = {
            service: sdk_key_file(administrator, folder, service, environment) for service in ("payments", "checkout")
        }
    except DemoError as error:
        raise CommandFailed(f"the demonstration cannot be set up: {error}") from error
    finally:
        administrator.close()

    def start(service: str, port: int) -> str:
        listener = _listen_near(supervisor, settings.host, port)
        supervisor.start(
            Child(
                name=f"the demo microservice {service}",
                command=microservice.command(service, listener.fileno()),
                environ=microservice.environment(os.environ, service, server, keys[service], folder),
                descriptors=(listener.fileno(),),
            )
        )
        return url_of(listener)

    return start("checkout", CHECKOUT_PORT), start("payments", PAYMENTS_PORT)


def _listen_near(supervisor: Supervisor, host: str, port: int) -> socket.socket:
    """On this port, or on any free one."""
    try:
        listener = listen(host, port, patience_s=0)
    except ListenError:
        listener = listen(host, 0)
    supervisor.close_at_end(listener)
    return listener


def _folder(settings: Settings) -> Path:
    folder = settings.data_dir / "demo"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _wait_until(supervisor: Supervisor, condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + UP_TIMEOUT_S
    while not condition():
        supervisor.look()
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"waited {UP_TIMEOUT_S:.0f} s in vain until {what}; `downhaul-server check` may say why"
            )
        time.sleep(PAUSE_S)

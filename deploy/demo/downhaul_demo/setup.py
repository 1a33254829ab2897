"""Fill a running Downhaul with the demonstration's flags, and write the keys of its microservices into a folder.

`python -m downhaul_demo.setup FOLDER`, once before the microservices are started. It reads the server's own settings:
DOWNHAUL_ADMIN_TOKEN (or _FILE), DOWNHAUL_DEFAULT_ENVIRONMENT; and the SDK's DOWNHAUL_URL. Idempotent.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from downhaul_server.settings import Settings, SettingsError

from downhaul_demo.seed import Administrator, DemoError, sdk_key_file, seed

SERVICES = ("payments", "checkout")


def main(arguments: list[str], environ: Mapping[str, str] = os.environ) -> None:
    """Exits with 1 and a sentence when it cannot be done."""
    try:
        _set_up(arguments, environ)
    except (SettingsError, DemoError) as error:
        raise SystemExit(f"the demonstration cannot be set up: {error}") from error


def _set_up(arguments: list[str], environ: Mapping[str, str]) -> None:
    if len(arguments) != 1:
        raise DemoError("expected one argument, the folder for the keys")
    folder, url = Path(arguments[0]), environ.get("DOWNHAUL_URL", "").strip()
    settings = Settings.from_environment(environ)
    if not url or not settings.admin_token:
        raise DemoError("expected DOWNHAUL_URL, and DOWNHAUL_ADMIN_TOKEN or DOWNHAUL_ADMIN_TOKEN_FILE")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    administrator = Administrator(url, settings.admin_token)
    try:
        seed(administrator, folder, settings.default_environment)
        for service in SERVICES:
            print(f"the key of {service}: {sdk_key_file(administrator, folder, service, settings.default_environment)}")
    finally:
        administrator.close()


if __name__ == "__main__":
    main(sys.argv[1:])

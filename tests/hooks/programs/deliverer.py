"""One server process, as far as webhooks go: `deliverer.py REDIS-URL FOLDER`. Until its stdin ends."""

from __future__ import annotations

import sys
from ipaddress import ip_network
from pathlib import Path

from downhaul_server.services.container import Services
from downhaul_server.settings import Settings
from downhaul_server.store import Store

folder = Path(sys.argv[2])
folder.mkdir()
settings = Settings(data_dir=folder, admin_token="x", webhook_allow=(ip_network("127.0.0.0/8"),))
with Store.open(settings, redis_url=sys.argv[1]) as store:
    services = Services(store, settings)
    print("ready", flush=True)
    sys.stdin.read()

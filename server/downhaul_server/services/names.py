"""Keys, names and addresses: `new-checkout`, `checkout/new-checkout`, `flag/checkout/new-checkout`."""

from __future__ import annotations

import re

from downhaul_server.services.errors import Invalid

SERVICE_KEY = r"[a-z0-9][a-z0-9-]{0,62}"
ENVIRONMENT_KEY = SERVICE_KEY
FLAG_KEY = r"[a-z0-9][a-z0-9._-]{0,99}"
SEGMENT_KEY = FLAG_KEY
FLAG_NAME = rf"({SERVICE_KEY}/)?{FLAG_KEY}"
"""As `requires` and the selectors name a flag: `key`, or `service/key`."""

"""What a webhook is: its document, what a client may set of it, and what may be shown of it.

Document `hook/<id>`: `{id, name, url, format, events, services, environments, enabled, disabled, since, created_at,
created_by, updated_at}`. `disabled` is None or `{at, reason}` (the service gave it up, or was told to). Events after
revision `since` are delivered; it moves when a hook is switched on again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import product
from typing import Any
from urllib.parse import urlsplit

from downhaul_server.services.actors import ALL, Action, Actor, authorize
from downhaul_server.services.documents import READ_ONLY, check_fields
from downhaul_server.services.errors import Forbidden, Invalid
from downhaul_server.services.names import address
from downhaul_server.store import View

KIND = "hook"
FORMATS = ("standard", "slack", "teams")
FIELDS = ("name", "url", "format", "events", "services", "environments", "enabled")
"""What a client sets."""
DEFAULTS: Mapping[str, Any] = {
    "format": "standard",
    "events": ["flag.*"],
    "services": [ALL],
    "environments": [ALL],
    "enabled": True,
}
PATTERN = r"[a-z*][a-z.*_-]{0,63}"
"""Of an action in the log: `flag.kill`, `flag.*`, `*`."""
MOST_PATTERNS = 50
MOST_PLACES = 200
LONGEST_URL = 2000
LONGEST_NAME = 200
SENT_BACK = READ_ONLY | {"id", "created_by", "disabled", "since", "status"}
"""In answers; ignored when they are sent back."""

Body = Mapping[str, Any]


def complete(changes: Body, before: Body | None = None) -> dict[str, Any]:
    """What the client wants, on top of what there was, or of the defaults. Raises Invalid. Does not look at the URL."""
    check_fields(changes, {*FIELDS, *SENT_BACK})
    standing = before or DEFAULTS
    wanted = {name: changes.get(name, standing.get(name)) for name in FIELDS}
    # Null gives a member its default again.
    hook: dict[str, Any] = {name: DEFAULTS.get(name) if value is None else value for name, value in wanted.items()}
    faults = [((name,), message) for name, check in _CHECKS.items() if (message := check(hook[name]))]
    if faults:
        raise Invalid(faults)
    return hook | {name: list(dict.fromkeys(hook[name])) for name in ("events", "services", "environments")}


def check_places(view: View, hook: Body) -> None:
    """Raises Invalid for services and environments that are not there."""
    faults = [
        ((field, index), f"there is no {kind} {name}")
        for kind, field in (("service", "services"), ("environment", "environments"))
        for index, name in enumerate(hook[field])
        if name != ALL and view.get(address(kind, name)) is None
    ]
    if faults:
        raise Invalid(faults)


def check_reach(actor: Actor, hook: Body) -> None:
    """A hook tells of all that happens in its places: only who may have hooks there, may. Raises Forbidden."""
    for service, environment in product(hook["services"], hook["environments"]):
        authorize(actor, Action.HOOKS, service, environment)


def in_reach(actor: Actor, hook: Body) -> bool:
    """Whether `check_reach` would pass."""
    try:
        check_reach(actor, hook)
    except Forbidden:
        return False
    return True


def wants(hook: Body, action: str) -> bool:
    """Whether a hook is for this kind of event."""
    return any(fnmatchcase(action, pattern) for pattern in hook["events"])


def masked(url: str) -> str:
    """An address without its path, which for chat tools is a password; with a sign that tells two apart."""
    parts = urlsplit(url)
    if parts.path in ("", "/") and not parts.query:
        return url
    sign = hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{parts.scheme}://{parts.netloc}/...{sign}"


def shown(hook: Body) -> dict[str, Any]:
    """A hook as the log shows it."""
    return {**hook, "url": masked(str(hook["url"]))}


def _name(value: Any) -> str | None:
    sane = isinstance(value, str) and 0 < len(value) <= LONGEST_NAME
    return None if sane else f"expected a text of 1 to {LONGEST_NAME} characters"


def _url(value: Any) -> str | None:
    sane = isinstance(value, str) and 0 < len(value) <= LONGEST_URL
    return None if sane else f"expected an address of at most {LONGEST_URL} characters"


def _format(value: Any) -> str | None:
    return None if value in FORMATS else f"expected one of {', '.join(FORMATS)}"


def _events(value: Any) -> str | None:
    if _is_list(value, MOST_PATTERNS) and all(re.fullmatch(PATTERN, each) for each in value):
        return None
    return f"expected 1 to {MOST_PATTERNS} actions, such as flag.kill, flag.* or *"


def _places(value: Any) -> str | None:
    return None if _is_list(value, MOST_PLACES) else f"expected 1 to {MOST_PLACES} keys, or *"


def _enabled(value: Any) -> str | None:
    return None if isinstance(value, bool) else "expected true or false"


def _is_list(value: Any, most: int) -> bool:
    return isinstance(value, (list, tuple)) and 0 < len(value) <= most and all(isinstance(each, str) for each in value)


_CHECKS = {
    "name": _name,
    "url": _url,
    "format": _format,
    "events": _events,
    "services": _places,
    "environments": _places,
    "enabled": _enabled,
}

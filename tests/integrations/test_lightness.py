"""Nothing is imported that the program has not."""

from __future__ import annotations

import subprocess
import sys

import pytest

FOREIGN = {
    "flask", "jinja2", "django", "asgiref", "starlette", "fastapi", "litestar", "celery", "rq", "redis",
    "opentelemetry.trace", "sentry_sdk", "structlog",
}  # fmt: skip


def run(code: str) -> set[str]:
    """The modules that are loaded at its end."""
    code = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import downhaul.flags", set()),
        (
            "from downhaul.integrations.asgi import DownhaulMiddleware\nfrom downhaul import flags\n"
            "DownhaulMiddleware(None)\nflags.enabled('x')",
            set(),
        ),
        ("from downhaul.integrations.flask import Downhaul", {"flask", "jinja2"}),
        (
            "import opentelemetry.trace, downhaul.flags\nfrom downhaul.integrations.asgi import DownhaulMiddleware\n"
            "DownhaulMiddleware(None)\ndownhaul.flags.enabled('x')",
            {"opentelemetry.trace"},
        ),
    ],
)
def test_an_integration_loads_its_framework_alone(code: str, loaded: set[str]) -> None:
    found = run(code)
    assert found & FOREIGN == loaded
    assert ("downhaul.integrations.opentelemetry" in found) == ("opentelemetry.trace" in loaded)
    if code == "import downhaul.flags":
        assert not [name for name in found if name.startswith("downhaul.integrations")]


def test_a_library_that_is_too_old_is_left_alone() -> None:
    found = run(
        "from types import ModuleType\nsys.modules['sentry_sdk'] = ModuleType('sentry_sdk')\n"
        "from downhaul.integrations.asgi import DownhaulMiddleware\nfrom downhaul import flags\n"
        "DownhaulMiddleware(None)\nassert flags.enabled('x', True) is True\nassert flags.enabled('x', True) is True"
    )
    assert "downhaul.integrations.sentry" not in found

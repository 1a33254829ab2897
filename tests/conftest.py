"""What every test gets."""

from __future__ import annotations

from support import quick_routes

quick_routes.remember()

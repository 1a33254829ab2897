"""The pages that are lists of something, with a form for one more of it."""

from __future__ import annotations

from downhaul_server.services.container import Services
from downhaul_server.settings import Settings
from flask import Blueprint

from downhaul_admin.lists import environments, hooks, keys, links, reviews, segments, services, stale


def add(pages: Blueprint, wired: Services, settings: Settings) -> None:
    """All of them."""
    for module in (services, environments, segments, keys, links, hooks, reviews, stale):
        module.add(pages, wired, settings)

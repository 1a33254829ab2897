"""The environment view: which flags are on, partly on, killed or stale, how the fleets are, and what changed last."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlencode

from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.overview import WORDS, Row
from downhaul_server.services.words import state_sentence
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import gate
from downhaul_admin.changes import latest
from downhaul_admin.flagview import segment_names
from downhaul_admin.pages import environment_of, page

SHOWN = 100
LAST_CHANGES = 8


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """`/`."""

    @pages.get("/")
    @gate.person
    def home(actor: Actor) -> Response:
        environment = environment_of(actor)
        query, word = request.args.get("q", "").strip(), request.args.get("state", "")
        rows = services.overview.flags(actor, environment, query=query)
        counts = Counter(row.word for row in rows)
        stale = set(services.staleness.names(actor, environment))
        counts["stale"] = sum((row.service, row.flag) in stale for row in rows)
        chosen = [row for row in rows if _chosen(row, word, stale)]
        first = max(request.args.get("from", 0, type=int), 0)
        names = segment_names(services, actor)
        return page(
            "downhaul_admin/home.html",
            actor,
            query=query,
            word=word,
            counts=[(name, counts[name]) for name in (*WORDS, "stale")],
            total=len(rows),
            found=len(chosen),
            first=first,
            last=min(first + SHOWN, len(chosen)),
            rows=[_shown(row, stale, names) for row in chosen[first : first + SHOWN]],
            more=more_of(first, len(chosen)),
            fleets=_fleets(services, actor, environment),
            changes=latest(services, actor, LAST_CHANGES, environment=environment),
            url=request.host_url.rstrip("/"),
        )


def _shown(row: Row, stale: set[tuple[str, str]], segments: dict[str, str]) -> dict[str, Any]:
    """A row as templates take it."""
    body = row.document.body
    return {
        "service": row.service,
        "flag": row.flag,
        "id": f"{row.service}--{row.flag}",
        "path": f"/services/{row.service}/flags/{row.flag}",
        "word": row.word,
        "stale": (row.service, row.flag) in stale,
        "sentence": state_sentence(body, row.state, segments),
        "owner": body["owner"],
        "changed_at": row.changed_at,
    }


def _chosen(row: Row, word: str, stale: set[tuple[str, str]]) -> bool:
    return not word or row.word == word or (word == "stale" and (row.service, row.flag) in stale)


def more_of(first: int, found: int) -> dict[str, str | None]:
    """The addresses of the pages of a long list before and after this one."""

    def path(start: int) -> str:
        kept = {name: value for name, value in request.args.items() if name != "from"}
        return f"{request.path}?{urlencode(kept | {'from': start})}"

    return {
        "before": path(max(first - SHOWN, 0)) if first else None,
        "after": path(first + SHOWN) if first + SHOWN < found else None,
    }


def _fleets(services: Services, actor: Actor, environment: str) -> list[dict[str, Any]]:
    """Those in trouble first; services of which nobody is there come last."""
    counts = services.overview.fleets(actor, environment)
    known = services.catalog.list_services(actor, limit=500).items
    items = [{"service": item["key"], "name": item["name"], "counts": counts.get(item["key"])} for item in known]
    return sorted(items, key=lambda item: (item["counts"] is None, not (item["counts"] and item["counts"].deaf)))

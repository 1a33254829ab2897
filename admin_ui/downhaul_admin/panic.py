"""`/kill`: many flags at once, with one thumb. Chosen by name, service, tag, or because they were changed just now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from downhaul_server.services.actors import Action, Actor, authorize
from downhaul_server.services.container import Services
from downhaul_server.services.documents import timestamp
from downhaul_server.services.errors import Invalid, NotFound, OperationConflict, ServiceError, Unavailable
from downhaul_server.services.overview import Row
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import forms, gate, obeying
from downhaul_admin.killpages import environment, path
from downhaul_admin.pages import page, places_of, see_other

SHOWN = 50
RECENT = timedelta(minutes=30)
MOST_AT_ONCE = 10_000
MOST_TAGS = 30
MOST_NAMED = 200
MOST_SERVICES = 50
"""That an address names; of more, the log says which were touched."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the filters say."""

    query: str
    service: str
    tag: str
    recent: bool

    @classmethod
    def sent(cls) -> Choice:
        """With the request: in its address, or in its form."""
        given = {name: request.values.get(name, "").strip() for name in ("q", "service", "tag", "recent")}
        return cls(given["q"], given["service"], given["tag"], bool(given["recent"]))

    def takes(self, row: Row, since: str) -> bool:
        """Whether a flag is among them."""
        return (
            (not self.service or row.service == self.service)
            and (not self.tag or self.tag in row.document.body["tags"])
            and (not self.recent or row.changed_at >= since)
        )

    def as_query(self, **changes: Any) -> str:
        """For an address."""
        values = {"q": self.query, "service": self.service, "tag": self.tag, "recent": "1" if self.recent else ""}
        return urlencode({name: value for name, value in (values | changes).items() if value})

    @property
    def in_words(self) -> str:
        """What all of them have in common; nothing: they are all there are."""
        parts = [
            self.query and f"with “{self.query}”",
            self.service and f"of {self.service}",
            self.tag and f"tagged {self.tag}",
            "changed in the last 30 minutes" if self.recent else "",
        ]
        return ", ".join(filter(None, parts))


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """`/kill`, its one confirmation, and how far it has come."""

    @pages.get("/kill")
    @gate.person
    def panic(actor: Actor) -> Response:
        return _panic(services, actor)

    @pages.get("/kill/confirm")
    @gate.person
    def nothing_chosen(actor: Actor) -> Response:
        return see_other("/kill")

    @pages.post("/kill/confirm")
    @gate.person
    def confirm_many(actor: Actor) -> Response:
        place = environment(actor)
        if request.form.get("all"):
            names = [_name(row) for row in _found(services, actor, place, Choice.sent()) if row.word != "killed"]
        else:
            names = request.form.getlist("flag")
        if not names:
            return _panic(services, actor, error=Invalid.at(message="choose at least one flag that is not killed yet"))
        return _confirm(services, actor, place, names[:MOST_AT_ONCE])

    @pages.post("/kill")
    @gate.person
    def kill_many(actor: Actor) -> Response:
        place, reason, names = environment(actor), forms.text("reason"), forms.words("flags")[:MOST_AT_ONCE]
        if not names:
            return _panic(services, actor, error=Invalid.at(message="choose at least one flag"))
        try:
            try:
                done = services.kill.kill_many(
                    actor, environment=place, flags=names, reason=reason, operation=forms.operation()
                )
            except OperationConflict:
                done = services.kill.kill_many(actor, environment=place, flags=names, reason=reason)
        except Unavailable as error:
            return _confirm(services, actor, place, names, error=error)
        touched = sorted({name.partition("/")[0] for name in done.flags})
        more = {"services": ",".join(touched)} if len(touched) <= MOST_SERVICES else {}
        gone = len(done.not_found)
        note = f"{gone} of them {'was' if gone == 1 else 'were'} not there any more." if gone else ""
        return see_other(f"/kill/{done.revision}?{urlencode({'environment': place, **more})}", note=note)

    @pages.get("/kill/<int:revision>")
    @gate.person
    def many_killed(actor: Actor, revision: int) -> Response:
        place = environment(actor)
        touched = [name for name in request.args.get("services", "").split(",") if name][:MOST_SERVICES]
        found = obeying.watch(services, actor, revision, place, touched)
        entry = _entry(services, actor, revision)
        named = [each for each in entry["documents"] if each["kind"] == "flag"] if entry else []
        return page(
            "downhaul_admin/kill/many_progress.html",
            actor,
            place=place,
            obeying=found,
            entry=entry,
            flags=[(f"{each['service']}/{each['key']}", path(each["service"], each["key"])) for each in named][
                :MOST_NAMED
            ],
            total=len(named),
        )


def _panic(services: Services, actor: Actor, *, error: ServiceError | None = None) -> Response:
    there = places_of(actor)[1]
    place = environment(actor)
    authorize(actor, Action.KILL, environment=place)
    choice = Choice.sent()
    everything = _reached(services, actor, place)
    found = _chosen(services, actor, place, choice, everything)
    first = max(request.args.get("from", 0, type=int), 0)
    since = _since()
    return page(
        "downhaul_admin/kill/panic.html",
        actor,
        status=forms.status_of(error),
        place=place,
        places=[
            name
            for name in there
            if any(grant.allows(Action.KILL) and grant.covers(None, name) for grant in actor.grants)
        ],
        choice=choice,
        rows=[_row(row) for row in found[first : first + SHOWN]],
        found=len(found),
        alive=sum(row.word != "killed" for row in found),
        recent=sum(row.changed_at >= since for row in everything),
        services=sorted({row.service for row in everything}),
        tags=_tags(everything),
        before=choice.as_query(**{"from": max(first - SHOWN, 0) or "", "environment": place}) if first else None,
        after=choice.as_query(**{"from": first + SHOWN, "environment": place}) if first + SHOWN < len(found) else None,
        first=first,
        errors=forms.errors(error),
    )


def _confirm(
    services: Services, actor: Actor, place: str, names: Sequence[str], *, error: ServiceError | None = None
) -> Response:
    authorize(actor, Action.KILL, environment=place)
    there = {_name(row): row for row in _reached(services, actor, place)}
    rows = [there[name] for name in dict.fromkeys(names) if name in there]
    if not rows:
        raise NotFound("flag", "that was chosen")
    touched = [(name, services.overview.fleet(actor, name, place)) for name in sorted({row.service for row in rows})]
    return page(
        "downhaul_admin/kill/confirm_many.html",
        actor,
        status=forms.status_of(error),
        live=False,
        place=place,
        rows=[_row(row) for row in rows[:MOST_NAMED]],
        names=" ".join(_name(row) for row in rows),
        total=len(rows),
        killed=sum(row.word == "killed" for row in rows),
        touched=touched,
        processes_number=sum(counts.live + counts.silent for _, counts in touched),
        silent=sum(counts.silent for _, counts in touched),
        errors=forms.errors(error),
        reason=request.form.get("reason", ""),
        operation=forms.operation(),
    )


def _reached(services: Services, actor: Actor, place: str) -> list[Row]:
    """All that the actor may kill there: last changed first, and what is killed already at the end."""
    may: dict[str, bool] = {}
    rows = []
    for row in services.overview.flags(actor, place):
        if row.service not in may:
            may[row.service] = actor.reaches(row.service, place, Action.KILL)
        if may[row.service]:
            rows.append(row)
    return sorted(rows, key=lambda row: row.word == "killed")


def _found(services: Services, actor: Actor, place: str, choice: Choice) -> list[Row]:
    return _chosen(services, actor, place, choice, _reached(services, actor, place))


def _chosen(services: Services, actor: Actor, place: str, choice: Choice, rows: list[Row]) -> list[Row]:
    since = _since()
    named = None
    if choice.query:
        named = {_name(row) for row in services.overview.flags(actor, place, query=choice.query)}
    return [row for row in rows if choice.takes(row, since) and (named is None or _name(row) in named)]


def _since() -> str:
    return timestamp(datetime.now(UTC) - RECENT)


def _name(row: Row) -> str:
    return f"{row.service}/{row.flag}"


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": _name(row),
        "service": row.service,
        "flag": row.flag,
        "id": f"{row.service}--{row.flag}",
        "path": path(row.service, row.flag),
        "word": row.word,
        "description": row.document.body["description"],
        "changed_at": row.changed_at,
    }


def _tags(rows: list[Row]) -> list[str]:
    """The most used ones, in the order of their names."""
    counts = Counter(tag for row in rows for tag in row.document.body["tags"])
    return sorted(tag for tag, _ in counts.most_common(MOST_TAGS))


def _entry(services: Services, actor: Actor, revision: int) -> dict[str, Any] | None:
    try:
        return services.history.entry(actor, revision)
    except (NotFound, Unavailable):
        return None

"""The pages for tests, without a browser: an app on a fake Redis, and visitors who are logged in by real sessions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from downhaul_server import browsers
from downhaul_server.app import create_app
from downhaul_server.services.actors import ALL, Actor
from downhaul_server.services.container import Services
from downhaul_server.services.session_holders import person_actor
from downhaul_server.settings import Settings
from downhaul_server.store import Store
from flask import Flask
from support.redis import FakeRedis, RealRedis
from support.services import quick_services
from werkzeug.test import TestResponse

ADMIN_TOKEN = "dh_admin_the-administrator-of-the-pages"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class Browserless:
    """One visitor, with the cookies of one browser. `by` makes another visitor of the same server."""

    def __init__(self, app: Flask, services: Services, store: Store, host: str = "localhost") -> None:
        self.app = app
        self.services = services
        self.store = store
        self.host = host
        self.client = app.test_client()
        self.actor: Actor | None = None
        """Who is logged in."""

    def by(self, role: str, **options: Any) -> Browserless:
        """Another visitor, logged in."""
        return Browserless(self.app, self.services, self.store).sign_in(role, **options)

    def stranger(self, host: str = "localhost") -> Browserless:
        """Another visitor, who is not logged in; `host` is what their browser's address bar says."""
        return Browserless(self.app, self.services, self.store, host)

    def sign_in(
        self,
        role: str = "editor",
        *,
        name: str | None = None,
        services: Sequence[str] = (ALL,),
        environments: Sequence[str] = (ALL,),
    ) -> Browserless:
        """Log in as a person with this role there; `role="bootstrap"`: as the first administrator."""
        actor = self.bootstrap if role == "bootstrap" else self._person(role, name or role, services, environments)
        self.actor = actor
        self.wear(self.services.sessions.start(actor, address="127.0.0.1", agent="tests"))
        return self

    def wear(self, session_id: str, name: str = browsers.SECURE_COOKIE) -> None:
        """Hold this session's cookie."""
        self.client.set_cookie(name, session_id, domain=self.host.partition(":")[0])

    @property
    def session(self) -> str | None:
        """The id in the cookie."""
        cookie = self.client.get_cookie(browsers.SECURE_COOKIE, domain=self.host.partition(":")[0])
        return cookie.value if cookie else None

    def get(self, path: str, **headers: str) -> TestResponse:
        """`headers` are written as Python writes them: `hx_request="true"`."""
        return self.client.get(path, headers=_headers(headers), base_url=f"http://{self.host}")

    def post(
        self,
        path: str,
        form: Mapping[str, Any] | None = None,
        *,
        origin: Mapping[str, str] = SAME_ORIGIN,
        **headers: str,
    ) -> TestResponse:
        """Send a form of our own page; `origin` are the headers by which a browser says so."""
        return self.client.post(
            path, data=form or {}, headers={**origin, **_headers(headers)}, base_url=f"http://{self.host}"
        )

    @property
    def bootstrap(self) -> Actor:
        """The first administrator, for whatever a test needs to be there."""
        actor = self.services.authenticate(ADMIN_TOKEN)
        assert isinstance(actor, Actor)
        return actor

    def _person(self, role: str, login: str, services: Sequence[str], environments: Sequence[str]) -> Actor:
        """Whoever has this login; made when they are not there."""
        granted = {"role": role, "services": [*services], "environments": [*environments]}
        found = {person["login"]: person for person in self.services.people.list(self.bootstrap).items}
        if login not in found:
            self.services.people.create(self.bootstrap, {"login": login, "grants": [granted]})
        actor = next(
            person_actor(document.body)
            for document in self.store.view.of_kind("person/")
            if document.body["login"] == login
        )
        assert actor is not None
        return actor


@contextmanager
def open_pages(redis: FakeRedis | RealRedis, data_dir: Path, **settings: Any) -> Iterator[Browserless]:
    """A visitor of a server that was just installed, not logged in."""
    data_dir.mkdir(exist_ok=True)
    chosen = Settings(data_dir=data_dir, admin_token=ADMIN_TOKEN, **settings)
    with Store.open(chosen, connections=redis.connections()) as store:
        services = quick_services(store, chosen)
        yield Browserless(create_app(services, chosen), services, store)


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}

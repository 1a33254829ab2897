"""Flags in a Flask application: `Downhaul(app, context=...)`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

import flask

from downhaul.client import Client
from downhaul.integrations import jinja
from downhaul.integrations.logs import KEY
from downhaul.integrations.scopes import Context, Scope, Scopes
from downhaul.integrations.streams import within
from downhaul.settings import Settings

_SCOPE: Final = "downhaul.scope"


class Downhaul:
    """Sets the context of each request, gives templates `flag` and `flag_value`, records what was evaluated.

    The attributes of a request are what `context(request)` returns, asked at its first evaluation: functions that run
    before the view have run. `frozen`: one view of the flags from the beginning of a request to its end.
    `record=False`: logs and traces tell no flags, and `enabled` costs as little as without the extension.

    Settings of the SDK may be in `app.config`, by the names of their environment variables.
    """

    def __init__(
        self,
        app: flask.Flask | None = None,
        *,
        context: Context | None = None,
        client: Client | None = None,
        frozen: bool = False,
        record: bool = True,
    ) -> None:
        """Raises TypeError where `context` is a coroutine function: Flask has nobody to wait for it."""
        self._scopes = Scopes(context, client, frozen=frozen, record=record, wait=False)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Raises SettingsError for a wrong setting in `app.config`."""
        client = self._scopes.client
        if settings := _settings(app):
            client.configure(**settings)
        app.extensions["downhaul"] = self
        app.before_request(self._begin)
        app.after_request(self._answered)
        app.teardown_request(self._end)
        jinja.install(app.jinja_env, client)

    def _begin(self) -> None:
        scope = self._scopes.around(flask.request._get_current_object())  # type: ignore[attr-defined]
        scope.__enter__()
        flask.request.environ.update({_SCOPE: scope, KEY: scope.recording})

    def _answered(self, response: flask.Response) -> flask.Response:
        scope: Scope | None = flask.request.environ.get(_SCOPE)
        if scope is not None and response.is_streamed and not response.direct_passthrough:
            response.response = within(scope.after(), cast(Iterable[bytes], response.response))
        return response

    def _end(self, error: BaseException | None) -> None:
        scope: Scope | None = flask.request.environ.pop(_SCOPE, None)
        if scope is not None:  # an earlier function may have answered the request
            scope.__exit__(None, None, None)


def _settings(app: flask.Flask) -> Any:
    names = {name: f"DOWNHAUL_{name.upper()}" for name in Settings._fields}
    return {name: app.config[key] for name, key in names.items() if app.config.get(key) is not None}

"""The HTTP API as the commands see it. The only user of `requests` in this room.

Every request has time limits, and every write an `Idempotency-Key`: so each request may be sent a second time when
its connection fails, and a kill that is sent twice is one kill.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import requests

from downhaul import __version__
from downhaul.cli.connection import Connection
from downhaul.cli.problems import foreign_answer, incomplete_answer, refused, unreachable

TIMEOUT_S = (5.0, 20.0)
"""To connect, and between two pieces of the answer."""
JSON_LINES = "application/x-ndjson"
LINES_AT_ONCE = 64 * 1024
PAGE = 500
"""The largest page that the API gives."""


class Document(dict[str, Any]):
    """An object of an answer, at any depth. Asking for a member that is not there raises CliError: what answered is
    another program, or another version of the service."""

    def __missing__(self, name: str) -> Any:
        raise incomplete_answer(name)


@dataclass(frozen=True, slots=True)
class Listing:
    """The items of a list, and whether there are more than were asked for."""

    items: list[dict[str, Any]]
    more: bool = False
    about: Mapping[str, Any] = field(default_factory=Document)
    """What the last page says beside its items."""


class Api:
    """One service, spoken to with one token. Paths are given in parts, each escaped. Every method raises CliError."""

    def __init__(self, connection: Connection) -> None:
        self._base = f"{connection.url}/api/v1"
        self._url = connection.url
        self._session = requests.Session()
        self._session.auth = _Bearer(connection.token)
        self._session.headers.update({"Accept": "application/json", "User-Agent": f"downhaul-cli/{__version__}"})

    def get(self, *path: str, within: float | None = None, **query: str | int | None) -> Any:
        """The document. `within`: seconds for the answer to come, if not as many as usual."""
        return self._send("GET", path, params=query, within=within)

    def list(self, *path: str, limit: int | None = None, **query: str | None) -> Listing:
        """All items, page after page; or the first `limit` of them."""
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while limit is None or len(items) < limit:
            wanted = PAGE if limit is None else min(PAGE, limit - len(items))
            page = self._send("GET", path, params={**query, "limit": wanted, "cursor": cursor})
            items += page["items"]
            cursor = page["next"]
            if cursor is None:
                return Listing(items, about=page)
        return Listing(items, more=True, about=page)

    def lines(self, *path: str, **query: str | int | None) -> Iterator[str]:
        """The lines of an answer that may be very long, as they come. What is no answer of ours raises before them."""
        request = requests.Request("GET", self._address(path), params=query)
        try:
            with self._once(self._session.prepare_request(request), None, stream=True) as response:
                if response.headers.get("Content-Type") != JSON_LINES:
                    self._read(response)
                    raise foreign_answer(self._url, None)
                for line in response.iter_lines(LINES_AT_ONCE):
                    yield line.decode("utf-8")
        except requests.RequestException as error:
            raise unreachable(self._url, [error], wrote=False) from None

    def post(
        self,
        *path: str,
        body: Mapping[str, Any] | None = None,
        version: int | None = None,
        operation: str | None = None,
        within: float | None = None,
        **query: str | None,
    ) -> Any:
        """The answer; refused when the document is not at `version`.

        `operation`: what is sent again with the same one is done once. `within`: seconds for the answer to come, if
        not as many as usual.
        """
        content = {} if body is None else body
        return self._send("POST", path, params=query, body=content, version=version, operation=operation, within=within)

    def put(self, *path: str, body: Mapping[str, Any], version: int | None = None, **query: str | int | None) -> Any:
        """The document as it is now; refused when it is not at `version` before."""
        return self._send("PUT", path, body=body, version=version, params=query)

    def patch(self, *path: str, body: Mapping[str, Any], version: int | None = None, **query: str | int | None) -> Any:
        """The document as it is now; refused when it is not at `version` before."""
        return self._send("PATCH", path, body=body, version=version, params=query)

    def delete(self, *path: str, version: int | None = None, **query: str | int | None) -> Any:
        """The answer, if there is one; refused when it is not at `version`."""
        return self._send("DELETE", path, version=version, params=query)

    def _send(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        params: Mapping[str, str | int | None] | None = None,
        body: Mapping[str, Any] | None = None,
        version: int | None = None,
        operation: str | None = None,
        within: float | None = None,
    ) -> Any:
        headers = {} if method == "GET" else {"Idempotency-Key": operation or new_operation()}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        request = requests.Request(method, self._address(path), headers=headers, params=params, json=body)
        return self._read(self._twice(self._session.prepare_request(request), within))

    def _address(self, path: tuple[str, ...]) -> str:
        return "/".join([self._base, *(quote(part, safe="") for part in path)])

    def _twice(self, request: requests.PreparedRequest, within: float | None) -> requests.Response:
        """Send it, and once more when the connection failed: to the service it is the same operation."""
        failures: list[Exception] = []
        for _ in range(2):
            try:
                return self._once(request, within)
            except requests.RequestException as error:
                failures.append(error)
                if not _may_pass(error):
                    break
        raise unreachable(self._url, failures, wrote=request.method != "GET") from None

    def _once(
        self, request: requests.PreparedRequest, within: float | None, *, stream: bool = False
    ) -> requests.Response:
        settings = self._session.merge_environment_settings(request.url or "", {}, stream, None, None)
        connect, read = TIMEOUT_S
        timeout = (connect, read) if within is None else (min(connect, within), within)
        # A redirect would turn a POST into a GET, and a kill that was not made would look like one that was.
        return self._session.send(request, timeout=timeout, allow_redirects=False, **settings)

    def _read(self, response: requests.Response) -> Any:
        if response.status_code == requests.codes.no_content:
            return None
        if not response.ok:
            raise refused(self._url, response.status_code, _json(response))
        document = _json(response) if response.status_code < 300 else None
        if not isinstance(document, dict):
            raise foreign_answer(self._url, response.headers.get("Location"))
        return document


def new_operation() -> str:
    """An `Idempotency-Key`."""
    return str(uuid4())


class _Bearer(requests.auth.AuthBase):
    """The token, as an `auth`: a plain header would give way to what `~/.netrc` says about the host."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _may_pass(error: Exception) -> bool:
    lost = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, lost) and not isinstance(error, requests.exceptions.SSLError)


def _json(response: requests.Response) -> Any:
    try:
        return response.json(object_hook=Document)
    except ValueError:
        return None

"""From a request to the data that a view gets: strict JSON, a strict query string, and every fault with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import flask
import marshmallow
from webargs.core import missing
from webargs.flaskparser import FlaskParser

from downhaul_server.api import problems
from downhaul_server.api.problems import Path, ProblemError
from downhaul_server.services import strict_json

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


class Parser(FlaskParser):
    """webargs, made strict. Its errors are ProblemErrors."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {"json": marshmallow.RAISE, "query": marshmallow.RAISE}  # noqa: RUF012

    def load_json(self, req: flask.Request, schema: marshmallow.Schema) -> Any:
        """The body's value; none at all where there is no body."""
        raw = req.get_data(cache=True)
        if not raw:
            return missing
        _demand_json(req)
        try:
            return strict_json.loads(raw)
        except strict_json.MalformedError as error:
            raise ProblemError(problems.MALFORMED_JSON, str(error)) from None

    def load_querystring(self, req: flask.Request, schema: marshmallow.Schema) -> Any:
        """Each parameter once; `tag=a&tag=b` is refused rather than half ignored."""
        query = dict(req.args.lists())
        repeated = [name for name, values in query.items() if len(values) > 1]
        if repeated:
            raise _invalid([problems.in_query((name,), "expected once, not repeatedly") for name in repeated])
        return {name: values[0] for name, values in query.items()}

    def handle_error(self, error: marshmallow.ValidationError, *args: Any, **kwargs: Any) -> NoReturn:
        """Every fault that the schema has found."""
        ((location, messages),) = error.normalized_messages().items()  # type: ignore[no-untyped-call]
        locate = problems.in_query if location == "query" else problems.in_body
        raise _invalid([locate(path, detail) for path, detail in flatten(messages)])


def flatten(messages: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """marshmallow's nested messages as (path, sentence) pairs."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            # `_schema` is marshmallow's name for "the whole".
            yield from flatten(inner, path if name == marshmallow.exceptions.SCHEMA else (*path, name))
    else:
        yield from ((path, str(message)) for message in messages)


def _invalid(errors: list[dict[str, str]]) -> ProblemError:
    first = errors[0]
    place = first["parameter"] if "parameter" in first else first["pointer"]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ProblemError(problems.INVALID, f"{place}: {first['detail']}{more}", errors=errors)


def _demand_json(req: flask.Request) -> None:
    accepted = (JSON, MERGE_PATCH) if req.method == "PATCH" else (JSON,)
    if req.mimetype not in accepted:
        said = f"not {req.mimetype}" if req.mimetype else "there is none"
        header = "Accept-Patch" if req.method == "PATCH" else "Accept"
        raise ProblemError(
            problems.UNSUPPORTED_MEDIA_TYPE,
            f"expected the header `Content-Type: {JSON}`, {said}",
            headers={header: ", ".join(accepted)},
        )

"""What schemathesis calls: the app of a test module, which is there once its first test has begun."""

from __future__ import annotations

from typing import Any

import schemathesis


class UnderTest:
    """A WSGI application that stands for `app`."""

    app: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)

    def schema(self, document: dict[str, Any], config: dict[str, Any]) -> Any:
        """Of a document, to be asked for tests while there is no app yet."""
        found = schemathesis.openapi.from_dict(document, config=schemathesis.Config.from_dict(config))
        found.app = self
        return found

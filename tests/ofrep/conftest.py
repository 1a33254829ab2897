"""One app for each file: what a test changes, it has made itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.ofrep import Asked, open_asked


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with open_asked(tmp_path_factory.mktemp("data")) as found:
        yield found

"""A webhook's secret in a line of the server's log is hidden, however it came there."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from downhaul_server import logs
from downhaul_server.settings import Settings


def test_a_secret_in_a_line_is_hidden(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    logs.configure(Settings(data_dir=tmp_path))
    logging.getLogger("anybody").warning("signing with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+/= failed")

    assert "signing with whsec_[hidden] failed" in capsys.readouterr().err

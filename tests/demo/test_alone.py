"""The parts of the demonstration by themselves, as containers run them: what is wrong is one sentence. That they work
is in tests/deploy/test_container.py, beside the services that they need."""

from __future__ import annotations

import subprocess
import sys

import pytest
from downhaul_demo import microservice, setup

TOKEN = {"DOWNHAUL_ADMIN_TOKEN": "a-token-of-the-tests-for-the-administrator"}
NOBODY = {"DOWNHAUL_URL": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        ([], TOKEN | NOBODY, "expected one argument, the folder for the keys"),
        (["keys"], TOKEN, "expected DOWNHAUL_URL"),
        (["keys"], NOBODY, "expected DOWNHAUL_URL, and DOWNHAUL_ADMIN_TOKEN"),
        (["keys"], NOBODY | {"DOWNHAUL_ADMIN_TOKEN_FILE": "/nowhere"}, "DOWNHAUL_ADMIN_TOKEN_FILE: expected a file"),
        (["keys"], TOKEN | NOBODY, "the server does not answer GET status"),
    ],
)
def test_what_the_set_up_lacks_is_one_sentence(
    arguments: list[str],
    environ: dict[str, str],
    said: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    with pytest.raises(SystemExit) as ended:
        setup.main(arguments, environ)
    assert str(ended.value).startswith("the demonstration cannot be set up: ") and said in str(ended.value)


@pytest.mark.parametrize("arguments", [[], ["checkout"], ["search", "0.0.0.0:8081"], ["checkout", ":8081", "more"]])
def test_a_microservice_that_there_is_not_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="expected one of checkout, payments, and an address"):
        microservice.main(arguments)


def test_a_refusal_is_told_on_stderr_and_by_the_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "downhaul_demo.microservice"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("expected one of") and "Traceback" not in done.stderr

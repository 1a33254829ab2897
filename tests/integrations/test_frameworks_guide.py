"""docs/frameworks.md, by copy and paste: every block of code is run, and does what the text around it says."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
import requests
from downhaul.flags import client
from downhaul.testing import IsolatedFlags
from support.guides import blocks
from support.house import running
from support.redis import RealRedis, free_port
from support.waiting import wait_until

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "frameworks.md").read_text(encoding="utf-8")
BLOCKS = [(block.language, block.text) for block in blocks("docs/frameworks.md")]
FILE = re.compile(r"(?:# |\{# )([\w/]+\.\w+)")


def named(text: str) -> str | None:
    """The file that a block says that it is."""
    found = FILE.match(text)
    return found[1] if found else None


def block(name: str) -> str:
    """The text of one file of the guide: its blocks, one after the other."""
    found = [text for _, text in BLOCKS if named(text) == name]
    assert found, f"{name} is not in the guide"
    return "\n".join(found)


def nameless(word: str) -> str:
    """The one block without a file's name that holds `word`."""
    (found,) = [text for kind, text in BLOCKS if kind == "python" and named(text) is None and word in text]
    return found


@pytest.fixture
def heard() -> Iterator[list[Mapping[str, Any]]]:
    """The contexts of all evaluations."""
    contexts: list[Mapping[str, Any]] = []
    remove = client.on_evaluation(lambda details, context: contexts.append(context))
    yield contexts
    remove()


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Litestar puts handlers of its own in place of those of the root."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Makes a file of the guide a module that other blocks can import."""

    def make(name: str) -> ModuleType:
        module = ModuleType(name.removesuffix(".py"))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(block(name), name, "exec"), module.__dict__)  # noqa: S102 -- our own documentation
        return module

    return make


def run(code: str, folder: Path, **environ: str) -> str:
    """What a program prints that begins with blocks of the guide."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@contextmanager
def typed(program: str, folder: Path, **environ: str) -> Iterator[tuple[str, Path]]:
    """What the guide says to type, going on meanwhile; gives what it shows below, and where its output is."""
    (shown,) = [text for kind, text in BLOCKS if kind == "console" and text.startswith(f"$ {program}")]
    command, _, below = shown.removeprefix("$ ").partition("\n")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    output = folder / "output"
    with running(["bash", "-c", command], {**os.environ, "PATH": path, **environ}, output, folder):
        yield below, output


def _page(url: str) -> str:
    try:
        return requests.get(url, timeout=10).text
    except requests.ConnectionError:
        return ""


Load = Callable[[str], ModuleType]
Heard = list[Mapping[str, Any]]


def test_flask(load: Load, heard: Heard, flags: IsolatedFlags) -> None:
    browser = load("shop.py").app.test_client()
    assert browser.get("/").text == "three pages"
    flags.set(new_checkout=True)
    assert browser.get("/price", headers={"X-User": "anna", "CF-IPCountry": "DE"}).json == {"discount": True}
    assert heard[-1] == {"user": "anna", "country": "DE"}


def test_a_test_of_it(load: Load, flags: IsolatedFlags) -> None:
    load("shop.py")
    names: dict[str, Any] = {}
    exec(nameless("def test_the_new_checkout"), names)  # noqa: S102
    names["test_the_new_checkout"](flags)


@pytest.mark.usefixtures("logging_as_it_was")
@pytest.mark.parametrize("name", ["shop_fastapi.py", "shop_starlette.py", "shop_litestar.py"])
def test_asgi(load: Load, heard: Heard, flags: IsolatedFlags, name: str) -> None:
    from starlette.testclient import TestClient

    flags.set(new_checkout=True)
    with TestClient(load(name).app) as browser:
        assert browser.get("/", headers={"X-User": "anna"}).text.strip('"') == "one page"
    assert heard == [{"user": "anna"}]


def test_jinja(flags: IsolatedFlags, heard: Heard) -> None:
    flags.set(new_checkout=True)
    exec(nameless("environment = Environment"), {})  # noqa: S102
    assert heard == [{"user": "u-17"}]


def test_celery(load: Load, heard: Heard, flags: IsolatedFlags) -> None:
    flags.set(new_checkout=True)
    module = load("shop_tasks.py")
    module.app.conf.update(task_always_eager=True)
    assert module.send_receipt.apply(kwargs={"user": "anna"}).get() == "new receipt"
    exec(nameless("send_receipt.apply_async"), {})  # noqa: S102
    assert heard == [{"user": "anna", "tenant": None}, {"user": "u-17", "tenant": "acme"}]


RULE = """
[flags.new-checkout]
rules = [{ when = { all = [
  { attribute = "user", op = "in", values = ["u-17"] }, { attribute = "tenant", op = "in", values = ["acme"] },
] }, serve = { variant = "on" } }]
"""


@pytest.mark.redis
def test_rq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is on another port than the one that all three take for granted."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shop_jobs.py").write_text(block("shop_jobs.py"))
    (tmp_path / "downhaul.toml").write_text(RULE)
    broker, names = RealRedis(tmp_path / "redis").start(), dict[str, Any]()
    try:
        with redis.Redis(port=broker.port) as connection:
            monkeypatch.setattr("redis.Redis", lambda: connection)
            exec(nameless("queue.enqueue"), names)  # noqa: S102
            (job,) = names["queue"].jobs
            with typed("rq worker", tmp_path, RQ_REDIS_URL=broker.url, DOWNHAUL_FILE="downhaul.toml") as (_, output):
                wait_until(job.latest_result, "the job is done")
                assert job.latest_result().return_value == "new receipt", output.read_text()
    finally:
        broker.kill()


PROJECT = """
import json, os, sys
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "project"
django.setup()
from django.template.loader import render_to_string
from django.test import Client
from downhaul import flags
heard = []
flags.on_evaluation(lambda details, context: heard.append(dict(context)))
with flags.override(new_checkout=True, button_colour="red"):
    pages = {name: Client(headers={"X-User": "anna"}).get("/" + name).content.decode()
             for name in ("checkout.html", "banner.html", "basket.html")}
print(json.dumps([pages, heard]))
"""
SETTINGS = """
SECRET_KEY = "test"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
"""
URLS = """
from django.shortcuts import render
from django.urls import path

urlpatterns = [path("<template_name>", render)]
"""


def test_django(tmp_path: Path) -> None:
    names = [name for _, text in BLOCKS if (name := named(text)) and name.startswith("shop/")]
    assert len(names) == 4
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(block(name))
    settings = block("settings.py").replace("INSTALLED_APPS = [", 'INSTALLED_APPS = [\n    "shop",')
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "project.py").write_text(SETTINGS + settings)
    (tmp_path / "urls.py").write_text(URLS)
    pages, heard = json.loads(run(PROJECT, tmp_path))
    words = {name: " ".join(page.split()) for name, page in pages.items()}
    assert words == {
        "checkout.html": 'one page for professionals <button style="color: red">Pay</button>',
        "banner.html": "one page",
        "basket.html": "one page",
    }
    anna = {"user": "anna", "country": None}
    assert heard == [anna, {**anna, "plan": "pro"}, anna, anna, anna]


REQUEST = """
from downhaul import flags
from downhaul.integrations.scopes import Scopes
with flags.override(new_checkout=True), Scopes(lambda request: {"user": "anna"}).around(None):
    flags.enabled("new-checkout")
"""


def test_logs(tmp_path: Path) -> None:
    code = block("logs.py") + REQUEST + "    logging.getLogger('shop').warning('paid')\n"
    assert run(code, tmp_path) == "WARNING paid {'new-checkout': True}\n"


def test_structlog(capsys: pytest.CaptureFixture[str]) -> None:
    import structlog

    structlog.reset_defaults()
    try:
        exec(block("structured.py") + REQUEST + "    structlog.get_logger().info('paid')\n", {})  # noqa: S102
    finally:
        structlog.reset_defaults()
    assert json.loads(capsys.readouterr().out) == {"event": "paid", "feature_flags": {"new-checkout": True}}


def test_the_access_log_of_gunicorn(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(block("shop.py"))
    (tmp_path / "downhaul.toml").write_text("[flags]\nnew-checkout = true\n")
    port = free_port()
    place = {"GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port} --no-control-socket", "DOWNHAUL_FILE": "downhaul.toml"}
    with typed("gunicorn", tmp_path, **place) as (shown, output):
        wait_until(lambda: _page(f"http://127.0.0.1:{port}/") == "one page", "the page is there")
        wait_until(lambda: shown in output.read_text(), "the log has the line that the guide shows")


def test_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    exec(REQUEST + textwrap.indent(nameless("evaluated()") + "\nprint(evaluated())\n", "    "), {})  # noqa: S102
    assert capsys.readouterr().out == "{'new-checkout': True}\n"


def test_opentelemetry(tmp_path: Path) -> None:
    """Its lines are alternatives; the last counts."""
    begin = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
span = trace.get_tracer("shop").start_span("pay")
"""
    lines = block("tracing.py").splitlines()
    code = begin + "\n".join(lines[:-1]) + "\nwith trace.use_span(span):\n" + textwrap.indent(REQUEST, "    ")
    code += "print([(each.name, 'feature_flag.context.id' in each.attributes) for each in span.events])\n" + lines[-1]
    assert run(code, tmp_path) == "[('feature_flag.evaluation', False)]\n"


def test_sentry(tmp_path: Path) -> None:
    """Without an address, to which it would send something, and without the other integrations, which take long."""
    begin = block("reporting.py")
    (address,) = re.findall(r'dsn="(.+?)"', begin)
    code = (
        begin.replace(address, "").replace("integrations=", "auto_enabling_integrations=False, integrations=")
        + REQUEST
        + "    print(sentry_sdk.get_isolation_scope().flags.get())\n"
    )
    assert run(code, tmp_path) == "[{'flag': 'new-checkout', 'result': True}]\n"


def test_every_block_is_run() -> None:
    """A new block has to be named here, or above."""
    run_above = {"shop.py", "settings.py", "logs.py", "structured.py", "tracing.py", "reporting.py"}
    run_above |= {"shop_fastapi.py", "shop_starlette.py", "shop_litestar.py", "shop_tasks.py", "shop_jobs.py"}
    names = {name for _, text in BLOCKS if (name := named(text))}
    assert {name for name in names if not name.startswith("shop/")} == run_above
    assert len([text for kind, text in BLOCKS if kind == "python" and named(text) is None]) == 5
    assert all(named(text) for kind, text in BLOCKS if kind in ("django", "jinja"))
    typed_above = ("$ rq worker", "$ gunicorn")
    assert all(text.startswith(typed_above) for kind, text in BLOCKS if kind == "console")


def test_every_module_and_extra_is_in_the_table() -> None:
    rows = re.findall(r"^\| `downhaul\.integrations\.(\w+)` \| (?:`downhaul\[(\w+)\]`)? ?\|", GUIDE, re.MULTILINE)
    folder = ROOT / "sdk" / "downhaul" / "integrations"
    internal = {"__init__", "clients", "partners", "recording", "scopes", "streams", "templates"}
    modules = {path.stem for path in folder.iterdir() if path.stem != "__pycache__"} - internal
    assert modules == {name for name, _ in rows}
    declared = tomllib.loads((ROOT / "sdk" / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {extra for _, extra in rows if extra} <= set(declared)
    assert all(name == extra for name, extra in rows if extra)

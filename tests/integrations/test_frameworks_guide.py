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
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from downhaul.flags import client
from downhaul.testing import IsolatedFlags
from support.guides import blocks

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


def test_rq(load: Load, heard: Heard, flags: IsolatedFlags, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a Redis that is none; tests/integrations/test_task_queues.py has a real one, and a worker."""
    import fakeredis
    from rq import SimpleWorker

    monkeypatch.setattr("redis.Redis", fakeredis.FakeRedis)
    flags.set(new_checkout=True)
    module, names = load("shop_jobs.py"), dict[str, Any]()
    exec(nameless("queue.enqueue"), names)  # noqa: S102
    queue = names["queue"]
    assert queue.count == 1
    (job,) = queue.jobs
    job.__class__ = module.Job
    assert job.perform() == "new receipt"
    assert heard == [{"user": "u-17", "tenant": "acme"}]
    assert issubclass(module.Job, SimpleWorker.job_class)


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
    names = {name for kind, text in BLOCKS if kind != "console" and (name := named(text))}
    assert {name for name in names if not name.startswith("shop/")} == run_above
    assert len([text for kind, text in BLOCKS if kind == "python" and named(text) is None]) == 5
    assert all(named(text) for kind, text in BLOCKS if kind in ("django", "jinja"))


def test_every_module_and_extra_is_in_the_table() -> None:
    rows = re.findall(r"^\| `downhaul\.integrations\.(\w+)` \| (?:`downhaul\[(\w+)\]`)? ?\|", GUIDE, re.MULTILINE)
    folder = ROOT / "sdk" / "downhaul" / "integrations"
    internal = {"__init__", "clients", "partners", "recording", "scopes", "streams", "templates"}
    modules = {path.stem for path in folder.iterdir() if path.stem != "__pycache__"} - internal
    assert modules == {name for name, _ in rows}
    declared = tomllib.loads((ROOT / "sdk" / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {extra for _, extra in rows if extra} <= set(declared)
    assert all(name == extra for name, extra in rows if extra)

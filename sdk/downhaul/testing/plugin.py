"""The plugin of pytest: the fixture `flags`, the marks, the strict mode, and the report of sides.

It loads nothing of the SDK before a test has flags.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from downhaul.testing import marks
from downhaul.testing.isolation import IsolatedFlags, begun, ruleset_of
from downhaul.testing.report import ATTRIBUTE, SidesReport, found_by
from downhaul.testing.sides import MARK, chosen
from downhaul.testing.watch import Watch

if TYPE_CHECKING:
    from downhaul.engine import Ruleset

_HELP_STRICT = "a test fails if it evaluates a flag to which it gives no value"
_HELP_REPORT = "tell at the end which flags no test has tried on one of their sides"
_HELP_FILE = "file of flags (TOML, YAML or JSON) that are known in every test that has isolated flags"

_MARKS = (
    f"{marks.FLAGS}(new_checkout=True), flags({{'a/b': 1}}): flags of this test; no others are known in it.",
    f"{marks.STRICT}(strict=True): {_HELP_STRICT}; False: it may.",
    f"{MARK}: what downhaul.testing.both leaves on a test.",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("downhaul", "feature flags (Downhaul)")
    group.addoption("--downhaul-strict", action="store_true", help=_HELP_STRICT)
    group.addoption("--downhaul-report", action="store_true", help=_HELP_REPORT)
    group.addoption("--downhaul-file", metavar="PATH", help=_HELP_FILE)
    parser.addini("downhaul_strict", _HELP_STRICT, type="bool", default=False)
    parser.addini("downhaul_report", _HELP_REPORT, type="bool", default=False)
    parser.addini("downhaul_file", f"{_HELP_FILE}; relative to the configuration file", default="")


class _Run:
    """What was asked for, for all tests of this process."""

    def __init__(self, config: pytest.Config) -> None:
        self.strict = bool(config.getoption("--downhaul-strict") or config.getini("downhaul_strict"))
        self.report = bool(config.getoption("--downhaul-report") or config.getini("downhaul_report"))
        self.ruleset = _ruleset(config)


_RUN = pytest.StashKey[_Run]()
_WATCH = pytest.StashKey[Watch]()
_FIXTURE = "_downhaul_flags"


def pytest_configure(config: pytest.Config) -> None:
    for line in _MARKS:
        config.addinivalue_line("markers", line)
    run = config.stash[_RUN] = _Run(config)
    if run.report and not hasattr(config, "workerinput"):  # a worker of pytest-xdist leaves telling to its controller
        config.pluginmanager.register(SidesReport(run.ruleset), "downhaul-report")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    sides = marks.sides_of(metafunc.definition, metafunc.config.stash[_RUN].ruleset)
    if sides:
        ids = [",".join(choice.id for choice in each) for each in sides]
        metafunc.parametrize(_FIXTURE, sides, indirect=True, ids=ids)


@pytest.fixture(name=_FIXTURE, autouse=True)
def _isolated(request: pytest.FixtureRequest) -> Iterator[IsolatedFlags | None]:
    """Before any other fixture of the test: those evaluate flags, too."""
    node, sides = request.node, getattr(request, "param", ())
    run = node.config.stash[_RUN]
    wanted = "flags" in request.fixturenames or marks.is_strict(node, run.strict)
    if sides or wanted or node.get_closest_marker(marks.FLAGS):
        with _begun(node, sides) as flags:
            yield flags
    elif run.report and "downhaul.flags" in sys.modules:  # it may open blocks of its own
        from downhaul.flags import on_evaluation

        node.stash[_WATCH] = Watch()
        remove = on_evaluation(node.stash[_WATCH])
        yield None
        remove()
    else:
        yield None


@pytest.fixture
def flags(request: pytest.FixtureRequest, _downhaul_flags: IsolatedFlags | None) -> Iterator[IsolatedFlags]:
    """The flags of this process, isolated for one test: what it sets is in force, and everything else is a default."""
    if _downhaul_flags is not None:
        yield _downhaul_flags
    else:  # asked for while the test runs
        with _begun(request.node, ()) as isolated:
            yield isolated


@contextmanager
def _begun(node: pytest.Item, sides: marks.Combination) -> Iterator[IsolatedFlags]:
    run = node.config.stash[_RUN]
    with begun(run.ruleset) as flags:
        node.stash[_WATCH] = flags.watch
        for by_flag, by_keyword in marks.values_of(node):
            flags.set(by_flag, **by_keyword)
        with chosen(flags, sides):
            yield flags
        if marks.is_strict(node, run.strict):
            _check(flags.watch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """The test itself fails, and not only its end, where its flags can be told already."""
    watch = item.stash.get(_WATCH, None) if marks.is_strict(item, item.config.stash[_RUN].strict) else None
    try:
        result = yield
    except Exception as error:
        if watch is not None and (complaint := watch.complaint()):
            error.add_note(complaint)  # it may be the reason
        raise
    if watch is not None:
        _check(watch)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    watch = item.stash.get(_WATCH, None)
    if watch is not None and call.when == "teardown" and item.config.stash[_RUN].report:
        setattr(report, ATTRIBUTE, found_by(watch))
    return report


def _check(watch: Watch) -> None:
    if complaint := watch.complaint():
        pytest.fail(complaint, pytrace=False)


def _ruleset(config: pytest.Config) -> Ruleset | None:
    """The flags of the file that was named. Raises UsageError for one that is wrong."""
    if path := config.getoption("--downhaul-file"):
        path = config.invocation_params.dir / path
    elif name := config.getini("downhaul_file"):
        path = (config.inipath.parent if config.inipath else config.rootpath) / Path(name)
    else:
        return None
    from downhaul.local.errors import LocalFileError

    try:
        return ruleset_of(path)
    except LocalFileError as error:
        raise pytest.UsageError(str(error)) from None

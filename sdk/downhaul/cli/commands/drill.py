"""`downhaul drill`: does a kill arrive? Known before it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from downhaul.cli.acknowledgement import details, exit_code, headline
from downhaul.cli.api import TIMEOUT_S
from downhaul.cli.errors import ExitCode
from downhaul.cli.options import DEFAULT_WAIT_S, SECONDS, SERVICE, common, environment, given
from downhaul.cli.output import Cell, indented, plain, table
from downhaul.cli.session import Session
from downhaul.cli.words import ago, count, listed

MOST_NAMED = 5
"""Stragglers of each service in the table of the last drills; `--json` has more."""


@click.command()
@environment
@click.option("--service", "services", type=SERVICE, multiple=True, help="Only this service; repeatable.")
@click.option(
    "--wait",
    type=SECONDS,
    default=DEFAULT_WAIT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long all processes have to obey.",
)
@click.option("--last", is_flag=True, help="Run none: show how the last ones went.")
@common
def drill(session: Session, environment: str | None, services: tuple[str, ...], wait: float, last: bool) -> ExitCode:
    """Kill a harmless flag of each service, and see who obeys.

    The flag `downhaul-drill` is made where there is none, killed, and restored. Nothing else is touched.
    """
    if last:
        return _last(session, environment, services)
    body = given(environment=environment, services=services, wait=wait)
    try:
        with _busy(session, wait):
            answer = session.api.post("drills", body=body, within=wait + TIMEOUT_S[1])
    except KeyboardInterrupt:
        session.output.note("Not waiting any longer. The drill ends by itself; `downhaul drill --last` shows it then.")
        raise
    session.answer(answer, f"Drill in {answer['environment']} (revision {answer['revision']}):", *_told(answer))
    return exit_code(answer)


def _told(answer: dict[str, Any]) -> Iterator[RenderableType]:
    """A line for each service, with its stragglers below it; then all in one."""
    results = answer["services"]
    for each in results:
        if each.get("error"):
            yield Text.assemble(plain(f"{each['service']}: "), ("NOT DRILLED", "bold red"), plain(f": {each['error']}"))
            continue
        head = headline(each, [each["service"]], answer["environment"])
        yield Text.assemble(plain(f"{each['service']}: "), head)
        yield from map(indented, details(each))
    failed = sum(each["confirmed"] is not True for each in results)
    if not results:
        yield "There is no service yet; make one with `downhaul services create SERVICE`."
    elif failed:
        yield Text.assemble(("FAILED", "bold red"), plain(f" in {failed} of {count(len(results), 'service')}."))
    else:
        yield f"{count(len(results), 'service')} drilled, nobody is missing."


@contextmanager
def _busy(session: Session, wait: float) -> Iterator[None]:
    """On a terminal, that something goes on."""
    console = session.output.terminal()
    if console is None or session.as_json:
        yield
        return
    with console.status(f"A drill is going on; it takes {wait:g} s at most, unless all obey before."):
        yield


def _last(session: Session, environment: str | None, services: tuple[str, ...]) -> ExitCode:
    found = session.api.list("drills")
    found.items[:] = [
        each
        for each in found.items
        if each["environment"] == (environment or each["environment"]) and (not services or each["service"] in services)
    ]
    rows = [
        [
            each["service"],
            each["environment"],
            ago(each["age_s"]),
            _result(each),
            f"{each['applied']} of {each['instances']}",
            f"{each['latency_ms']['max']:.0f} ms" if each["latency_ms"] else None,
            listed([one["instance"] for one in each["stragglers"][:MOST_NAMED]]),
        ]
        for each in found.items
    ]
    headers = ["SERVICE", "ENVIRONMENT", "WHEN", "RESULT", "OBEYED", "SLOWEST", "MISSING"]
    session.answer_list(found, table(headers, rows), empty="There was no drill yet; run one with `downhaul drill`.")
    return ExitCode.OK if all(each["confirmed"] for each in found.items) else ExitCode.UNCONFIRMED


def _result(last: dict[str, Any]) -> Cell:
    return "confirmed" if last["confirmed"] else plain("FAILED", "bold red")

"""`downhaul drill`: does a kill arrive? Known before it is needed."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.acknowledgement import ago, exit_code, verdict
from downhaul.cli.errors import ExitCode
from downhaul.cli.options import LONGEST_WAIT_S, SERVICE, common, environment, given
from downhaul.cli.output import indented, table
from downhaul.cli.session import Session
from downhaul.cli.words import listed


@click.command()
@environment
@click.option("--service", "services", type=SERVICE, multiple=True, help="Only this service; repeatable.")
@click.option(
    "--wait",
    type=click.FloatRange(0, LONGEST_WAIT_S),
    default=10.0,
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
    answer = session.api.post("drills", body=given(environment=environment, services=services, wait=wait))
    session.answer(answer, f"Drill in {answer['environment']} (revision {answer['revision']}):")
    if not session.as_json:
        for each in answer["services"]:
            session.output.show(each["service"], *map(indented, _told(each)))
    return exit_code(answer)


def _told(result: dict[str, Any]) -> list[Any]:
    return [result["error"]] if result.get("error") else verdict(result)


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
            "confirmed" if each["confirmed"] else "NOT CONFIRMED",
            f"{each['applied']} of {each['instances']}",
            f"{each['latency_ms']['max']:.0f} ms" if each["latency_ms"] else None,
            each.get("error") or listed([one["instance"] for one in each["stragglers"][:5]]),
        ]
        for each in found.items
    ]
    headers = ["SERVICE", "ENVIRONMENT", "WHEN", "RESULT", "OBEYED", "LAST AFTER", "STRAGGLERS"]
    session.answer_list(found, table(headers, rows), empty="There was no drill yet; run one with `downhaul drill`.")
    return ExitCode.OK if all(each["confirmed"] for each in found.items) else ExitCode.UNCONFIRMED

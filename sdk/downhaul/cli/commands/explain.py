"""`downhaul explain`: why does this user get that?"""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from downhaul.cli.options import FLAG, FlagName, common, environment, given
from downhaul.cli.output import Listed, plain, table
from downhaul.cli.session import Session
from downhaul.cli.strict_json import loads
from downhaul.cli.words import value


@click.command()
@click.argument("flag", type=FLAG, metavar="SERVICE/FLAG")
@click.argument("attributes", nargs=-1, metavar="[NAME=TEXT | NAME:=JSON]...")
@environment
@common
def explain(session: Session, flag: FlagName, attributes: tuple[str, ...], environment: str | None) -> None:
    """What a flag serves to somebody, and why.

    Shows each step of the evaluation for somebody with these attributes.
    `user=42` is the text 42; `count:=3`, `beta:=true` and `groups:=["a"]` are JSON.
    """
    body = {**given(environment=environment), "context": dict(map(_attribute, attributes))}
    answer = session.api.post("services", flag.service, "flags", flag.key, "explain", body=body)
    session.answer(answer, _headline(flag, answer), "", _steps(answer["steps"]))


def _attribute(text: str) -> tuple[str, Any]:
    name, equals, raw = text.partition("=")
    is_json = name.endswith(":")
    name = name.removesuffix(":")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is neither NAME=TEXT nor NAME:=JSON.", param_hint="'ATTRIBUTES'")
    try:
        return name, loads(raw) if is_json else raw
    except ValueError:
        raise click.BadParameter(f"{raw!r} is not JSON; {name}={raw} is a text.", param_hint="'ATTRIBUTES'") from None


def _headline(flag: FlagName, answer: dict[str, Any]) -> Text:
    """`checkout/new-checkout in production: on = true (TARGETING_MATCH, rule "beta testers", revision 42)`."""
    served = f"{answer['variant']} = {value(answer['value'])}" if answer["variant"] else "the caller's default"
    why = [answer["reason"], answer.get("error_code"), f'rule "{answer["rule"]}"' if answer.get("rule") else None]
    details = ", ".join([*filter(None, why), f"revision {answer['revision']}"])
    return Text.assemble(plain(f"{flag} in {answer['environment']}: "), plain(served, "bold"), plain(f" ({details})"))


def _steps(steps: list[dict[str, Any]]) -> Listed:
    rows = [(number, each["step"], _verdict(each), each["detail"]) for number, each in enumerate(steps, 1)]
    return table(["NO", "STEP", "VERDICT", "DETAIL"], rows)


def _verdict(step: dict[str, Any]) -> Text:
    if step["step"] == "otherwise" and not step["passed"]:
        return plain("cannot serve", "bold red")
    if step["step"] in ("rule", "otherwise"):
        return plain("serves", "bold green") if step["passed"] else plain("does not match", "dim")
    return plain("goes on", "dim") if step["passed"] else plain("ends here", "bold red")

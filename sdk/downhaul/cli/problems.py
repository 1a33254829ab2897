"""Answers that are refusals, in sentences that say what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from downhaul.cli.errors import CliError, ExitCode

_CODES = MappingProxyType(
    {
        401: ExitCode.UNAUTHORISED,
        403: ExitCode.UNAUTHORISED,
        404: ExitCode.NOT_FOUND,
        409: ExitCode.CONFLICT,
        412: ExitCode.CONFLICT,
        429: ExitCode.UNAVAILABLE,
        502: ExitCode.UNAVAILABLE,
        503: ExitCode.UNAVAILABLE,
        504: ExitCode.UNAVAILABLE,
    }
)
_HINTS = MappingProxyType(
    {
        401: "use an API token that is still valid: set DOWNHAUL_TOKEN, or run `downhaul profile set NAME`",
        403: "ask an administrator for a token that may do this",
        404: "the `list` commands show what there is",
        409: "look at what is there with the `list` and `show` commands",
        412: "look at what somebody else has changed, then repeat it with that version",
        413: "send less at once",
        422: "correct what you sent, and run the command again",
        429: "wait a moment, and run the command again",
        502: "the service behind the proxy does not answer; run the command again in a moment",
        503: "run the command again in a moment; `downhaul status` tells how the service is",
        504: "the service behind the proxy does not answer; run the command again in a moment",
    }
)
_UNSURE = "it is not known whether the change was made: look before you repeat it"
_ELSE = "if it happens again, give the operators of the service this request id"


def refused(url: str, status: int, problem: Any) -> CliError:
    """The error for an answer of 400 and above; `problem` is its JSON, or whatever was there instead."""
    code = _CODES.get(status, ExitCode.OTHER)
    if not isinstance(problem, Mapping) or "title" not in problem:
        if status < 500:
            return foreign_answer(url, status=status)
        return CliError(f"{url} answered {status}", code, hint=_HINTS.get(status, ""))
    message = str(problem.get("detail") or problem["title"])
    hint = _HINTS.get(status, "")
    if problem.get("outcome_unknown"):
        hint = _UNSURE
    if status >= 500 and status not in _HINTS:
        message, hint = f"{message} (request {problem.get('request_id', 'unknown')})", _ELSE
    return CliError(message, code, hint=hint, problem=problem)


def unreachable(url: str, failures: Sequence[Exception], *, wrote: bool) -> CliError:
    """The error when no answer came, after one or two tries."""
    hint = "check that it runs, and that this is its address (DOWNHAUL_URL, or the profile)"
    if wrote and not all(map(_never_connected, failures)):
        hint = _UNSURE
    return CliError(f"{url} cannot be reached: {_cause(failures[-1])}", ExitCode.UNAVAILABLE, hint=hint)


def foreign_answer(url: str, location: str | None = None, *, status: int | None = None) -> CliError:
    """The error when what answered is not Downhaul: a proxy's page, another program, a redirect."""
    with_status = f" (status {status})" if status else ""
    what = f"redirects to {location}" if location else f"gave an answer that is not Downhaul's{with_status}"
    hint = "check that this is the service's address (DOWNHAUL_URL, or the profile)"
    return CliError(f"{url} {what}", ExitCode.UNAVAILABLE, hint=hint)


def incomplete_answer(name: str) -> CliError:
    """The error when an answer lacks something that Downhaul's have."""
    return CliError(
        f"the answer has no `{name}`: it comes from another program, or from another version of the service",
        ExitCode.UNAVAILABLE,
        hint="check the address (DOWNHAUL_URL, or the profile), and that `downhaul --version` fits the service",
    )


_CAUSES = MappingProxyType(
    {
        "SSLError": "its certificate is not trusted (REQUESTS_CA_BUNDLE names a file of further authorities)",
        "ProxyError": "the proxy does not let us through (HTTP_PROXY, HTTPS_PROXY, NO_PROXY)",
        "NameResolutionError": "there is no host of that name",
        "Connection refused": "nothing listens there",
        "unreachable": "no network leads there",
        "ConnectTimeout": "it took too long to connect",
        "ReadTimeout": "it took too long to answer",
        "Read timed out": "it took too long to answer",
        "Connection aborted": "it closed the connection without an answer",
        "Connection broken": "it closed the connection in the middle of its answer",
    }
)
"""A sign in the description of an exception -> the cause in a few words: the libraries' own texts run over lines."""


def _cause(error: Exception) -> str:
    description = repr(error)
    return next((cause for sign, cause in _CAUSES.items() if sign in description), "the connection failed")


_NEVER = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "SSLError", "ProxyError")


def _never_connected(error: Exception) -> bool:
    """Whether nothing can have been changed, because there was not even a connection."""
    description = repr(error)
    return any(sign in description for sign in _NEVER)

"""Downhaul beside other vendors' SDKs: the same flags, the same keywords, one process, candidates in turns.

`run` is for `engine.py --peers`. It keeps the other SDKs in a virtual environment of their own, made when first needed,
and runs this file in it. Before anything is measured, each SDK must answer right for 2,000 people; a case in which it
does not is reported and not measured.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from timeit import Timer
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
ENVIRONMENT = HERE / ".venv-peers"
REQUIREMENTS = HERE / "requirements-peers.txt"
INSTALL_SECONDS, MEASURE_SECONDS = 300, 220
PASSES, ROUNDS = 3, 12

PREPARED = "plain-on (context prepared)"
CROWDED = "plain-on (5,000 flags loaded)"
CASES = ("plain-on", "killed", "split-25", "targeting", "members")
PEOPLE = [f"user-{number}" for number in range(2_000)]


def run() -> dict[str, Any]:
    """Nanoseconds by SDK and case in `results`, with `floor_ns`, `python`, `versions`, and `errors` by what failed."""
    python = environment()
    done = execute([python, __file__, "--measure"], MEASURE_SECONDS, env=alone(PYTHONPATH=str(ROOT / "sdk")))
    found: dict[str, Any] = json.loads(done)
    return found


def environment() -> Path:
    """The interpreter that has the other SDKs, installed again where the locked requirements have changed."""
    python, stamp = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "installed.txt"
    locked = REQUIREMENTS.read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != locked:
        print("installing other vendors' SDKs", file=sys.stderr)
        execute([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], INSTALL_SECONDS)
        execute([python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", REQUIREMENTS], INSTALL_SECONDS)
        stamp.write_text(locked, encoding="utf-8")
    return python


def alone(**more: str) -> dict[str, str]:
    """The environment of a process that finds no vendor, even if it looks for one: native SDKs heed these as well."""
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    lower = {name.lower(): value for name, value in nowhere.items()}
    return {**os.environ, **nowhere, **lower, "NO_PROXY": "", "no_proxy": "", **more}


def execute(command: list[str | Path], seconds: int, **options: Any) -> str:
    """What a command prints. Raises RuntimeError, with what it has complained of, if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


# From here on: in the environment that has the other SDKs.


def measure() -> dict[str, Any]:
    """What `run` returns."""
    import flags as measured
    from ours import floor
    from timing import nanoseconds
    from vendors import VENDORS, wanted

    attempts = refuse_connections()
    few, many = measured.MEASURED, measured.MEASURED | measured.many(5_000)
    makers: dict[str, Callable[[dict[str, Any]], Any]] = {"Downhaul": _downhaul}
    for name, (_, load) in VENDORS.items():
        makers[name] = lambda documents, load=load: load([wanted(key, each) for key, each in documents.items()])
    candidates: dict[tuple[str, str], Callable[[int], object]] = {}
    errors: dict[str, str] = {}
    for name, make in makers.items():
        try:
            found, wrong = _candidates(make(few), make(many))
        except Exception as error:  # noqa: BLE001 -- whatever an SDK raises, the others are measured
            errors[name] = repr(error)
            continue
        candidates |= {(name, case): work for case, work in found.items()}
        errors |= {f"{name}: {case}": reason for case, reason in wrong.items()}
    works = {("", "floor"): floor()} | candidates
    # Each pass calibrates anew, so that a busy moment in the first of them spoils no figure.
    passes = [nanoseconds(works, ROUNDS) for _ in range(PASSES)]
    taken = {name: min(each[name] for each in passes) for name in works}
    results: dict[str, dict[str, float]] = {}
    for name, case in candidates:
        results.setdefault(name, {})[case] = taken[name, case]
    if attempts:
        errors["network"] = f"connections were tried and refused: {attempts}"
    return {
        "floor_ns": taken["", "floor"],
        "python": platform.python_version(),
        "results": results,
        "versions": {name: metadata.version(package) for name, (package, _) in VENDORS.items()},
        "errors": errors,
    }


def _downhaul(documents: dict[str, Any]) -> Any:
    from ours import enabled_over
    from vendors import Sdk

    return Sdk(
        ask="enabled(flag, {context})",
        user="user=user",
        person="user=user, country=country, plan=plan",
        prepared="**prepared",
        names={"enabled": enabled_over(documents), "prepared": {"user": "user-123"}},
    )


def _candidates(few: Any, many: Any) -> tuple[dict[str, Callable[[int], object]], dict[str, str]]:
    """What to measure, by case, of an SDK loaded with few flags and loaded with many; and why not, for other cases."""
    asked = [(case, few, case, few.person if case == "targeting" else few.user) for case in CASES]
    asked += [(PREPARED, few, "plain-on", few.prepared), (CROWDED, many, "plain-on", many.user)]
    works, wrong = {}, {}
    for case, sdk, flag, context in asked:
        reason = _wrong(sdk, flag, context) if context != sdk.prepared else None
        if reason:
            wrong[case] = reason
        else:
            works[case] = _work(sdk, flag, context)
    return works, wrong


def _work(sdk: Any, flag: str, context: str) -> Callable[[int], object]:
    """Asks that many times, its text inlined and all that it names in local variables: none of the time is ours."""
    import flags as measured

    names = {"flag": flag, "build": measured.BUILD, **measured.CONTEXT, **sdk.names}
    if "prepared" not in names:
        names["prepared"] = eval(sdk.user, dict(names))  # noqa: S307 -- our own text
    setup = "\n".join(f"{name} = names[{name!r}]" for name in names)
    return Timer(sdk.ask.replace("{context}", context), setup, globals={"names": names}).timeit


def _wrong(sdk: Any, flag: str, context: str) -> str | None:
    """What is wrong with the SDK's answers, or None."""
    text = f"lambda flag, user, country, plan, build: {sdk.ask.replace('{context}', context)}"
    ask = eval(text, dict(sdk.names))  # noqa: S307 -- our own text

    for who, people, attributes, low, high in _expected(flag, "build" in sdk.person):
        on = sum(ask(flag, user, *attributes) is True for user in people)
        if not low <= on * 100 / len(people) <= high:
            return f"on for {on} of {len(people)} people ({who}), which is not {low} to {high} %"
    return None


def _expected(flag: str, build: bool) -> Iterator[tuple[str, list[str], tuple[str, str, str], int, int]]:
    """Who they are, their user ids, their country, plan and build, and the percentages between which it is on."""
    usual = ("DE", "pro", "2.4.1")
    if flag == "targeting":
        yield "a country of the rule", PEOPLE, ("NL", "pro", "2.4.1"), 46, 54
        yield "another country", PEOPLE, ("US", "pro", "2.4.1"), 0, 0
        yield "another plan", PEOPLE, ("DE", "free", "2.4.1"), 0, 0
        if build:  # Downhaul knows its own
            yield "a later build", PEOPLE, ("DE", "pro", "2.10.0"), 46, 54
            yield "an earlier build", PEOPLE, ("DE", "pro", "2.0.9"), 0, 0
    elif flag == "members":
        yield "members", PEOPLE[:1_000], usual, 100, 100
        yield "others", PEOPLE[1_000:], usual, 0, 0
    else:
        low, high = {"plain-on": (100, 100), "killed": (0, 0), "split-25": (22, 28)}[flag]
        yield "everyone", PEOPLE, usual, low, high


def refuse_connections() -> list[str]:
    """From now on nothing in Python can connect; returns the list that each try is added to."""
    attempts: list[str] = []

    def refuse(*what: object, **more: object) -> None:
        attempts.append(repr(what[1:] or more))
        raise ConnectionRefusedError("a benchmark talks to nobody")

    socket.socket.connect = socket.socket.connect_ex = refuse  # type: ignore[method-assign,assignment]
    return attempts


def main() -> None:
    # SDKs may write what they like to standard output: it is standard error until the JSON goes out.
    answer = os.dup(1)
    os.dup2(2, 1)
    text = json.dumps(measure())
    with os.fdopen(answer, "w", encoding="utf-8") as out:
        out.write(text + "\n")
    # Some of their threads would hold the exit.
    os._exit(0)


if __name__ == "__main__" and sys.argv[1:] == ["--measure"]:
    main()

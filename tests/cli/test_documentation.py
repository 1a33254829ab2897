"""docs/cli.md and the code say the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from downhaul.cli import errors
from downhaul.cli.commands import downhaul
from downhaul.cli.session import Session

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
CODE = Path(errors.__file__).parent
COMMON = {"--json", "--profile", "--help"}


def commands(group: click.Group = downhaul, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


def sections() -> dict[tuple[str, ...], str]:
    """What the page says of each command, by the command's path."""
    parts = re.split(r"^#{2,3} (.*)$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    titled = zip(parts[1::2], parts[2::2], strict=True)
    return {tuple(title.strip("`").split()[1:]): text for title, text in titled if title.startswith("`downhaul ")}


def examples() -> list[str]:
    """Every line of the page that can be pasted into a shell and runs `downhaul`."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    found = [re.search(r"(?:^|\$\()(downhaul [^|)>]*?)(?:\)\"?)?\s*(?:[|>)<].*)?$", line) for line in lines]
    return [match[1] for match in found if match]


COMMANDS = dict(commands())


def test_the_page_has_a_section_for_each_command_and_for_nothing_else() -> None:
    assert set(sections()) == set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_section_names_every_option_and_no_other(path: tuple[str, ...]) -> None:
    options = {name for each in COMMANDS[path].params for name in (*each.opts, *each.secondary_opts)}
    long = {name for name in options if name.startswith("--")} - COMMON
    prose = re.sub(r"`flags show --json`", "", sections()[path])
    said = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", prose)) - COMMON

    assert said == long


@pytest.mark.parametrize("line", examples())
def test_an_example_is_a_command_that_can_be_given(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flag.json").write_text("{}")
    (tmp_path / "condition.json").write_text("{}")
    (tmp_path / "rules.json").write_text("[]")
    command: click.Command = downhaul
    _, *words = shlex.split(line)
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]

    assert command.make_context(line, words, obj=Session()).params is not None


def test_there_are_many_examples() -> None:
    assert len(examples()) > 50


def test_every_exit_code_is_explained() -> None:
    rows = re.findall(r"^\| (\d+) \| ([a-z ]+) \|", PAGE.read_text("utf-8"), flags=re.MULTILINE)

    assert {int(code): name.replace(" ", "_").upper() for code, name in rows} == {
        int(code): code.name for code in errors.ExitCode
    }


def test_every_variable_is_explained() -> None:
    used = {name for file in CODE.rglob("*.py") for name in re.findall(r"\bDOWNHAUL_[A-Z_]+", file.read_text("utf-8"))}
    explained = set(re.findall(r"^\| `(DOWNHAUL_[A-Z_]+)` \|", PAGE.read_text("utf-8"), flags=re.MULTILINE))

    assert explained == used


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_tells_what_it_and_each_of_its_options_does(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]

    assert command.help
    assert [each.name for each in command.params if isinstance(each, click.Option) and not each.help] == []


@pytest.mark.parametrize("path", [path for path in COMMANDS if path != ("completion",)], ids=" ".join)
def test_every_command_can_answer_in_json(path: tuple[str, ...]) -> None:
    options = {name for each in COMMANDS[path].params for name in each.opts}

    assert {"--json", "--profile"} <= options

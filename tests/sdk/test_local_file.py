"""A file of flags in place of a service: what it may say, what it means, and that it is followed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from downhaul.client import Client
from downhaul.engine import explain, position
from downhaul.local.errors import LocalFileError
from downhaul.local.reading import read_ruleset
from downhaul.local.watch import LocalFile
from downhaul.settings import Settings, SettingsError
from support.fakeservice import KEY, SERVICE, FakeService
from support.waiting import wait_until

TOML = """
service = "shop"

[flags]
new-checkout = true
old-banner = false
button-colour = "blue"
most-items = 10
"payments/new-ledger" = true
regions = ["eu", "us"]
limits = { value = { items = 3 } }
new-search = { rollout = 25, by = "tenant" }
switched-off = { on = false }
killed = { killed = true, owner = "team-a", expires = 2027-01-31 }

[flags.theme]
variants = { light = "#fff", dark = "#000" }
otherwise = "dark"
rules = [
  { name = "beta", when = { segment = "beta" }, serve = "light" },
  { when = { attribute = "at", op = "after", values = [2027-01-01T00:00:00Z] }, serve = { rollout = 100 } },
]

[flags.needs-ledger]
requires = [{ flag = "payments/new-ledger", variants = ["on"] }]

[segments.beta]
attribute = "email"
op = "ends_with"
values = ["@example.com"]
"""

YAML = """
service: shop
flags:
  new-checkout: true
  button-colour: "on"
  limits: {value: {items: 3}}
  day: 2027-01-31
  octal: 010
  size: 1e3
  theme:
    variants: {on: "#fff", off: "#000", no: "#777"}
    on: true
    off_variant: off
    otherwise: no
    rules:
      - when: {attribute: plan, op: in, values: [pro]}
        serve: on
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Puts a file in its place as editors do, whole and at once."""

    def put(content: str, name: str = "downhaul.toml") -> Path:
        path = tmp_path / name
        path.with_suffix(".new").write_text(content)
        os.replace(path.with_suffix(".new"), path)
        return path

    return put


@pytest.fixture
def follow() -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def start(path: Path, **settings: Any) -> Client:
        clients.append(Client(file=path, **settings))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


def test_values_and_definitions_mean_what_they_mean_to_the_service(write: Write, follow: Callable[..., Client]) -> None:
    client = follow(write(TOML))
    assert client.enabled("new-checkout") is True and client.enabled("old-banner", default=True) is False
    assert client.value("button-colour") == "blue" and client.value("most-items") == 10
    assert client.value("regions") == ["eu", "us"] and client.value("limits") == {"items": 3}
    assert client.enabled("switched-off") is client.enabled("killed") is False
    assert client.value("theme") == client.value("theme", email="a@b.c", at="2026-01-01T00:00:00Z") == "#000"
    assert client.value("theme", email="a@example.com") == "#fff"
    assert client.value("theme", at="2027-01-01T00:00:01Z") == "#000"
    assert client.explain("theme", email="a@example.com").rule == "beta"
    assert [client.explain(name).reason for name in ("new-checkout", "switched-off", "killed")] == [
        "STATIC", "DISABLED", "KILLED",
    ]  # fmt: skip
    with client.override({"payments/new-ledger": False}):
        assert client.explain("needs-ledger").reason == "PREREQUISITE_FAILED"
    assert client.enabled("needs-ledger") is True


def test_a_rollout_gives_everybody_the_side_that_the_service_gives(write: Write) -> None:
    ruleset = read_ruleset(str(write(TOML)))
    for number in range(500):
        inside = position("shop/new-search", f"t{number}") < 25_000
        assert explain(ruleset, "new-search", {"tenant": f"t{number}"}).value is inside


def test_yaml_has_no_norway_problem_and_json_is_read_too(write: Write) -> None:
    ruleset = read_ruleset(str(write(YAML, "downhaul.yaml")))

    def value(name: str, **context: Any) -> Any:
        return explain(ruleset, name, context).value

    assert value("new-checkout") is True and value("button-colour") == "on"
    assert value("theme") == "#777" and value("theme", plan="pro") == "#fff"
    assert (value("day"), value("octal"), value("size"), value("limits")) == ("2027-01-31", "010", 1000.0, {"items": 3})

    same = read_ruleset(str(write(json.dumps({"flags": {"a": True, "b": {"rollout": 12.5}}}), "downhaul.json")))
    assert same.flags["b"].state.otherwise == read_ruleset(
        str(write("[flags]\nb = {rollout = 12.5}"))
    ).flags["b"].state.otherwise  # fmt: skip


def test_yaml_without_pyyaml_says_what_to_install(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    monkeypatch.delitem(sys.modules, "downhaul.local.yamlreader", raising=False)
    monkeypatch.delattr("downhaul.local.yamlreader", raising=False)
    with pytest.raises(LocalFileError, match=r"needs PyYAML: pip install 'downhaul\[yaml\]', or write TOML"):
        read_ruleset(str(write(YAML, "downhaul.yaml")))


WRONG = [
    ("", "flags: missing"),
    ("flags = 3", "flags: expected a table, found a number"),
    ("flag = {}", "flag: unknown field; expected service, environment, flags, segments"),
    ("service = 3\n[flags]", "service: expected a text of at most 63 characters, found 3"),
    ("[flags]\na = 1\na = 2", "Cannot overwrite a value"),
    ("[flags]\na = \nb = 2", "Invalid value (at line 2, column 5)"),
    ("[flags]\nNew_Flag = true", "flags: expected a flag's key (lower-case letters, digits,"),
    ("[flags]\na.b.c = 1", "flags.a.b: unknown field; expected type,"),
    ("[flags]\na = nan", "flags.a: expected a finite number, found nan"),
    ("[flags]\na = {type = 'string', value = true}", "flags.a.value: expected a string, found a boolean"),
    ("[flags]\na = {value = 1, rollout = 5}", "flags.a.rollout: does not go with value"),
    ("[flags]\na = {type = 'bool'}", "flags.a.variants: missing: expected the values of a bool flag"),
    ("[flags]\na = {type = 'bool', variants = {x = 1}}", "flags.a.type: expected one of boolean, string, number, json"),
    ("[flags]\na = {variants = []}", "flags.a.variants: expected an object, found an array"),
    ("[flags]\na = {variants = {}}", "flags.a.variants: expected at least one variant"),
    ("[flags]\na = {variants = {x = 1}, otherwise = 'z'}", "flags.a.otherwise.variant: expected one of the variants x"),
    ("[flags]\na = {on = 'yes'}", "flags.a.on: expected true or false, found a string"),
    ("[flags]\na = {rollout = 101}", "flags.a.rollout: expected a percentage from 0 to 100"),
    ("[flags]\na = {rollout = 0.0001}", "flags.a.rollout: expected a percentage from 0 to 100 with up to three"),
    ("[flags]\na = {rollout = 5, otherwise = 'on'}", "flags.a.rollout: either rollout or otherwise, not both"),
    ("[flags]\na = {by = 'user'}", "flags.a.by: goes with rollout only"),
    ("[flags]\na = {variants = {x = 1}, rollout = 5}", "flags.a.rollout: expected a flag with another variant"),
    ("[flags]\na = {rules = 3}", "flags.a.rules: expected an array, found a number"),
    ("[flags]\na = {rules = [{serve = 'on'}]}", "flags.a.rules[0].when: missing"),
    ("[flags]\na = {otherwise = {rollout = 5, to = 'x'}}", "flags.a.otherwise.to: unknown field; expected rollout, by"),
    (
        "[flags]\na.rules = [{when = {attribute = 'x', op = '='}, serve = 'on'}]",
        "a.rules[0].when.op: expected one of in,",
    ),
    ("[flags]\na.rules = [{when = {segment = 'beta'}, serve = 'on'}]", "there is no segment 'beta'"),
    (
        "[flags]\na.requires = [{flag = 'a', variants = ['on']}]",
        "flags.a: expected prerequisites that do not lead back",
    ),
    ("[flags]\n[segments]\nbeta = 1", "segments.beta: expected an object, found a number"),
]
WRONG_ELSEWHERE = [
    ("a.yaml", "flags: {a: [}", "(at line 1, column 13)"),
    ("b.yaml", "flags:\n  a: 1\n  a: 2", "'a' is there twice (at line 3, column 3)"),
    ("c.yaml", "flags:\n  1: true", "1 is no name: expected text (at line 2, column 3)"),
    ("d.yaml", "flags: !!python/object:os.system {}", "could not determine a constructor"),
    ("e.yaml", "&a [*a]", "recursion"),
    ("f.yaml", "", "expected a table, found null"),
    ("g.json", '{"flags": {"a": 1, "a": 2}}', "'a' is there twice"),
    ("h.json", '{"flags": ', "Expecting value: line 1 column 11"),
    ("i.json", "[" * 100_000, "recursion"),
    ("j.ini", "", "expected a name that ends in .toml, .yaml, .yml, .json"),
]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("a.toml", *each) for each in WRONG] + WRONG_ELSEWHERE,
    ids=[str(number) for number in range(len(WRONG + WRONG_ELSEWHERE))],
)
def test_a_fault_is_told_with_file_place_and_what_was_expected(
    write: Write, name: str, content: str, words: str
) -> None:
    path = write(content, name)
    with pytest.raises(LocalFileError) as caught:
        read_ruleset(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_it_is_reloaded_when_it_is_saved_and_listeners_hear_of_it(write: Write, follow: Callable[..., Client]) -> None:
    client = follow(write("[flags]\na = true\nb = 1"))
    changes: list[frozenset[str]] = []
    client.on_change(changes.append)
    status = client.status()
    assert client.wait_ready(0) and client.enabled("a")
    assert (status.state, status.link, status.source, status.environment, status.flags, status.revision) == (
        "ready", "file", "file", "development", 2, 1,
    )  # fmt: skip

    write("[flags]\na = false\nb = 1")
    wait_until(lambda: not client.enabled("a"), "what was saved is in force")
    wait_until(lambda: changes == [{"a"}], "the listener is told")
    assert client.status().revision == 2

    rule = "{when = {attribute = 'environment', op = 'in', values = ['laptop']}, serve = 'off'}"
    write(f"environment = 'laptop'\n[flags.a]\nrules = [{rule}]")
    wait_until(lambda: client.status().environment == "laptop", "the name of the environment is known")
    assert client.enabled("a") is False and client.explain("a").reason == "TARGETING_MATCH"


@pytest.mark.parametrize("content", ["", "[flags]\na = tr", "[flags]\na = 'x'\nb = {on = 3}", None])
def test_a_wrong_file_changes_nothing_and_is_told_until_it_is_right(
    write: Write, follow: Callable[..., Client], content: str | None
) -> None:
    path = write("[flags]\na = true")
    client = follow(path)
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    wait_until(lambda: client.status().state == "stale", "the trouble is told")
    assert str(client.status().last_error).startswith(f"{path}: ")
    assert client.enabled("a") is True and client.status().flags == 1

    write("[flags]\na = true")
    wait_until(lambda: client.status().state == "ready", "it is right again")
    assert client.status().last_error is None and client.enabled("a") is True


def test_a_file_that_is_wrong_or_missing_at_first_gives_the_defaults_of_callers(
    write: Write, follow: Callable[..., Client], tmp_path: Path
) -> None:
    client = follow(tmp_path / "downhaul.toml")
    assert client.enabled("a", default=True) is True and not client.wait_ready(0)
    assert client.status().state == "offline" and "there is no such file" in str(client.status().last_error)
    write("[flags]\na = false")
    wait_until(lambda: client.enabled("a", default=True) is False, "it is there now")


def test_half_of_a_file_is_not_believed_though_it_be_valid(write: Write) -> None:
    path = write("[flags]\na = true\n")
    file = LocalFile(str(path))
    assert file.look() is not None and file.look() is None

    path.write_text("[flags]\n")  # an editor in the middle of a save
    assert file.look() is None and file.unsettled
    path.write_text("[flags]\na = true\nb = true\n")
    assert file.look() is None and file.unsettled
    found = file.look()
    assert found is not None and set(found[0].ruleset.flags) == {"a", "b"}

    path.write_text("")
    assert file.look() is None
    path.write_text("[flags]\na = true\nb = true\n")
    assert file.look() is None and not file.unsettled
    path.unlink()
    assert file.look() is None
    with pytest.raises(LocalFileError, match="there is no such file"):
        file.look()
    assert file.look() is None


def test_a_folder_and_a_pipe_are_told_and_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    for name in ("pipe.toml", "folder.toml"):
        with pytest.raises(LocalFileError, match=rf"{name}: is not a regular file"):
            LocalFile(str(tmp_path / name)).look()


def test_the_overrides_file_wins_over_it(write: Write, follow: Callable[..., Client], tmp_path: Path) -> None:
    (tmp_path / "overrides.json").write_text('{"a": false}')
    client = follow(write("[flags]\na = true\nb = true"), overrides=tmp_path / "overrides.json")
    wait_until(lambda: not client.enabled("a"), "the overrides are obeyed")
    assert client.enabled("b")


def test_a_client_goes_from_a_file_to_a_service_and_back(
    write: Write, follow: Callable[..., Client], service: FakeService
) -> None:
    client = follow(write("[flags]\nlocal = true"))
    assert client.enabled("local")
    client.configure(url=service.url, key=KEY, service=SERVICE)
    assert client.wait_ready(20) and client.enabled("new-checkout") and not client.enabled("local")
    client.configure(file=write("[flags]\nanother = true"))
    assert client.enabled("another") and not client.enabled("new-checkout") and client.status().link == "file"


def test_a_file_is_no_second_source_beside_a_service(write: Write) -> None:
    with pytest.raises(SettingsError, match="file must be given without url"):
        Settings.from_arguments({"file": "a.toml", "url": "http://flags"})
    with pytest.raises(SettingsError, match=r"file must be a path that ends in \.toml"):
        Settings.from_arguments({"file": "a.txt"})
    settings, problems = Settings.from_environment({"DOWNHAUL_FILE": "a.toml", "DOWNHAUL_URL": "http://flags"})
    assert settings.url and not settings.file
    assert problems[0] == "DOWNHAUL_FILE must be given without DOWNHAUL_URL: it takes the place of a service"


FORKING = """
import os, sys, time
from downhaul import flags

assert flags.enabled("a"), "at the first call, right after the import"
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    seen = flags.enabled("a")
    os.write(writing, b"x")
    end = time.monotonic() + 30
    while flags.enabled("a") and time.monotonic() < end:
        time.sleep(0.01)
    os._exit(0 if seen and not flags.enabled("a") and flags.status().state == "ready" else 1)
os.read(reading, 1)
open(os.environ["DOWNHAUL_FILE"], "w").write("[flags]\\na = false")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_follows_the_file_of_the_environment(write: Write) -> None:
    environment = {**os.environ, "DOWNHAUL_FILE": str(write("[flags]\na = true"))}
    done = subprocess.run(
        [sys.executable, "-c", FORKING], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr

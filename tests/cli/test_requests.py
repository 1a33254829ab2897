"""How the command speaks to the service: tokens, pages, retries, refusals and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.cli import TOKEN, FakeService, Shell


def page(*keys: str, more: str | None = None) -> dict[str, object]:
    items = [{"key": key, "name": key, "created_at": "2026-11-01T08:00:00Z"} for key in keys]
    return {"items": items, "next": more}


def test_the_token_goes_in_the_header_even_when_netrc_knows_the_host(
    service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    service.will_answer(page())

    shell("services", "list")

    assert service.last.headers["Authorization"] == f"Bearer {TOKEN}"
    assert service.last.headers["User-Agent"].startswith("downhaul-cli/")


def test_reading_sends_no_idempotency_key(service: FakeService, shell: Shell) -> None:
    service.will_answer(page())

    shell("services", "list")

    assert "Idempotency-Key" not in service.last.headers


def test_lists_follow_their_pages_to_the_end(service: FakeService, shell: Shell) -> None:
    service.will_answer(page("a", "b", more="c1"))
    service.will_answer(page("c", more="c2"))
    service.will_answer(page("d"))

    result = shell("services", "list", "--json")

    assert [each["key"] for each in result.json] == ["a", "b", "c", "d"]
    assert [asked.query.get("cursor") for asked in service.asked] == [None, "c1", "c2"]


def test_a_limit_ends_a_list_and_asks_for_no_more_than_that(service: FakeService, shell: Shell) -> None:
    service.will_answer(page("a", "b", more="c1"))
    service.will_answer(page("c", more="c2"))

    result = shell("services", "list", "--limit", "3", "--json")

    assert len(result.json) == 3
    assert [asked.query["limit"] for asked in service.asked] == ["3", "1"]


def test_an_empty_list_is_empty_json_and_a_hint_for_people(service: FakeService, shell: Shell) -> None:
    service.will_answer(page())

    assert shell("services", "list", "--json").json == []
    told = shell("services", "list")
    assert (told.code, told.out) == (0, "")
    assert "downhaul services create" in told.err


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 1), (401, 6), (403, 6), (404, 4), (409, 5), (412, 5), (413, 1), (422, 1), (429, 7), (500, 1), (503, 7)],
)
def test_each_refusal_has_its_exit_code_and_one_sentence(
    service: FakeService, shell: Shell, status: int, code: int
) -> None:
    service.will_refuse(status, "there is no service checkout")

    result = shell("services", "list")

    assert result.code == code
    assert result.out == ""
    assert result.err.startswith("Error: there is no service checkout")
    assert result.err.count("\n") == 1


def test_a_failure_of_the_service_is_told_with_the_id_of_the_request(service: FakeService, shell: Shell) -> None:
    service.will_refuse(500, "something went wrong")

    assert "req-1" in shell("services", "list").err


def test_a_refusal_as_json_is_the_problem_document_on_stderr(service: FakeService, shell: Shell) -> None:
    service.will_refuse(409, "there is a service checkout already")

    result = shell("services", "create", "checkout", "--json")

    assert (result.code, result.out) == (5, "")
    problem = json.loads(result.err)
    assert (problem["status"], problem["detail"]) == (409, "there is a service checkout already")
    assert problem["exit_code"] == 5


def test_errors_of_our_own_are_json_too(shell: Shell) -> None:
    problem = json.loads(shell("services", "list", "--json").err)

    assert (problem["exit_code"], problem["detail"]) == (6, "there is no token")


def test_wrong_usage_is_json_too(shell: Shell) -> None:
    result = shell("services", "list", "--json", "--wrong")

    assert result.code == 2
    assert json.loads(result.err)["exit_code"] == 2


def test_every_fault_of_a_refused_document_is_told_with_its_place(service: FakeService, shell: Shell) -> None:
    errors = [
        {"pointer": "#/variants/on", "detail": "expected true or false"},
        {"pointer": "#/tags", "detail": "expected a list"},
    ]
    service.will_refuse(422, "the request cannot be accepted", errors=errors)

    told = shell("flags", "create", "checkout/x").err

    assert "  /variants/on: expected true or false\n" in told
    assert "  /tags: expected a list\n" in told


def test_a_404_that_is_not_downhauls_does_not_mean_that_the_flag_is_gone(service: FakeService, shell: Shell) -> None:
    service.will_answer(b"<html>Not Found</html>", 404)

    result = shell("flags", "show", "checkout/new-checkout")

    assert result.code == 7
    assert "not Downhaul's" in result.err


def test_a_proxy_that_cannot_reach_the_service_means_unavailable(service: FakeService, shell: Shell) -> None:
    service.will_answer(b"<html>Bad Gateway</html>", 502)

    assert shell("services", "list").code == 7


def test_when_nothing_listens_it_says_so_and_what_to_check(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNHAUL_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("DOWNHAUL_TOKEN", TOKEN)

    result = shell("kill", "checkout/new-checkout")

    assert result.code == 7
    assert "nothing listens there" in result.err
    assert "DOWNHAUL_URL" in result.err
    assert "not known" not in result.err


def test_a_host_that_does_not_exist_is_told_as_such(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNHAUL_URL", "http://downhaul.invalid")
    monkeypatch.setenv("DOWNHAUL_TOKEN", TOKEN)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    assert "no host of that name" in shell("services", "list").err


def test_a_service_that_does_not_answer_in_time_is_not_waited_for(
    service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downhaul.cli.api.TIMEOUT_S", (1.0, 0.05))
    service.will_stall()

    result = shell("kill", "checkout/new-checkout")

    assert result.code == 7
    assert "too long to answer" in result.err
    assert "not known whether the change was made" in result.err


def test_reading_is_tried_again_when_the_connection_is_lost(service: FakeService, shell: Shell) -> None:
    service.will_hang_up()
    service.will_answer(page("a"))

    result = shell("services", "list", "--json")

    assert [each["key"] for each in result.json] == ["a"]


def test_a_503_whose_outcome_is_unknown_says_so(service: FakeService, shell: Shell) -> None:
    service.will_refuse(503, "the store does not answer", outcome_unknown=True)

    assert "not known whether the change was made" in shell("kill", "a/b").err


def test_texts_of_other_people_cannot_move_the_cursor(service: FakeService, shell: Shell) -> None:
    service.will_answer(
        {"items": [page("a")["items"][0] | {"name": "\x1b[2Jgone\x9b\u202e [red]x[/red]"}], "next": None}
    )

    out = shell("services", "list").out

    assert "\x1b" not in out and "\x9b" not in out and "\u202e" not in out
    assert "\\x1b[2Jgone" in out
    assert "[red]x[/red]" in out


def test_a_document_with_broken_unicode_can_be_shown(service: FakeService, shell: Shell) -> None:
    service.will_answer({"items": [page("a")["items"][0] | {"name": "\ud800 \U0001f600"}], "next": None})

    assert "\\ud800" in shell("services", "list").out
    assert shell("services", "list", "--json").json[0]["name"].endswith("\U0001f600")


def test_an_argument_that_is_no_text_is_wrong_usage(service: FakeService, shell: Shell) -> None:
    assert shell("flags", "list", "checkout", "--tag", "\udcff").code == 2
    assert service.asked == []

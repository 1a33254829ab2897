"""Server-sent events: what is read depends on the bytes alone, never on how they were cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from downhaul.events import Event, EventTooLargeError, Parser
from hypothesis import example, given
from hypothesis import strategies as st

LIMIT = 1000


def read(*chunks: bytes) -> list[Event]:
    parser = Parser(LIMIT)
    return [event for chunk in chunks for event in parser.feed(chunk)]


def said(data: bytes, type: str = "message", id: str | None = None, retry: int | None = None) -> list[Event]:  # noqa: A002
    return [Event(type, data, id, retry)]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"event: change\nid: e1:42\ndata: {}\n\n", said(b"{}", "change", "e1:42")),
        (b"data: a\r\ndata:b\r\rdata: c\n\n", [*said(b"a\nb"), *said(b"c")]),
        (b"data:  two spaces\n\n", said(b" two spaces")),
        (b"data\n\n", said(b"")),
        (b": a comment\ndata: x\n: another\n\n", said(b"x")),
        (b"\xef\xbb\xbfdata: after a byte order mark\n\n", said(b"after a byte order mark")),
        (b"data: x\n\xef\xbb\xbfdata: no field of this name\n\n", said(b"x")),
        (b"unknown: y\nDATA: z\ndata: x\n\n", said(b"x")),
        (b"id: a\0b\nretry: soon\ndata: x\n\n", said(b"x")),
        (b"retry: 1500\nevent: end\ndata: {}\n\n", said(b"{}", "end", retry=1500)),
        (b"retry: \xd9\xa3\ndata: no digits of ASCII\n\n", said(b"no digits of ASCII")),
        (b"data: \xff\n\n", said(b"\xff")),
        (b"data: not ended\n", []),
        (b"\n\n\r\n", []),
    ],
)
def test_events_are_read_as_the_standard_says(text: bytes, events: list[Event]) -> None:
    assert read(text) == events


def test_an_event_is_there_with_the_byte_that_ends_it() -> None:
    parser = Parser(LIMIT)
    assert parser.feed(b"data: x\r") == [] and parser.feed(b"\r") == said(b"x")
    assert parser.feed(b"\ndata: y\n") == [], "the line feed belongs to the carriage return before it"
    assert parser.feed(b"\n") == said(b"y")


PIECES = st.sampled_from(
    [b"data: x", b"data:", b"data", b"event: change", b"id: e1:7", b"id: \0", b"retry: 5", b": c", b"\n", b"\r",
     b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"\xff", b"x", b":", b" "]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40).map(b"".join), st.data())
@example(b"data: x\r\n\r\n", None)
def test_pieces_do_not_matter(text: bytes, data: st.DataObject | None) -> None:
    cuts = data.draw(st.sets(st.integers(0, len(text)))) if data else set(range(len(text)))
    places = [0, *sorted(cuts), len(text)]
    assert read(*(text[a:b] for a, b in pairwise(places))) == read(text)


@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_line_ends_are_all_the_same(text: bytes) -> None:
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert read(text) == read(lines) == read(lines.replace(b"\n", b"\r\n")) == read(lines.replace(b"\n", b"\r"))


@given(st.binary(max_size=300))
def test_garbage_is_no_error(text: bytes) -> None:
    for event in read(text):
        assert len(event.data) <= len(text)


@pytest.mark.parametrize("text", [b"data: " + b"x" * LIMIT, b"data: 0123456789\n" * 100, b": " + b"x" * LIMIT])
@pytest.mark.parametrize("size", [1, 64, 100_000])
def test_what_grows_without_end_is_an_error(text: bytes, size: int) -> None:
    with pytest.raises(EventTooLargeError):
        read(*(text[at : at + size] for at in range(0, len(text), size)))


def test_many_events_are_no_large_one() -> None:
    assert len(read(b"data: 0123456789\n\n" * 500)) == 500


def test_many_small_pieces_of_a_large_event_take_no_longer_than_few() -> None:
    parser = Parser(1 << 22)
    text = b"data: " + b"x" * (1 << 20) + b"\n\n"
    found = [event for at in range(0, len(text), 16) for event in parser.feed(text[at : at + 16])]
    assert [len(event.data) for event in found] == [1 << 20]

"""What one run of the command holds: how to answer, and the connection, made when it is first needed."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from rich.console import RenderableType

from downhaul.cli.api import Api, Listing
from downhaul.cli.connection import connect
from downhaul.cli.output import Output


class Session:
    """Commands get it as their first argument."""

    def __init__(self) -> None:
        self.as_json = False
        self.profile: str | None = None
        self.output = Output()

    @cached_property
    def api(self) -> Api:
        """Raises CliError when there is no token, or it cannot be read."""
        return Api(connect(os.environ, self.profile))

    def answer(self, document: Any, *parts: RenderableType) -> None:
        """The document as JSON when that was asked for, else the same for people."""
        if self.as_json:
            self.output.json(document)
        else:
            self.output.show(*parts)

    def say(self, sentence: str) -> None:
        """The first part of an answer for people, at once: more of it takes its time."""
        if not self.as_json:
            self.output.show(sentence)
            self.output.flush()

    def answer_list(self, listing: Listing, part: RenderableType, *, empty: str) -> None:
        """A list of documents; `empty` says on stderr what there could be."""
        if self.as_json or listing.items:
            self.answer(listing.items, part)
        else:
            self.output.note(empty)

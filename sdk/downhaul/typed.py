"""The getters that ask for one type: whoever asks for a text gets a text, or the default."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from downhaul.answers import Answers
from downhaul.details import Details

Default = TypeVar("Default")


class Getters:
    """Getters by type. None of them raises or blocks; each counts as an evaluation.

    The default is the answer where the flag is of another type, too: with the error code `TYPE_MISMATCH`, logged once.
    The twin of each, `..._details`, gives the reason and the error code with the value.
    """

    _answers: Answers

    # The overload with a default comes first: in the other one it would pass for an attribute of the context.

    @overload
    def boolean(self, flag: str, /, default: Default, **context: Any) -> bool | Default: ...
    @overload
    def boolean(self, flag: str, /, **context: Any) -> bool: ...
    def boolean(self, flag: str, /, default: Any = False, **context: Any) -> Any:
        """The value of a boolean flag: `enabled` by another name."""
        return self._answers.details(flag, default, context, "boolean").value

    @overload
    def boolean_details(self, flag: str, /, default: Default, **context: Any) -> Details[bool | Default]: ...
    @overload
    def boolean_details(self, flag: str, /, **context: Any) -> Details[bool]: ...
    def boolean_details(self, flag: str, /, default: Any = False, **context: Any) -> Any:
        """The value of a boolean flag, and why it is so."""
        return self._answers.details(flag, default, context, "boolean")

    @overload
    def string(self, flag: str, /, default: Default, **context: Any) -> str | Default: ...
    @overload
    def string(self, flag: str, /, **context: Any) -> str: ...
    def string(self, flag: str, /, default: Any = "", **context: Any) -> Any:
        """The value of a string flag."""
        return self._answers.details(flag, default, context, "string").value

    @overload
    def string_details(self, flag: str, /, default: Default, **context: Any) -> Details[str | Default]: ...
    @overload
    def string_details(self, flag: str, /, **context: Any) -> Details[str]: ...
    def string_details(self, flag: str, /, default: Any = "", **context: Any) -> Any:
        """The value of a string flag, and why it is so."""
        return self._answers.details(flag, default, context, "string")

    @overload
    def number(self, flag: str, /, default: Default, **context: Any) -> float | Default: ...
    @overload
    def number(self, flag: str, /, **context: Any) -> float: ...
    def number(self, flag: str, /, default: Any = 0, **context: Any) -> Any:
        """The value of a number flag: an int where it is written as one, else a float."""
        return self._answers.details(flag, default, context, "number").value

    @overload
    def number_details(self, flag: str, /, default: Default, **context: Any) -> Details[float | Default]: ...
    @overload
    def number_details(self, flag: str, /, **context: Any) -> Details[float]: ...
    def number_details(self, flag: str, /, default: Any = 0, **context: Any) -> Any:
        """The value of a number flag, and why it is so."""
        return self._answers.details(flag, default, context, "number")

    def json(self, flag: str, /, default: Any = None, **context: Any) -> Any:
        """The value of a json flag: a copy that the caller may change."""
        return self._answers.details(flag, default, context, "json").value

    def json_details(self, flag: str, /, default: Any = None, **context: Any) -> Details[Any]:
        """The value of a json flag, and why it is so."""
        return self._answers.details(flag, default, context, "json")

    @overload
    def variant(self, flag: str, /, default: Default, **context: Any) -> str | Default: ...
    @overload
    def variant(self, flag: str, /, **context: Any) -> str | None: ...
    def variant(self, flag: str, /, default: Any = None, **context: Any) -> Any:
        """The name of the variant of a flag of any type. Counts as an evaluation; never raises, never blocks.

        `default` is the answer where there is none: no snapshot yet, no such flag, or an override with a value that no
        variant has.
        """
        found = self._answers.details(flag, None, context).variant
        return default if found is None else found

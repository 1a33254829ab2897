"""What can go wrong in a service; nothing else leaves this room on purpose. One sentence each, fit for the client."""

# ruff: noqa: N818 - the classes are named after what happened; every one of them is an error

from __future__ import annotations

from collections.abc import Sequence

Path = tuple[str | int, ...]
"""Where in the client's document: `("environments", "production", "rules", 0, "when")`. Empty: all of it."""


class ServiceError(Exception):
    """The base of them all."""


class NotFound(ServiceError):
    """Something that was named is not there."""

    def __init__(self, kind: str, *keys: str) -> None:
        super().__init__(f"there is no {kind} {'/'.join(keys)}")
        self.kind = kind
        """`service`, `environment`, `flag`, `segment`, `key`."""
        self.keys = keys


class Gone(ServiceError):
    """It was there, and is good for nothing any more."""


class AlreadyExists(ServiceError):
    """Something of this name is there already."""

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(f"there is a {kind} {key} already")
        self.kind = kind
        self.key = key


class VersionMismatch(ServiceError):
    """The caller's If-Match names another version than the current one (0: there is no such document)."""

    def __init__(self, expected: int, current_version: int) -> None:
        there = f"it is at version {current_version}" if current_version else "it does not exist"
        super().__init__(f"the change was meant for version {expected}, but {there}")
        self.expected = expected
        self.current_version = current_version


class InUse(ServiceError):
    """It cannot be removed (or lose a part) while others use it."""

    def __init__(self, what: str, by: Sequence[str]) -> None:
        super().__init__(f"{what} is in use by {', '.join(by)}")
        self.by = tuple(by)
        """Who uses it: `flag checkout/new-checkout`, `segment beta`, `key 3f2a...`."""


class ApprovalRequired(ServiceError):
    """The change is for a protected environment, where others have to approve it first."""

    def __init__(self, environments: Sequence[str], approvals: int, targets: Sequence[str]) -> None:
        places, number = " and ".join(environments), "another person" if approvals == 1 else f"{approvals} others"
        super().__init__(
            f"a change of {', '.join(targets)} in {places} has to be approved by {number}: "
            "ask for a review with POST /api/v1/reviews (a kill, or switching off, needs none)"
        )
        self.environments = tuple(environments)
        self.approvals = approvals
        """How many must approve."""
        self.targets = tuple(targets)
        """What was to be changed: `flag checkout/new-checkout`."""


class ReviewClosed(ServiceError):
    """The review is not open any more, or what it was made for has changed since."""

    def __init__(self, review: str, status: str, message: str) -> None:
        super().__init__(message)
        self.review = review
        self.status = status
        """`applied`, `rejected`, `withdrawn`, `expired` or `stale`."""


class Invalid(ServiceError):
    """What the client sent cannot be accepted; every fault with its place."""

    def __init__(self, errors: Sequence[tuple[Path, str]]) -> None:
        super().__init__("; ".join(message if not path else f"{_dotted(path)}: {message}" for path, message in errors))
        self.errors = tuple(errors)

    @classmethod
    def at(cls, *path: str | int, message: str) -> Invalid:
        """One fault at one place."""
        return cls([(path, message)])


class Unauthenticated(ServiceError):
    """No token that we know. The sentence never repeats it."""


class Forbidden(ServiceError):
    """The actor's role or scope does not reach so far."""


class OperationConflict(ServiceError):
    """The idempotency key was already used for a different request."""


class Unavailable(ServiceError):
    """The store cannot be read or written now; the same request may succeed later."""

    def __init__(self, message: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown
        """True when a change was sent and its answer lost: retry with the same idempotency key to learn."""


class TooMany(ServiceError):
    """Too many attempts have failed; `retry_after`: so many seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InProgress(ServiceError):
    """The same is going on already, and only one may at a time."""


class Overloaded(ServiceError):
    """There is no room for more of this now; the same request may succeed later."""


def _dotted(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")

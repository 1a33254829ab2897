"""Who is whose hand: nobody approves a change that the same person could have asked for with another token."""

from __future__ import annotations

from collections.abc import Sequence

from downhaul_server.services.actors import Actor
from downhaul_server.services.names import address
from downhaul_server.store import View

BOOTSTRAP = "admin"
"""The bootstrap administrator, who is one person and has no document; also who made a key that nobody else made."""

Hands = tuple[str, ...]
"""An actor's own id, then that of whoever made its token, and so on."""


def hands(view: View, actor: Actor) -> Hands:
    """An actor, and who had its token in the hand before."""
    if actor.kind == "admin":
        return (BOOTSTRAP,)
    found = [actor.token_id or f"{actor.kind} {actor.name}"]
    waiting = [*_makers(view, found[0])]
    while waiting:
        maker = waiting.pop(0)
        if maker not in found:
            found.append(maker)
            waiting += _makers(view, maker)
    return tuple(found)


def same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two acted with the very same token, or are the same person."""
    return one[0] == other[0]


def related(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether one person may be behind both: one made the other's token, or somebody else made both.

    That the bootstrap administrator made both is no sign of it: that is how the first tokens are made.
    """
    shared = {*one} & {*other}
    return bool(shared - {BOOTSTRAP}) or one[0] in other or other[0] in one


def _makers(view: View, holder: str) -> list[str]:
    """Who has seen the token: who made it, and who rotated it."""
    key = view.get(address("key", holder))
    if key is None:
        return []
    return [maker or BOOTSTRAP for maker in (key.body.get("made_by"), *key.body.get("rotated_by", ()))]

"""The decision whether what Redis holds may be served."""

from __future__ import annotations

from dataclasses import replace

import pytest
from downhaul_server.store import StoreDiverged, View
from downhaul_server.store.place import Place, Verdict, judge
from downhaul_server.store.view import Freshness

SERVED = View.of([], epoch="ours", revision=5, chain="chain-5", touched={}, freshness=Freshness())
SAME = Place(schema=1, epoch="ours", revision=5, chain="chain-5", succeeds=(), chain_at_ours="chain-5")
AHEAD = replace(SAME, revision=8, chain="chain-8")
DECIDED = replace(SAME, epoch="new", succeeds=("between", "ours"), revision=2, chain="c", chain_at_ours=None)


@pytest.mark.parametrize(
    ("view", "place", "verdict"),
    [
        (None, None, Verdict.CREATE),
        (None, SAME, Verdict.LOAD),
        (SERVED, SAME, Verdict.FOLLOW),
        (SERVED, AHEAD, Verdict.FOLLOW),
        (SERVED, replace(AHEAD, chain_at_ours=None), Verdict.LOAD),
        (SERVED, DECIDED, Verdict.LOAD),
    ],
    ids=["nothing anywhere", "we have nothing", "the same", "ahead", "log trimmed", "an operator decided"],
)
def test_what_continues_our_history_is_taken(view: View | None, place: Place | None, verdict: Verdict) -> None:
    assert judge(view, place) is verdict


@pytest.mark.parametrize(
    ("view", "place", "reason"),
    [
        (SERVED, None, "Redis is empty"),
        (SERVED, replace(SAME, epoch="other"), "epoch other"),
        (SERVED, replace(DECIDED, succeeds=("between",)), "epoch new"),
        (SERVED, replace(SAME, revision=4), "back at revision 4"),
        (SERVED, replace(SAME, chain="forged"), "another history"),
        (SERVED, replace(AHEAD, chain_at_ours="forged"), "another history"),
        (SERVED, replace(AHEAD, lost="9"), "lacks revision 9, which another server has served"),
        (SERVED, replace(AHEAD, lost="9", chain_at_ours=None), "lacks revision 9"),
        (SERVED, replace(AHEAD, lost="9", chain_at_ours="forged"), "another history"),
        (None, replace(SAME, schema=2), "schema 2"),
        (SERVED, replace(SAME, schema=2), "schema 2"),
    ],
)
def test_what_would_undo_our_history_is_refused(view: View | None, place: Place | None, reason: str) -> None:
    with pytest.raises(StoreDiverged, match=reason):
        judge(view, place)

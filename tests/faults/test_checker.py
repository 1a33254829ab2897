"""Every check of the fault suite can fail: each is shown a recording that is sound, and the same with one fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from downhaul_server.store.commits import CREATE, RECOVER, Change, Entry
from faults import checker
from faults.checker import Recording, check
from faults.history import History, Life
from faults.recording import USERS, Biography, Convergence, Observation, Operation

ON, OFF = [True] * len(USERS), [False] * len(USERS)
FLAG = {
    "key": "c0",
    "service": "checkout",
    "type": "boolean",
    "description": "",
    "tags": [],
    "salt": "checkout/c0",
    "variants": {"on": True, "off": False},
    "order": ["on", "off"],
    "off_variant": "off",
    "requires": [],
    "environments": {"production": {"on": True, "killed": None, "rules": [], "otherwise": {"variant": "on"}}},
}
KILLED = FLAG | {"environments": {"production": FLAG["environments"]["production"] | {"killed": {"by": "op"}}}}
KILL = Operation(
    key="k2",
    method="POST",
    path="services/checkout/flags/c0/kill",
    body=None,
    began=12.0,
    ended=13.0,
    status=200,
    answer={
        "revision": 3,
        "changed": True,
        "environment": "production",
        "flags": ["checkout/c0"],
        "instances": 1,
        "applied": 1,
        "confirmed": True,
        "stragglers": [],
    },
)
CREATION = Operation(
    key="k1",
    method="POST",
    path="services/checkout/flags",
    body=None,
    began=2.0,
    ended=3.0,
    status=201,
    answer={"version": 2, "acknowledgement": None} | FLAG,
)


def entry(revision: int, key: str, changes: dict[str, Any], action: str = "flag.create") -> Entry:
    return Entry(
        revision=revision,
        at="",
        actor={},
        action=action,
        reason=None,
        touches=(("checkout", "production"),),
        changes=tuple(Change(address, 0, None, after) for address, after in changes.items()),
        operation=f"admin:{key}",
        details=None,
        digest="",
        chain=str(revision),
    )


def seen(at: float, until: float, revision: int, values: list[bool], **more: Any) -> Observation:
    position = (more.pop("epoch", "e1"), revision)
    return Observation(
        at, until, position, {"c0": values}, **{"state": "ready", "link": "poll", "source": "service"} | more
    )


ENTRIES = (
    entry(1, "k0", {"service/checkout": {"key": "checkout"}}, CREATE),
    entry(2, "k1", {"flag/checkout/c0": FLAG}),
    entry(3, "k2", {"flag/checkout/c0": KILLED}, "flag.kill"),
)
LIVES = [Life("e1", ENTRIES)]
INSTANCE = Biography(
    name="checkout-1",
    service="checkout",
    environment="production",
    seen=(
        Observation(1.0, 4.0, None, {"c0": ["absent"] * len(USERS)}, "starting", "poll", "none"),
        seen(5.0, 12.1, 2, ON),
        seen(12.2, 40.0, 3, OFF),
    ),
    known_at=6.0,
    requests=tuple(float(second) for second in range(40)),
    severed=((20.0, 22.0),),
)
SOUND = Recording(History(list(LIVES)), (CREATION, KILL), (INSTANCE,), Convergence(22.0, {"checkout-1": 0.5}))


def with_instance(**changes: Any) -> Recording:
    return replace(SOUND, instances=(replace(INSTANCE, **changes),))


def with_seen(*observations: Observation) -> Recording:
    return with_instance(seen=(*INSTANCE.seen[:2], *observations))


def with_kill(**answer: Any) -> Recording:
    return replace(SOUND, operations=(CREATION, replace(KILL, answer={**KILL.answer, **answer})))


def with_entries(*entries: Entry) -> Recording:
    return replace(SOUND, history=History([Life("e1", entries)]))


def test_a_sound_recording_has_no_faults() -> None:
    assert check(SOUND) == []


def test_what_an_operator_has_recovered_is_sound() -> None:
    life = Life("e2", (entry(3, "r", {}, RECOVER), entry(4, "k4", {"flag/checkout/c0": KILLED}, "flag.kill")))
    after = (seen(20.0, 20.5, 3, OFF), seen(21.0, 22.0, 3, ON, epoch="e2"), seen(23.0, 40.0, 4, OFF, epoch="e2"))
    recording = replace(with_seen(seen(12.2, 20.0, 3, OFF), *after), history=History([*LIVES, life]))
    assert check(recording) == []


FAULTY: dict[str, tuple[Callable[[], Recording], str]] = {
    "an acknowledged change is gone": (lambda: with_entries(*ENTRIES[:2]), "which is not in the log"),
    "an acknowledged change has another revision": (lambda: with_kill(revision=2), "was said to be revision 2"),
    "a change was made twice": (
        lambda: with_entries(*ENTRIES, entry(4, "k2", {"flag/checkout/c0": KILLED})),
        "was committed 2 times",
    ),
    "an acknowledged change has another content": (
        lambda: with_entries(*ENTRIES[:2], entry(3, "k2", {"flag/checkout/c0": FLAG})),
        "says something else",
    ),
    "an acknowledged document has another content": (
        lambda: replace(SOUND, operations=(replace(CREATION, answer={**CREATION.answer, "description": "?"}), KILL)),
        "says something else",
    ),
    "an acknowledged change is somebody else's": (
        lambda: replace(SOUND, operations=(CREATION, replace(KILL, key="k9"))),
        "there is none in the log",
    ),
    "a deleted document is still there": (
        lambda: replace(
            SOUND,
            operations=(
                CREATION,
                replace(
                    KILL, method="DELETE", path="services/checkout/flags/c0", answer={"acknowledgement": KILL.answer}
                ),
            ),
        ),
        "says something else",
    ),
    "a revision goes back": (
        lambda: with_seen(seen(12.2, 20.0, 3, OFF), seen(21.0, 22.0, 2, ON), seen(23.0, 40.0, 3, OFF)),
        "went back from ('e1', 3) to ('e1', 2)",
    ),
    "a snapshot is lost": (
        lambda: with_seen(seen(12.2, 20.0, 3, OFF), INSTANCE.seen[0], seen(23.0, 40.0, 3, OFF)),
        "lost its snapshot",
    ),
    "an epoch comes back": (
        lambda: replace(
            with_seen(seen(12.2, 20.0, 3, OFF), seen(21.0, 22.0, 3, OFF, epoch="e2"), seen(23.0, 40.0, 3, OFF)),
            history=History([*LIVES, Life("e2", (entry(4, "r", {}, RECOVER),))]),
        ),
        "went back to epoch",
    ),
    "a value was never true": (lambda: with_seen(seen(12.2, 40.0, 3, ON)), "the log says [False"),
    "a revision was never there": (lambda: with_seen(seen(12.2, 12.3, 7, OFF), seen(12.4, 40.0, 3, OFF)), "never was"),
    "a change was skipped": (lambda: with_instance(seen=(seen(5.0, 40.0, 3, ON),)), "the log says [False"),
    "a value without a snapshot": (
        lambda: with_instance(
            seen=(Observation(1.0, 4.0, None, {"c0": ON}, "starting", "poll", "none"), *INSTANCE.seen[1:])
        ),
        "without a snapshot",
    ),
    "a storm": (lambda: with_instance(requests=tuple(30 + index / 100 for index in range(100))), "requests within"),
    "deaf and ready": (lambda: with_instance(severed=((20.0, 39.0),)), "was cut off at 20.000, and ready"),
    "a confirmation was a lie": (
        lambda: with_instance(seen=(seen(5.0, 13.5, 2, ON), seen(13.6, 40.0, 3, OFF))),
        "as applied by checkout-1, which had ('e1', 2)",
    ),
    "an instance was overlooked": (lambda: with_kill(instances=0, applied=0), "was confirmed by 0 instances"),
    "not converged": (
        lambda: replace(SOUND, convergence=Convergence(22.0, {"checkout-1": None})),
        "a long time; the newest is ('e1', 3)",
    ),
    "converged too late": (lambda: replace(SOUND, convergence=Convergence(22.0, {"checkout-1": 46.0})), "46.0 s"),
    "not ready in the end": (lambda: with_seen(seen(12.2, 40.0, 3, OFF, state="stale")), "(stale, poll: None)"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_it_finds(name: str) -> None:
    recording, sentence = FAULTY[name]
    assert any(sentence in fault for fault in check(recording())), check(recording())


def test_a_straggler_that_was_named_may_have_the_old_value() -> None:
    late = with_instance(seen=(seen(5.0, 13.5, 2, ON), seen(13.6, 40.0, 3, OFF)))
    named = with_kill(confirmed=False, applied=0, stragglers=[{"instance": "checkout-1"}])
    assert check(replace(late, operations=named.operations)) == []


def test_requests_that_changes_are_the_reason_for_are_no_storm() -> None:
    changes = tuple(seen(5 + number / 50, 5 + number / 50, 2 + number % 2, OFF) for number in range(50))
    busy = replace(INSTANCE, seen=changes, requests=tuple(5 + number / 100 for number in range(100)))
    assert list(checker.no_storm(busy)) == []


def test_one_position_that_is_two_things_is_found() -> None:
    twice = entry(3, "k3", {"flag/checkout/c0": KILLED})
    with pytest.raises(AssertionError, match="is two things"):
        check(with_entries(*ENTRIES[:2], replace(twice, touches=())))

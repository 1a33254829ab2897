"""What must hold of a recording, whatever happened. Each check is pure, and gives a sentence for every fault found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from downhaul_server.services.flag_forms import state_of
from faults.history import History, Truth, newest, target
from faults.recording import Biography, Convergence, Observation, Operation, Position

DEAD_S = 15.0
"""A stream is dead after 12.5 s without a byte; the rest is for whoever looks."""
CONVERGED_S = 45.0
"""The longest pause between two attempts (30 s), the longest wait within one (10 s), and a busy machine."""
WINDOW_S = 2.0
MOST_REQUESTS = 40
"""Requests and connections of one instance within the window, beside those that changes are the reason for."""
REQUESTS_A_CHANGE = 4
"""A report, a poll, and both again where the first was interrupted or broken."""
STATE = ("on", "rules", "otherwise")
DEFINITION = ("description", "variants", "off_variant", "requires", "tags")


@dataclass(frozen=True)
class Recording:
    """All that is known of a run."""

    history: History
    operations: Sequence[Operation]
    instances: Sequence[Biography]
    convergence: Convergence | None = None


def check(recording: Recording) -> list[str]:
    """Everything."""
    faults = list(acknowledged_is_durable(recording.history, recording.operations))
    groups = {each.group: recording.history.truths(each.group) for each in recording.instances}
    for each in recording.instances:
        truths = groups[each.group]
        faults += never_backwards(each)
        faults += nothing_untrue(each, truths)
        faults += no_storm(each)
        faults += never_ready_when_deaf(each)
    for operation in recording.operations:
        until = _newest(recording.operations, operation.ended)
        faults += confirmed_is_applied(operation, recording.history, recording.instances, groups, until)
    if recording.convergence:
        faults += has_converged(recording.convergence, recording.instances, groups)
    return faults


def acknowledged_is_durable(history: History, operations: Sequence[Operation]) -> Iterator[str]:
    """What was acknowledged is in the log, once, at its revision, with its content."""
    by_key: dict[str, list[tuple[Position, Any]]] = {}
    for epoch, entry in history.entries():
        by_key.setdefault(_key(entry), []).append(((epoch, entry.revision), entry))
    views = history.views()
    for operation in operations:
        logged = by_key.get(operation.key, [])
        if len(logged) > 1:
            yield f"{_name(operation)} was committed {len(logged)} times"
        if operation.revision is None:
            continue
        if logged and logged[0][0][1] != operation.revision:
            yield f"{_name(operation)} was said to be revision {operation.revision}, it is {logged[0][0]}"
        at = [logged[0][0]] if logged else [each for each in views if each[1] == operation.revision]
        if not any(each in views for each in at):
            yield f"{_name(operation)} was acknowledged as revision {operation.revision}, which is not in the log"
        elif operation.answer.get("changed") is True and not logged:
            yield f"{_name(operation)} was acknowledged as a change, and there is none in the log"
        elif not any(_has_content(views[each], operation) for each in at):
            yield f"{_name(operation)}: the log at revision {operation.revision} says something else than its answer"


def never_backwards(instance: Biography) -> Iterator[str]:
    """Within an epoch no revision goes back, and no epoch comes back."""
    last: Position | None = None
    left: set[str] = set()
    for each in instance.seen:
        if each.position is None:
            if last is not None:
                yield f"{instance.name} lost its snapshot {last} at {each.at:.3f}"
            continue
        if last and each.position[0] != last[0]:
            left.add(last[0])
        if each.position[0] in left:
            yield f"{instance.name} went back to epoch {each.position} from {last} at {each.at:.3f}"
        if last and each.position[0] == last[0] and each.position[1] < last[1]:
            yield f"{instance.name} went back from {last} to {each.position} at {each.at:.3f}"
        last = each.position


def nothing_untrue(instance: Biography, truths: Mapping[Position, Truth]) -> Iterator[str]:
    """Each revision that was seen is one, and all flags had the values that the log says; so none was left out."""
    said: set[tuple[Position | None, str]] = set()
    for each in instance.seen:
        for name, values in each.values.items():
            if (fault := _untrue(each, name, values, truths)) and (each.position, name) not in said:
                said.add((each.position, name))
                yield f"{instance.name} at {each.at:.3f}: {fault}"


def no_storm(instance: Biography) -> Iterator[str]:
    """Requests within any two seconds are bounded, whatever the service does."""
    changes = [later.at for one, later in zip(instance.seen, instance.seen[1:], strict=False) if _moved(one, later)]
    requests = sorted(instance.requests)
    first = 0
    for index, now in enumerate(requests):
        while requests[first] < now - WINDOW_S:
            first += 1
        excuses = sum(now - WINDOW_S - 1 <= change <= now + 1 for change in changes)
        if index - first + 1 > MOST_REQUESTS + REQUESTS_A_CHANGE * excuses:
            yield f"{instance.name} sent {index - first + 1} requests within {WINDOW_S:g} s, until {now:.3f}"
            return


def never_ready_when_deaf(instance: Biography) -> Iterator[str]:
    """Whoever was cut off for long does not say that it is ready."""
    for began, ended in instance.severed:
        for each in instance.seen:
            if each.state == "ready" and max(each.at, began + DEAD_S) < min(each.until, ended):
                yield f"{instance.name} was cut off at {began:.3f}, and ready at {each.until:.3f}"
                break


def confirmed_is_applied(
    operation: Operation,
    history: History,
    instances: Sequence[Biography],
    groups: Mapping[tuple[str, str], Mapping[Position, Truth]],
    until: int,
) -> Iterator[str]:
    """Whoever counts as having applied it had done so when the answer came, and a confirmation leaves out nobody.

    Asked are those whose snapshot holds the flags; where later changes, up to revision `until`, have ended that, nobody
    knows what the snapshot was when the answer was made, and they are not looked at.
    """
    said = operation.acknowledgement
    if said is None or operation.revision is None:
        return
    known = [each for each in instances if each.known_at and each.known_at < operation.began]
    audience = [(each, *_wanted(operation, history, each.group, groups[each.group], until)) for each in known]
    concerned = [(each, epoch, revision) for each, epoch, revision in audience if revision is not None]
    named = {each["instance"] for each in said["stragglers"]}
    if said["confirmed"] and said["applied"] < len(concerned):
        yield f"{_name(operation)} was confirmed by {said['applied']} instances; there are {len(concerned)}"
    if said["instances"] < len(concerned):
        return  # those that are not named may be unknown to who answered, and count as nothing
    order = [life.epoch for life in history.lives]
    for each, epoch, revision in concerned:
        if each.name not in named and (late := _behind(each, (epoch, revision), operation.ended, order)):
            yield (
                f"{_name(operation)} was answered at {operation.ended:.3f} as applied by {each.name}, "
                f"which had {late.position} at {late.until:.3f}; it needed {revision}"
            )


def has_converged(
    convergence: Convergence,
    instances: Sequence[Biography],
    groups: Mapping[tuple[str, str], Mapping[Position, Truth]],
) -> Iterator[str]:
    """After the last fault everybody has the newest, and says that it is ready."""
    for each in instances:
        took = convergence.took_s.get(each.name)
        wanted, last = newest(groups[each.group]), each.seen[-1]
        if took is None or took > CONVERGED_S or last.position != wanted or last.state != "ready":
            yield (
                f"{each.name} had {last.position} ({last.state}, {last.link}: {last.error}) in the end, after "
                f"{'a long time' if took is None else f'{took:.1f} s'}; the newest is {wanted}"
            )


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.path} ({operation.key})"


def _has_content(view: Any, operation: Operation) -> bool:
    """Whether what was answered is what the store held at that revision."""
    answer = operation.answer
    if "flags" in answer:  # a kill, or a restore
        killed = "kill" in operation.path.rpartition("/")[2]
        # What was as wanted already may have been changed by somebody else just before the others: docs/adr/0009.
        meant = set(answer["flags"]) - set(answer.get("unchanged", ()) if answer["changed"] else ())
        return all(_killed(view, name, answer["environment"]) in (killed, None) for name in meant)
    if operation.method == "DELETE":
        return view.get(_address(operation)) is None
    document = view.get(_address(operation))
    if document is None or document.version != answer["version"]:
        return False
    if "service" not in answer or "environments" not in answer:
        return all(document.body.get(name) == answer[name] for name in ("key", "when") if name in answer)
    same = all(document.body[name] == answer[name] for name in DEFINITION)
    return same and all(
        state_of(document.body, name)[part] == state[part]
        for name, state in answer["environments"].items()
        for part in STATE
    )


def _killed(view: Any, name: str, environment: str) -> bool | None:
    document = view.get(f"flag/{name}")
    return None if document is None else state_of(document.body, environment)["killed"] is not None


def _address(operation: Operation) -> str:
    parts = operation.path.split("/")
    if parts[0] == "services" and len(parts) > 2:
        return f"flag/{parts[1]}/{parts[3] if len(parts) > 3 else operation.answer['key']}"
    return f"{parts[0].removesuffix('s')}/{parts[1] if len(parts) > 1 else operation.answer['key']}"


def _untrue(each: Observation, name: str, values: Any, truths: Mapping[Position, Truth]) -> str | None:
    if each.position is None:
        return None if set(values) == {"absent"} else f"{name} was {values} without a snapshot"
    truth = truths.get(each.position)
    if truth is None:
        return f"it has {each.position}, which never was"
    wanted = truth.values(name)
    return None if values == wanted else f"{name} was {values} at {each.position}; the log says {wanted}"


def _moved(one: Observation, later: Observation) -> bool:
    return one.position != later.position


def _wanted(
    operation: Operation, history: History, group: tuple[str, str], truths: Mapping[Position, Truth], until: int
) -> tuple[str, int | None]:
    """Epoch and revision that an instance of a group needs; None where it is not concerned."""
    revision = operation.revision or 0
    entries = [(epoch, entry) for epoch, entry in history.entries() if entry.revision == revision]
    own = [(epoch, entry) for epoch, entry in entries if _key(entry) == operation.key] or entries
    if len(own) != 1:  # nothing was changed, and who knows in which epoch it was so before
        return "", None
    ((epoch, entry),) = own
    meant = {name.partition("/")[0] for name in operation.answer.get("flags", ())}
    services = meant or {service for service, environment in entry.touches if environment in ("*", group[1])}
    wanted = target(truths, (epoch, revision))
    if wanted is None:
        return epoch, None
    since = [truth for (other, known), truth in truths.items() if other == epoch and wanted <= known <= until]
    return epoch, wanted if all(services & truth.content.services for truth in since) else None


def _newest(operations: Sequence[Operation], ended: float) -> int:
    """The newest revision that can have been there at a time."""
    return max((each.revision or 0 for each in operations if each.began < ended), default=0)


def _key(entry: Any) -> str:
    """The idempotency key; in the log it is scoped to its client."""
    return str(entry.operation.partition(":")[2])


def _behind(instance: Biography, wanted: Position, answered: float, order: Sequence[str]) -> Observation | None:
    """What it saw after the answer that it should not have seen any more. `order`: the epochs, the oldest first."""
    for each in instance.seen:
        known = each.position is not None and each.position[0] in order
        if known and each.until > answered and _at(each.position, order) < _at(wanted, order):
            return each
    return None


def _at(position: Position | None, order: Sequence[str]) -> tuple[int, int]:
    assert position is not None
    return order.index(position[0]), position[1]

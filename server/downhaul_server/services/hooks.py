"""Webhooks: whom to tell what happens. A secret is shown once; it is in no document, no log and no export."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from downhaul_server.services import tokens
from downhaul_server.services.access import newest_view, store_errors
from downhaul_server.services.actors import Action, Actor, authorize
from downhaul_server.services.commit import Committer, Plan
from downhaul_server.services.documents import answer, check_version, now, stamped
from downhaul_server.services.errors import Invalid, NotFound, Overloaded, Unavailable
from downhaul_server.services.hook_documents import KIND, check_places, check_reach, complete, in_reach
from downhaul_server.services.hook_events import Event, test_event
from downhaul_server.services.hook_messages import body_of
from downhaul_server.services.hook_sender import NotSent, Sender
from downhaul_server.services.hook_signing import Secrets, alive, first, headers, rotated, secret_of
from downhaul_server.services.hook_status import Pages, status_of
from downhaul_server.services.names import address
from downhaul_server.services.pages import LIMIT, Page, page_by_key
from downhaul_server.store import Document, Store, StoreError, View

MOST = 100
"""Webhooks. Each that has something to send has a thread of its own."""
OVERLAP_S = 24 * 3600
LONGEST_OVERLAP_S = 7 * 24 * 3600
TESTS = 4
"""At once, in one process."""

Body = Mapping[str, Any]


class Hooks:
    """Every document as in `hook_documents`, with `version` and, from `get` and `list`, `status` (`hook_status`)."""

    def __init__(self, store: Store, committer: Committer, sender: Sender, public_url: str | None) -> None:
        self._store = store
        self._committer = committer
        self._sender = sender
        self._public_url = public_url
        self._tests = threading.BoundedSemaphore(TESTS)

    def list(self, actor: Actor, *, limit: int = LIMIT, cursor: str | None = None) -> Page:
        """In the order of their ids; only those whose places are all the actor's. Raises Forbidden, Unavailable."""
        authorize(actor, Action.HOOKS)
        view = newest_view(self._store)
        found = [(each.key, each) for each in view.of_kind(f"{KIND}/") if in_reach(actor, each.body)]
        page = page_by_key(found, limit, cursor, lambda each: answer(each.body, each.version))
        with store_errors(), self._store.asking():
            states = self._store.outbox.states()
        pages: Pages = {}
        for hook in page.items:
            hook["status"] = status_of(self._store, hook, states.get(hook["id"]), pages)
        return page

    def get(self, actor: Actor, hook_id: str) -> dict[str, Any]:
        """Raises NotFound, Forbidden, Unavailable."""
        document = self._existing(actor, newest_view(self._store), hook_id)
        with store_errors(), self._store.asking():
            state = self._store.outbox.state(hook_id)
        hook = answer(document.body, document.version)
        return hook | {"status": status_of(self._store, hook, state, {})}

    def create(self, actor: Actor, document: Body, *, operation: str | None = None) -> dict[str, Any]:
        """The new hook with its `secret`, this once. It is told what happens from now on.

        A repeated request (same operation, same token) is answered with the same secret.
        Raises Invalid, Forbidden, Unavailable.
        """
        authorize(actor, Action.HOOKS)
        hook = self._checked(complete(document))
        check_reach(actor, hook)
        hook_id, nonce = secrets.token_hex(8), secrets.token_hex(16)
        secret = secret_of(tokens.seed(actor.secret, operation, nonce))

        def plan(view: View) -> Plan:
            check_places(view, hook)
            if len(view.of_kind(f"{KIND}/")) >= MOST:
                raise Invalid.at(message=f"there are {MOST} webhooks already")
            origin = {"id": hook_id, "created_by": actor.name, "disabled": None, "since": view.revision}
            body = stamped(hook | origin, None)
            return Plan(action="hook.create", writes={address(KIND, hook_id): body}, result=_result(hook_id, nonce))

        # Kept first: a hook without a secret could tell nobody. Of one that is not made after all, it is swept away.
        self._keep_secrets(hook_id, first(secret, self._now_ms()))
        outcome = self._committer.run(actor, plan, request=("hook.create", document), operation=operation)
        made = outcome.result
        if outcome.plan is None:
            secret = secret_of(tokens.seed(actor.secret, operation, made["nonce"]))
        written = self._committer.written(outcome, address(KIND, made["id"]))
        return answer(written.body, written.version) | {"secret": secret}

    def patch(
        self, actor: Actor, hook_id: str, changes: Body, *, if_match: int | None = None, operation: str | None = None
    ) -> dict[str, Any]:
        """Change what a client sets. A hook that is switched on again is told what happens from then on.

        Raises NotFound, VersionMismatch, Invalid, Forbidden, Unavailable.
        """

        def plan(view: View) -> Plan:
            before = self._existing(actor, view, hook_id)
            check_version(before, if_match)
            hook = complete(changes, before.body)
            if hook["url"] != before.body["url"]:
                self._checked(hook)
            if any(hook[name] != before.body[name] for name in ("services", "environments")):
                check_places(view, hook)  # one that has lost a place since can still be switched off
            check_reach(actor, hook)
            after = _switched({**before.body, **hook}, before.body, actor, view.revision)
            writes = {} if after == before.body else {before.address: stamped(after, before)}
            return Plan(action="hook.update", writes=writes, alone=False)

        request = ("hook.update", hook_id, changes, if_match)
        outcome = self._committer.run(actor, plan, request=request, operation=operation)
        written = self._committer.written(outcome, address(KIND, hook_id))
        return answer(written.body, written.version)

    def delete(self, actor: Actor, hook_id: str, *, if_match: int | None = None, operation: str | None = None) -> None:
        """What has not been delivered is dropped. Raises NotFound, VersionMismatch, Forbidden, Unavailable."""

        def plan(view: View) -> Plan:
            document = self._existing(actor, view, hook_id)
            check_version(document, if_match)
            return Plan(action="hook.delete", writes={document.address: None}, alone=False)

        self._committer.run(actor, plan, request=("hook.delete", hook_id, if_match), operation=operation)
        with suppress(StoreError), self._store.asking():  # else it is swept away later
            self._store.outbox.forget([hook_id])

    def rotate(
        self, actor: Actor, hook_id: str, *, overlap: int = OVERLAP_S, operation: str | None = None
    ) -> dict[str, Any]:
        """A new `secret`, this once. For `overlap` seconds both sign: the receiver has time to learn the new one.

        Raises NotFound, Invalid, Forbidden, Unavailable.
        """
        if not 0 <= overlap <= LONGEST_OVERLAP_S:
            raise Invalid.at("overlap", message=f"expected 0 to {LONGEST_OVERLAP_S} seconds")
        nonce = secrets.token_hex(16)
        secret = secret_of(tokens.seed(actor.secret, operation, nonce))

        def plan(view: View) -> Plan:
            before = self._existing(actor, view, hook_id)
            after = stamped({**before.body, "rotated_at": now()}, before)
            return Plan(
                action="hook.rotate", writes={before.address: after}, alone=False, result=_result(hook_id, nonce)
            )

        outcome = self._committer.run(actor, plan, request=("hook.rotate", hook_id, overlap), operation=operation)
        if outcome.plan is None:
            secret = secret_of(tokens.seed(actor.secret, operation, outcome.result["nonce"]))
        # A repeated request finds it kept already, or keeps it because the first one could not.
        self._keep_secrets(hook_id, rotated(self._secrets(hook_id), secret, self._now_ms(), overlap * 1000))
        written = self._committer.written(outcome, address(KIND, hook_id))
        return answer(written.body, written.version) | {"secret": secret}

    def test(self, actor: Actor, hook_id: str) -> dict[str, Any]:
        """Send one event now, past the queue: `{delivered, status, error, answer, duration_ms}`.

        `status` is None and `error` a sentence where there was no answer; `answer` is the beginning of one that says
        no. Also for a hook that is switched off. Raises NotFound, Forbidden, Overloaded, Unavailable.
        """
        hook = self._existing(actor, newest_view(self._store), hook_id).body
        standing = alive(self._secrets(hook_id), self._now_ms())
        if not standing:
            raise Unavailable("the secret of this webhook is lost: rotate it")
        if not self._tests.acquire(blocking=False):
            raise Overloaded("other webhooks are being tested; try again")
        try:
            result = self._tried(
                hook, test_event(hook, actor.name, now(), secrets.token_hex(8), self._public_url), standing
            )
        finally:
            self._tests.release()
        with store_errors(), self._store.asking():
            self._store.outbox.tell(hook_id, _delivery(result))
        return {name: value for name, value in result.items() if name not in ("id", "at")}

    def deliveries(self, actor: Actor, hook_id: str) -> Sequence[dict[str, Any]]:
        """The last attempts, newest first: `{at, id, type, revision, attempt, outcome, status, error, duration_ms}`.

        `outcome` is delivered, failed (it is tried again), skipped or given-up.

        Raises NotFound, Forbidden, Unavailable.
        """
        self._existing(actor, newest_view(self._store), hook_id)
        with store_errors(), self._store.asking():
            return self._store.outbox.deliveries(hook_id)

    def _tried(self, hook: Body, event: Event, standing: Sequence[str]) -> dict[str, Any]:
        started, told = time.monotonic(), {"id": event.id, "at": event.at}
        body = body_of(event, hook["format"])
        try:
            got = self._sender.post(hook["url"], body, posted(hook, standing, event.id, body))
        except NotSent as error:
            found: dict[str, Any] = {"delivered": False, "status": None, "error": str(error), "answer": ""}
        else:
            said = "" if got.delivered else got.excerpt
            found = {"delivered": got.delivered, "status": got.status, "error": None, "answer": said}
        return told | found | {"duration_ms": round((time.monotonic() - started) * 1000)}

    def _checked(self, hook: dict[str, Any]) -> dict[str, Any]:
        if fault := self._sender.fault(hook["url"]):
            raise Invalid.at("url", message=fault)
        return hook

    def _existing(self, actor: Actor, view: View, hook_id: str) -> Document:
        authorize(actor, Action.HOOKS)
        document = view.get(address(KIND, hook_id))
        if document is None:
            raise NotFound("webhook", hook_id)
        check_reach(actor, document.body)
        return document

    def _secrets(self, hook_id: str) -> Secrets | None:
        with store_errors(), self._store.asking():
            return self._store.outbox.secrets(hook_id)

    def _keep_secrets(self, hook_id: str, standing: Secrets) -> None:
        with store_errors(), self._store.asking():
            self._store.outbox.keep_secrets(hook_id, standing)

    def _now_ms(self) -> int:
        return self._store.clock.to_redis(self._store.clock.monotonic())


def posted(hook: Body, standing: Sequence[str], message_id: str, body: bytes) -> dict[str, str]:
    """The headers of a message."""
    told = {"Content-Type": "application/json", "User-Agent": "Downhaul-Webhooks/1", "Accept": "*/*"}
    return told | headers(standing, message_id, int(time.time()), body)


def _switched(after: dict[str, Any], before: Body, actor: Actor, revision: int) -> dict[str, Any]:
    if after["enabled"] and not before["enabled"]:
        return after | {"disabled": None, "since": revision}
    if before["enabled"] and not after["enabled"]:
        return after | {"disabled": {"at": now(), "reason": f"switched off by {actor.name}"}}
    return after


def _delivery(result: Body) -> dict[str, Any]:
    outcome = "delivered" if result["delivered"] else "failed"
    kept = {name: result[name] for name in ("at", "id", "status", "error", "duration_ms")}
    return kept | {"type": "webhook.test", "revision": None, "attempt": 1, "outcome": outcome}


def _result(hook_id: str, nonce: str) -> dict[str, Any]:
    return {"id": hook_id, "nonce": nonce}

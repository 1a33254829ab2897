"""Whoever can write to Redis is found out by `verify`, which says where; commits go on meanwhile, and are no faults."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import ServiceError
from downhaul_server.store.keys import DOCS, LOG, META, VERSIONS
from support.redis import RealRedis
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, opened, with_flags

pytestmark = pytest.mark.redis

WHERE = f"flag/{CHECKOUT}/{FLAG}"


@pytest.fixture
def client(real: RealRedis) -> Any:
    return real.client()


@pytest.fixture
def services(real: RealRedis, tmp_path: Path) -> Iterator[Services]:
    """With twenty kills and restores of one flag, for reasons that are numbered."""
    with opened(real, tmp_path / "data") as services:
        with_flags(services, checkout=[FLAG, "old-banner"], payments=["new-ledger"])
        for number in range(10):
            services.kill.kill(ADMIN, CHECKOUT, FLAG, reason=f"reason {number}")
            services.kill.restore(ADMIN, CHECKOUT, FLAG, reason=f"reason {number}")
        yield services


@pytest.fixture
def busy(services: Services) -> Iterator[Services]:
    """While another flag is changed all the time."""
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            try:
                services.kill.kill(ADMIN, PAYMENTS, "new-ledger")
                services.kill.restore(ADMIN, PAYMENTS, "new-ledger", reason="again")
            except ServiceError:
                return  # a server that sees that its history was swapped writes no more

    thread = threading.Thread(target=change)
    thread.start()
    yield services
    stop.set()
    thread.join(30)


def faults(services: Services) -> list[str]:
    return [*services.audit.verify(ADMIN).faults]


def fields(client: Any, revision: int) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = client.xrange(LOG, f"{revision}-0", f"{revision}-0")[0][1]
    return found


def put(client: Any, new: dict[int, dict[bytes, bytes] | None]) -> None:
    """Entries of the log, in their places, as they never were; None: not at all. In one moment, as a careful forger."""
    script = """
    local entries = redis.call('XRANGE', KEYS[1], '-', '+')
    redis.call('DEL', KEYS[1])
    local new = cjson.decode(ARGV[1])
    for _, entry in ipairs(entries) do
      local other = new[entry[1]]
      if other == nil then redis.call('XADD', KEYS[1], entry[1], unpack(entry[2]))
      elseif other ~= cjson.null then redis.call('XADD', KEYS[1], entry[1], unpack(other)) end
    end
    """
    given = {
        f"{revision}-0": None if entry is None else [part.decode() for item in entry.items() for part in item]
        for revision, entry in new.items()
    }
    client.eval(script, 1, LOG, json.dumps(given))


def altered(entry: dict[bytes, bytes], old: bytes, new: bytes, **more: bytes) -> dict[bytes, bytes]:
    assert old in entry[b"body"]
    return entry | {b"body": entry[b"body"].replace(old, new)} | {name.encode(): value for name, value in more.items()}


def digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def link(previous: bytes, revision: int, entry: dict[bytes, bytes]) -> bytes:
    text = b"%s:%d:%s:%s" % (previous, revision, entry[b"at"], entry[b"digest"])
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


def test_nothing_is_found_where_nothing_was_done(busy: Services) -> None:
    for _ in range(5):
        assert faults(busy) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"reason":"reason 3"', b'"reason":"a whim"'),
        (b'"name":"admin"', b'"name":"grace"'),
        (b'"address":null', b'"address":"192.0.2.1"'),
        (b'"killed":{', b'"Killed":{'),
        (b'"action":"flag.kill"', b'"action":"flag.edit"'),
    ],
)
def test_an_entry_is_altered(busy: Services, client: Any, old: bytes, new: bytes) -> None:
    revision = next(number for number in range(1, 40) if b"reason 3" in fields(client, number)[b"body"])
    put(client, {revision: altered(fields(client, revision), old, new)})
    assert f"revision {revision}: the body does not have the digest that was written with it" in faults(busy)


def test_an_entry_is_altered_and_its_digest_with_it(busy: Services, client: Any) -> None:
    entry = altered(fields(client, 10), b'"reason":"', b'"reason":"not ')
    put(client, {10: entry | {b"digest": digest(entry[b"body"])}})
    assert faults(busy) == ["revision 10: the hash does not follow from the entry before"]


def test_an_entry_is_altered_with_its_digest_and_its_link(busy: Services, client: Any) -> None:
    entry = altered(fields(client, 10), b'"reason":"', b'"reason":"not ')
    entry[b"digest"] = digest(entry[b"body"])
    entry[b"chain"] = link(fields(client, 9)[b"chain"], 10, entry)
    put(client, {10: entry})
    assert faults(busy) == ["revision 11: the hash does not follow from the entry before"]


def test_the_time_of_an_entry_is_altered(busy: Services, client: Any) -> None:
    put(client, {10: fields(client, 10) | {b"at": b"1700000000000"}})
    assert faults(busy) == ["revision 10: the hash does not follow from the entry before"]


def test_an_entry_is_removed(busy: Services, client: Any) -> None:
    client.xdel(LOG, "10-0")
    assert faults(busy) == ["revision 10: missing from the log"]


def test_several_are_removed(busy: Services, client: Any) -> None:
    client.xdel(LOG, "10-0", "11-0", "12-0", "20-0")
    assert faults(busy) == ["revisions 10 to 12: missing from the log", "revision 20: missing from the log"]


def test_two_change_places(busy: Services, client: Any) -> None:
    put(client, {10: fields(client, 11), 11: fields(client, 10)})
    assert [fault.partition(":")[0] for fault in faults(busy)] == ["revision 10", "revision 11", "revision 12"]


def test_one_is_there_twice(busy: Services, client: Any) -> None:
    put(client, {11: fields(client, 10)})
    assert faults(busy)[0] == "revision 11: the hash does not follow from the entry before"


def test_the_beginning_is_cut_off(busy: Services, client: Any) -> None:
    client.xtrim(LOG, minid="5-0", approximate=False)
    assert faults(busy)[0] == "revisions 1 to 4: missing from the log"


def test_the_end_is_cut_off(services: Services, client: Any) -> None:
    newest = services.health()["revision"]
    client.xdel(LOG, f"{newest}-0", f"{newest - 1}-0")
    assert faults(services)[0] == f"revisions {newest - 1} to {newest}: missing from the log"


def test_the_end_is_cut_off_and_the_store_says_that_it_was_never_there(services: Services, client: Any) -> None:
    newest = services.health()["revision"]
    before = fields(client, newest - 1)[b"chain"]
    client.xdel(LOG, f"{newest}-0")
    client.hset(META, mapping={"revision": newest - 1, "chain": before})
    assert services.health()["state"] == "diverged" or faults(services), (
        "the document is what the last entry made of it"
    )


def test_documents_change_places(busy: Services, client: Any) -> None:
    other = f"flag/{CHECKOUT}/old-banner"
    one, two = client.hmget(DOCS, WHERE, other)
    client.hset(DOCS, mapping={WHERE: two, other: one})
    assert faults(busy) == [f"{name}: what is stored is not what the log last wrote" for name in sorted([WHERE, other])]


def test_a_document_is_put_back_to_an_earlier_version(busy: Services, client: Any) -> None:
    client.hset(VERSIONS, WHERE, "8")
    (fault,) = faults(busy)
    assert fault.startswith(f"{WHERE}: it is kept as version 8, but the log says ")


def test_a_document_is_removed_and_one_is_planted(busy: Services, client: Any) -> None:
    text = client.hget(DOCS, WHERE)
    client.hdel(DOCS, WHERE)
    client.hdel(VERSIONS, WHERE)
    client.hset(DOCS, "key/planted", text)
    client.hset(VERSIONS, "key/planted", "9")
    assert faults(busy) == [
        f"{WHERE}: what is stored is not what the log last wrote",
        "key/planted: it is stored, but the log never wrote it",
    ]


def test_an_entry_is_added_that_the_store_does_not_know_of(services: Services, client: Any) -> None:
    newest = services.health()["revision"]
    client.xadd(LOG, fields(client, newest), id=f"{newest}-1")
    assert f"{newest}-1: the store knows of no such entry" in faults(services)


def test_an_entry_is_forged_at_the_end(services: Services, client: Any, real: RealRedis, tmp_path: Path) -> None:
    """With all the arithmetic right: but the documents are not what it says, or the log does not say what they are."""
    newest = services.health()["revision"]
    entry = altered(fields(client, newest), b"reason 9", b"forged 9")
    entry[b"digest"] = digest(entry[b"body"])
    entry[b"chain"] = link(fields(client, newest)[b"chain"], newest + 1, entry)
    client.xadd(LOG, entry, id=f"{newest + 1}-0")
    client.hset(META, mapping={"revision": newest + 1, "chain": entry[b"chain"]})
    assert [fault.partition(":")[0] for fault in faults(services)] == [WHERE]


def test_all_is_rewritten_from_one_entry_to_the_end(services: Services, client: Any) -> None:
    """With every digest and every link, and the end that the store keeps: this server has served something else."""
    newest, new = services.health()["revision"], {}
    chain = fields(client, 9)[b"chain"]
    for revision in range(10, newest + 1):
        entry = fields(client, revision)
        entry[b"body"] = entry[b"body"].replace(b'"reason":"reason', b'"reason":"excuse')
        entry[b"digest"] = digest(entry[b"body"])
        entry[b"chain"] = chain = link(chain, revision, entry)
        new[revision] = entry
    put(client, new)
    client.hset(META, "chain", chain)
    served = f"revision {newest}: it is not the entry that this server has served"
    # Or its follower was quicker, and the server writes and verifies no more.
    assert services.health()["state"] == "diverged" or served in faults(services)

"""Who has tampered with the log is found, by those who may look."""

from __future__ import annotations

from pathlib import Path

import pytest
from downhaul_server.services.actors import ROLES, Actor, Grant
from downhaul_server.services.audit import MOST_FAULTS
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden, Unavailable
from downhaul_server.store.keys import DOCS, LOG, META
from support.redis import FakeRedis, RealRedis
from support.services import ADMIN, CHECKOUT, FLAG, actor, opened


def test_an_honest_log_is_whole(services: Services) -> None:
    services.kill.kill(ADMIN, CHECKOUT, FLAG)
    verdict = services.audit.verify(ADMIN)
    assert verdict.faults == () and verdict.to_json()["whole"] is True
    assert verdict.revision == services.health()["revision"] and verdict.epoch == services.health()["epoch"]


@pytest.mark.parametrize("role", sorted({*ROLES} - {"admin"}))
def test_only_administrators_ask(services: Services, role: str) -> None:
    with pytest.raises(Forbidden, match="does not allow to verify the log"):
        services.audit.verify(actor(role))


def test_only_those_who_may_see_all_of_it(services: Services) -> None:
    with pytest.raises(Forbidden, match="every service"):
        services.audit.verify(actor("admin", services=[CHECKOUT]))
    two = Actor("ada", "person", (Grant("admin", frozenset({CHECKOUT})), Grant("viewer")))
    with pytest.raises(Forbidden, match="ada may not verify the log in every service"):
        services.audit.verify(two)


class TestTampering:
    """Whoever can write to Redis can lie to those who come later, but not unseen."""

    @pytest.fixture(autouse=True)
    def history(self, services: Services) -> None:
        services.kill.kill(ADMIN, CHECKOUT, FLAG, reason="double charges")
        services.kill.restore(ADMIN, CHECKOUT, FLAG, reason="fixed")

    def test_a_missing_entry(self, services: Services, fake: FakeRedis) -> None:
        fake.client().xdel(LOG, "5-0")
        assert services.audit.verify(ADMIN).faults == ("revision 5: missing from the log",)

    def test_a_missing_end(self, services: Services, fake: FakeRedis) -> None:
        newest = services.health()["revision"]
        fake.client().xdel(LOG, f"{newest}-0")
        assert services.audit.verify(ADMIN).faults[0] == f"revision {newest}: missing from the log"

    def test_another_reason_than_was_given(self, services: Services, fake: FakeRedis) -> None:
        client, newest = fake.client(), services.health()["revision"]
        entries = client.xrange(LOG)
        client.delete(LOG)
        for entry_id, fields in entries:
            client.xadd(LOG, fields | {b"body": fields[b"body"].replace(b"double charges", b"a whim")}, id=entry_id)
        assert (
            services.audit.verify(ADMIN).faults[0]
            == f"revision {newest - 1}: the body does not have the digest that was written with it"
        )

    def test_a_document_that_was_changed_past_the_log(self, services: Services, fake: FakeRedis) -> None:
        fake.client().hset(DOCS, f"flag/{CHECKOUT}/{FLAG}", "{}")
        assert services.audit.verify(ADMIN).faults == (
            f"flag/{CHECKOUT}/{FLAG}: what is stored is not what the log last wrote",
        )

    def test_a_store_that_cannot_even_be_read(self, services: Services, fake: FakeRedis) -> None:
        fake.client().delete(META)
        verdict = services.audit.verify(ADMIN)
        assert not verdict.to_json()["whole"] and "no {downhaul}:meta" in verdict.faults[0]

    def test_more_faults_than_anybody_reads(self, services: Services, fake: FakeRedis) -> None:
        documents = {f"flag/{CHECKOUT}/planted-{number}": "{}" for number in range(MOST_FAULTS + 5)}
        fake.client().hset(DOCS, mapping=documents)
        fake.client().hset("{downhaul}:versions", mapping=dict.fromkeys(documents, "3"))
        assert len(services.audit.verify(ADMIN).faults) == MOST_FAULTS


@pytest.mark.redis
def test_it_cannot_be_told_while_redis_is_away(real: RealRedis, tmp_path: Path) -> None:
    with opened(real, tmp_path / "data") as services:
        real.kill()
        with pytest.raises(Unavailable):
            services.audit.verify(ADMIN)

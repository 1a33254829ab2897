"""Whatever is going on: a kill that is confirmed was applied by every instance before that was said."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from downhaul_server.services import fleet as fleet_module
from downhaul_server.services.acknowledgement import Acknowledgement
from downhaul_server.services.container import Services
from support.fleet import Instance
from support.redis import FakeRedis
from support.services import ADMIN, CHECKOUT, FLAG, opened
from support.waiting import wait_until

INSTANCES = 12
ROUNDS = 25


@dataclass
class Applied:
    """An instance that obeys after a random while, and tells whichever process; what it has is known here first."""

    instance: Instance
    processes: list[Services]
    seed: int
    revision: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        chance = random.Random(self.seed)
        while not self.ended.wait(chance.uniform(0, 0.02)):
            process = chance.choice(self.processes)
            newest = process.snapshots.get(self.instance.key, CHECKOUT).revision
            behaviour = chance.random()
            if behaviour < 0.02:
                self.instance.report(process, newest + 100)  # what cannot be
            elif behaviour < 0.04:
                self.instance.report(process, newest, epoch="of-another-life")
            elif behaviour < 0.3 and self.revision:
                self.instance.report(process, self.revision)  # nothing new
            else:
                self.revision = max(self.revision, newest)
                self.instance.report(process, self.revision)


def test_a_confirmed_kill_was_applied_by_everybody(
    services: Services, fake: FakeRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "VOUCH_S", 0.01)
    with opened(fake, tmp_path / "other") as other:
        fleet = [Applied(Instance(f"i-{n}"), [services, other], seed=n) for n in range(INSTANCES)]
        for one in fleet:
            one.instance.report(services)
        wait_until(lambda: len(other.fleet.entries((CHECKOUT, "production"))) == INSTANCES, "both know all")
        threads = [threading.Thread(target=one.run, daemon=True) for one in fleet]
        for thread in threads:
            thread.start()
        confirmed = 0
        for number in range(ROUNDS):
            asked = (services, other)[number % 2]
            found, had = _switch(asked, number), [one.revision for one in fleet]
            assert found.instances == INSTANCES
            if found.confirmed:
                confirmed += 1
                assert min(had) >= found.revision, (found, had)
        for one in fleet:
            one.ended.set()
        for thread in threads:
            thread.join(10)
        assert confirmed == ROUNDS


def _switch(services: Services, number: int) -> Acknowledgement:
    if number % 2:
        done = services.kill.restore(ADMIN, CHECKOUT, FLAG, reason="again")
    else:
        done = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    return services.acknowledgements.of(done.revision, done.committed_at, done.touches, wait=20)

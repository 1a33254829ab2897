"""The private Redis of a server that was given none."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from downhaul_server.settings import Settings
from downhaul_server.store import Embedded, EmbeddedError, Store, embedded
from downhaul_server.store.connections import Connections
from support.redis import redis_binary
from support.store import FLAG, change, everything
from support.waiting import wait_until

MakeEmbedded = Callable[..., Embedded]


def client_of(server: Embedded) -> redis.Redis:
    """A client of the test's own."""
    return Connections.to(server.url).reads


def is_alive(pid: int) -> bool:
    """A process that is there and no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture
def make(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeEmbedded]:
    """Makes embedded servers, stops them in the end."""
    redis_binary()
    monkeypatch.setattr(embedded, "LOCK_TIMEOUT_S", 0.1)
    made: list[Embedded] = []

    def make_one(folder: Path = data_dir) -> Embedded:
        made.append(Embedded(folder))
        return made[-1]

    yield make_one
    for server in made:
        server.stop()


@pytest.mark.redis
class TestLife:
    def test_it_is_durable_and_private(self, make: MakeEmbedded, data_dir: Path) -> None:
        server = make()
        server.start()
        client = client_of(server)
        settings = client.config_get("*")
        assert {name: settings[name] for name in ("appendonly", "appendfsync", "maxmemory-policy", "port")} == {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "port": "0",
        }
        socket = Path(server.url.removeprefix("unix://"))
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert stat.S_IMODE((data_dir / "redis").stat().st_mode) == 0o700

    def test_a_store_on_it_has_nothing_to_warn_of(self, make: MakeEmbedded, data_dir: Path) -> None:
        url = make().start()
        with Store.open(Settings(data_dir=data_dir), redis_url=url) as store:
            assert store.commit(change(FLAG, {"on": True})).revision == 2
            assert store.health()["warnings"] == []

    def test_what_was_written_is_there_after_a_restart(self, make: MakeEmbedded, data_dir: Path) -> None:
        first = make()
        with Store.open(Settings(data_dir=data_dir), redis_url=first.start()) as store:
            store.commit(change(FLAG, {"on": True}))
            before = everything(store)
        first.stop()
        with Store.open(Settings(data_dir=data_dir), redis_url=make().start()) as store:
            assert store.health()["source"] == "redis"
            assert everything(store) == before

    def test_stopping_ends_the_process_and_frees_the_folder(self, make: MakeEmbedded) -> None:
        server = make()
        server.start()
        pid = server.pid
        assert pid is not None
        server.stop()
        server.stop()
        assert not is_alive(pid)
        assert server.pid is None
        make().start()

    def test_after_kill_9_it_is_started_again_with_every_write(self, make: MakeEmbedded, data_dir: Path) -> None:
        server = make()
        with Store.open(Settings(data_dir=data_dir), redis_url=server.start()) as store:
            revision = store.commit(change(FLAG, {"on": True})).revision
            assert not server.ensure_running()
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            wait_until(lambda: server.pid is None, "it is dead")
            assert server.ensure_running()
            wait_until(lambda: store.health()["state"] == "following", "the store follows again")
            assert store.view.revision == revision
            assert store.commit(change(FLAG, {"on": False})).revision == revision + 1

    def test_a_folder_with_a_long_path_gets_its_socket_elsewhere(self, make: MakeEmbedded, tmp_path: Path) -> None:
        folder = tmp_path / ("long-" * 20) / "data"
        url = make(folder).start()
        socket = Path(url.removeprefix("unix://"))
        assert folder not in socket.parents
        assert len(str(socket)) <= 100
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert client_of(Embedded(folder)).ping()
        shutil.rmtree(socket.parent, ignore_errors=True)

    def test_a_path_with_spaces_and_quotes_is_fine(self, make: MakeEmbedded, tmp_path: Path) -> None:
        server = make(tmp_path / """it's a "data" folder""")
        server.start()
        assert client_of(server).ping()


@pytest.mark.redis
class TestNeighbours:
    def test_two_servers_cannot_share_a_folder(self, make: MakeEmbedded, data_dir: Path) -> None:
        first = make()
        first.start()
        with pytest.raises(EmbeddedError, match=f"another Downhaul server uses the data folder {data_dir}"):
            make().start()
        assert client_of(first).ping()

    def test_an_orphan_of_an_earlier_life_is_shut_down_and_its_writes_are_kept(
        self, make: MakeEmbedded, data_dir: Path
    ) -> None:
        # The parent gives up its lock and forgets its child: what is left is an orphan.
        parent = make()
        client = Connections.to(parent.start()).reads
        client.set("acknowledged", "yes")
        orphan = parent._process
        assert orphan is not None
        parent._process = None
        parent._lock.release()

        server = make()
        server.start()

        wait_until(lambda: orphan.poll() is not None, "the orphan has ended")
        assert server.pid not in (None, orphan.pid)
        assert client_of(server).get("acknowledged") == b"yes"

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
    def test_it_dies_with_a_parent_that_is_killed(self, data_dir: Path) -> None:
        redis_binary()
        program = f"""
import time
from pathlib import Path
from downhaul_server.store import Embedded
server = Embedded(Path({str(data_dir)!r}))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""
        parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
        parent.wait()
        parent.stdout.close()
        wait_until(lambda: not is_alive(pid), "Redis has gone with its parent")

    def test_a_redis_that_cannot_start_says_why(self, make: MakeEmbedded, data_dir: Path) -> None:
        (data_dir / "redis").mkdir()
        (data_dir / "redis" / "appendonlydir").write_text("a file where a folder should be")
        with pytest.raises(EmbeddedError, match=r"did not start: .*appendonlydir"):
            make().start()
        (data_dir / "redis" / "appendonlydir").unlink()
        make().start()

    def test_a_socket_folder_that_somebody_else_may_enter_is_refused(self, make: MakeEmbedded, tmp_path: Path) -> None:
        server = make(tmp_path / ("long-" * 20))
        trap = Path(server.url.removeprefix("unix://")).parent
        trap.mkdir(mode=0o755)
        try:
            with pytest.raises(EmbeddedError, match="not a folder of our own"):
                server.start()
        finally:
            trap.rmdir()

    def test_a_folder_that_is_there_keeps_its_mode(self, make: MakeEmbedded, data_dir: Path) -> None:
        data_dir.chmod(0o750)
        make().start()
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o750

"""A whole machine, with systemd as its first process, a network of its own, and a user who may `sudo`.

systemd-nspawn boots it from a folder (see `support.debian`); what it writes goes to an overlay and is gone afterwards.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from downhaul_server.lifeline import end_with_parent
from support.debian import USER, cache, pip_settings
from support.guides import ROOT
from support.typed import Terminal
from support.waiting import PATIENCE_S, wait_until

HOME = f"/home/{USER}"
REPOSITORY = f"{HOME}/downhaul"
PATH = "/usr/local/bin:/usr/bin:/bin"
"""A user's on Debian: without the folders of administrators' programs."""
RUNNING = "running-"
"""The beginning of a folder's name, before the process id of the test."""
SYSTEMD_HERE = Path("/run/systemd/system").exists()
AS_READERS_DO = {"/etc/apt/apt.conf.d/90yes": 'APT::Get::Assume-Yes "true";\n'}
"""They answer `y` when they are asked whether to install what they want to install."""
LONG_S = 900.0
"""To install something, on a busy machine."""


class Machine:
    """Boots in `with`. `options` are more of systemd-nspawn's, as is what is in `environ`.

    `disks`: folders that are none of the overlay's, for what cannot lie on one.
    """

    def __init__(
        self, root: Path, *options: str, environ: Mapping[str, str] | None = None, disks: Sequence[str] = ()
    ) -> None:
        self._below, self._options, self._environ, self._disks = root, options, environ or {}, disks
        self._name = f"downhaul-{os.getpid()}-{os.urandom(3).hex()}"
        _sweep()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{RUNNING}{os.getpid()}-", dir=cache()))
        self.root = self._folder / "root"
        """The machine's files, to be written and read from outside. (Its /tmp, /run and /dev are its own.)"""
        self._group: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._network: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._parent = os.getpid()

    def run(self, command: str, *, user: str = "root", patience: float = 120.0) -> str:
        """What the command prints, errors too. It has to succeed."""
        code, said = self.attempt(command, user=user, patience=patience)
        assert code == 0, f"{command}\n{said}"
        return said

    def attempt(self, command: str, *, user: str = "root", patience: float = 120.0) -> tuple[int, str]:
        """The exit code and what the command prints."""
        done = subprocess.run(
            [*self._as(user), "bash", "-euo", "pipefail", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=patience,
        )
        return done.returncode, done.stdout

    def wait(self, condition: str, what: str, patience: float = PATIENCE_S) -> None:
        """Until the command succeeds; it is repeated in the machine."""
        loop = f"until {condition} >/dev/null 2>&1; do sleep 0.2; done"
        code, _ = self.attempt(f"timeout {patience} bash -c {shlex.quote(loop)}", patience=patience + 60)
        assert code == 0, f"waited {patience:.0f} s in vain: {what}"

    def terminal(self, folder: str = REPOSITORY, **environ: str) -> Terminal:
        """A bash of the user's, in a folder of the machine's."""
        command = [*self._as(USER, folder, environ), "bash", "--noprofile", "--norc"]
        typed = f"{HOME}/.typed-{os.urandom(3).hex()}"
        return Terminal(Path("/"), os.environ, command, (self.root / typed[1:], typed), patience=LONG_S)

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """A file of root's."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")
        place.chmod(mode)

    def bring_repository(self) -> None:
        """What git knows of the work tree, as it is now, in the user's folder."""
        there = self.root / REPOSITORY.lstrip("/")
        there.mkdir()
        files = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        present = b"\0".join(name for name in files.split(b"\0") if name and (ROOT / os.fsdecode(name)).is_file())
        packed = subprocess.run(
            ["tar", "--create", "--null", "--files-from=-"],
            cwd=ROOT,
            input=present,
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        subprocess.run(["tar", "--extract", "--no-same-owner", "-C", str(there)], input=packed, check=True, timeout=60)
        self.run(f"chown -R {USER}: {REPOSITORY}")

    def __enter__(self) -> Machine:
        try:
            self._mount()
            self._set_up_pip()
            self._boot()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)  # an orderly shutdown
            try:
                self._process.wait(timeout=90)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._network is not None:
            self._network.terminate()
            self._network.wait(timeout=30)
        if self._group is not None:
            for folder in sorted((path for path in self._group.rglob("*") if path.is_dir()), reverse=True):
                folder.rmdir()
            self._group.rmdir()
        _remove(self._folder)

    def _as(self, user: str, folder: str = "/", environ: Mapping[str, str] | None = None) -> list[str]:
        """The beginning of a command in the machine: it becomes a unit of its systemd."""
        home = "/root" if user == "root" else HOME
        path = f"{PATH}:/usr/sbin:/sbin" if user == "root" else PATH
        settings = {"PATH": path, "HOME": home, "LANG": "C.UTF-8", **(environ or {})}
        return [
            *("nsenter", "--all", "--target", str(self._leader), "--"),
            *("systemd-run", "--quiet", "--pipe", "--wait", "--collect"),
            *(f"--property=User={user}", f"--working-directory={folder}"),
            *(f"--setenv={name}={value}" for name, value in settings.items()),
        ]

    def _mount(self) -> None:
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir()
        for number, path in enumerate(self._disks):
            disk = self._folder / f"disk{number}"
            disk.mkdir()
            self._options += (f"--bind={disk}:{path}",)
        layers = f"lowerdir={self._below},upperdir={self._folder / 'upper'},workdir={self._folder / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)], check=True, timeout=60)

    def _set_up_pip(self) -> None:
        """pip in the machine has the settings that it has here, and sees the folders that they name."""
        sections: dict[str, list[str]] = {}
        for name, value in pip_settings().items():
            section, _, key = name.partition(".")
            sections.setdefault(section, []).append(f"{key} = {value}")
            paths = [Path(word.removeprefix("file://")) for word in value.split() if word.startswith(("/", "file:///"))]
            for path in paths:
                # The folder of an index may name files beside it.
                path = path.parent if path.name == "simple" else path
                if path.exists() and not (self.root / str(path)[1:]).exists():
                    self._options += (f"--bind-ro={path}",)
        self.write("/etc/pip.conf", "".join(f"[{name}]\n" + "\n".join(keys) + "\n" for name, keys in sections.items()))

    def _boot(self) -> None:
        self.write("/etc/hostname", "machine\n")
        self.write("/etc/hosts", "127.0.0.1 localhost machine\n")
        (self.root / "etc/resolv.conf").unlink(missing_ok=True)
        self.write("/etc/resolv.conf", "nameserver 10.0.2.3\n")
        command = ["systemd-nspawn", "--boot", "--quiet", f"--machine={self._name}", f"--directory={self.root}"]
        command += ["--private-network", "--resolv-conf=off", "--console=pipe", *self._options]
        if not SYSTEMD_HERE:
            command += ["--keep-unit", "--register=no"]
        self._group = None if SYSTEMD_HERE else _new_group(self._name)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", **self._environ},
                preexec_fn=self._before_exec,
            )
        wait_until(self._found, f"the machine's first process; {self._log()}")
        wait_until(self._is_up, "the machine has booted", 180)
        self._connect()

    def _before_exec(self) -> None:
        if self._group is not None:
            (self._group / "cgroup.procs").write_text(str(os.getpid()))
        end_with_parent(self._parent)

    def _found(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log()
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._leader = next((int(pid) for pid in children if _is_init(pid)), 0)
        return bool(self._leader)

    def _is_up(self) -> bool:
        command = ["nsenter", "--all", "--target", str(self._leader), "--", "systemctl", "is-system-running"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()
        return said in {"running", "degraded"}

    def _connect(self) -> None:
        """To the world by a process of ours: nothing is changed in this machine's network, and none of it is seen."""
        ours, theirs = os.pipe()
        words = ["--configure", "--mtu=65520", "--disable-host-loopback", f"--ready-fd={theirs}"]
        self._network = subprocess.Popen(
            ["slirp4netns", *words, str(self._leader), "tap0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs],
            preexec_fn=lambda: end_with_parent(self._parent),
        )
        os.close(theirs)
        assert os.read(ours, 1) == b"1", "slirp4netns did not start"
        os.close(ours)

    def _log(self) -> str:
        log = self._folder / "log"
        return log.read_text("utf-8", "replace")[-4000:] if log.exists() else ""


def _remove(folder: Path) -> None:
    root = folder / "root"
    if root.is_mount():
        subprocess.run(["umount", str(root)], check=True, timeout=60)
    shutil.rmtree(folder)


def _sweep() -> None:
    """Whoever was killed could not clean up."""
    for folder in cache().glob(f"{RUNNING}*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            _remove(folder)


def _is_init(pid: str) -> bool:
    """Whether it is the first process of the machine, and not nspawn on its way to it."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "systemd"
    except FileNotFoundError:
        return False


def _new_group(name: str) -> Path:
    """A control group of its own (of version 2), where there is no systemd that would make one."""
    mounts: Sequence[list[str]] = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    top = next(Path(words[1]) for words in mounts if words[2] == "cgroup2")
    (top / name).mkdir()
    return top / name

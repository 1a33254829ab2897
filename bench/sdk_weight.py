"""What `pip install downhaul` weighs, beside other vendors' SDKs in the same run.

    python bench/sdk_weight.py [--alone] [--json FILE]

Each SDK is installed into a virtual environment of its own, by pip, in the version that requirements-peers.txt pins;
ours as the wheel of this checkout, with the same versions of what it needs. Then, for each: distributions and bytes
that are installed (without compiled bytecode), the time of the import that its guide begins with (fresh interpreters,
all SDKs in turn, the best of each), and the memory and the threads of a process that holds 100 flags, beyond those of a
bare interpreter. `--alone` leaves the others out. The figures are printed as a table and written as JSON to
bench/results/sdk_weight.json.

Ours is connected to a service on this machine for that. The others are offline: they have their flags by their own door
for data at start, and what they would need for a connection is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".venv-weight"
ROUNDS, MEMORY_ROUNDS, FLAGS = 15, 5, 100
INSTALL_SECONDS, MEASURE_SECONDS = 300, 60

OURS = "Downhaul"
IMPORTS = {
    OURS: "from downhaul import flags",
    "Statsig": "from statsig_python_core import Statsig",
    "GrowthBook": "from growthbook import GrowthBook",
    "Eppo": "import eppo_client",
    "ConfigCat": "import configcatclient",
    "LaunchDarkly": "import ldclient",
    "Unleash": "from UnleashClient import UnleashClient",
}
TIMED = """
import time
start = time.perf_counter()
{statement}
print((time.perf_counter() - start) * 1000)
"""


@dataclass
class Weight:
    """What one SDK brings (`names` of distributions, `megabytes` on disk) and takes."""

    sdk: str
    version: str
    names: list[str]
    megabytes: float
    import_ms: float = float("inf")
    memory_mb: float = float("inf")
    threads: int = 0


def weigh(sdks: list[str]) -> list[Weight]:
    """Every SDK of the list, measured in turns."""
    import peers
    import process

    pythons = {sdk: install(sdk) for sdk in sdks}
    weights = {sdk: installed(sdk, python) for sdk, python in pythons.items()}
    for _ in range(ROUNDS):
        for sdk, weight in weights.items():
            command = [pythons[sdk], "-c", TIMED.format(statement=IMPORTS[sdk])]
            taken = float(peers.execute(command, MEASURE_SECONDS, env=peers.alone(DOWNHAUL_AUTOSTART="0")))
            weight.import_ms = min(weight.import_ms, taken)
    with process.service() as url:
        for sdk, weight in weights.items():
            command = [pythons[sdk], __file__, "--run", sdk, url]
            around = peers.alone(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
            runs = [json.loads(peers.execute(command, MEASURE_SECONDS, env=around)) for _ in range(MEMORY_ROUNDS)]
            weight.memory_mb = median(run["kilobytes"] for run in runs) / 1024
            weight.threads = max(run["threads"] for run in runs)
    return list(weights.values())


def install(sdk: str) -> Path:
    """The interpreter of an environment with this SDK and nothing else; made anew where what is wanted has changed."""
    import peers

    folder = ENVIRONMENTS / sdk.lower()
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    pins = pinned()
    wanted = str(wheel()) if sdk == OURS else f"{distribution(sdk)}=={pins[normal(distribution(sdk))]}"
    text = f"{wanted}\n" + "".join(f"{name}=={version}\n" for name, version in pins.items())
    if sdk == OURS or not stamp.exists() or stamp.read_text(encoding="utf-8") != text:
        print(f"installing {sdk}", file=sys.stderr)
        peers.execute([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], INSTALL_SECONDS)
        constraints = folder / "constraints.txt"
        constraints.write_text(text.partition("\n")[2], encoding="utf-8")
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
        peers.execute([*pip, "-c", constraints, wanted], INSTALL_SECONDS)
        stamp.write_text(text, encoding="utf-8")
    return python


def wheel() -> Path:
    """The wheel of this checkout, built now."""
    import peers

    folder = ENVIRONMENTS / "wheel"
    for old in folder.glob("*.whl"):
        old.unlink()
    build: list[str | Path] = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    peers.execute([*build, HERE.parent / "sdk"], INSTALL_SECONDS)
    (built,) = folder.glob("downhaul-*.whl")
    return built


def pinned() -> dict[str, str]:
    """Versions by distribution, as requirements-peers.txt has them."""
    text = (HERE / "requirements-peers.txt").read_text(encoding="utf-8")
    return {normal(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


def distribution(sdk: str) -> str:
    """What it is called among Python's packages."""
    from vendors import VENDORS

    return VENDORS[sdk][0]


def normal(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(sdk: str, python: Path) -> Weight:
    """What pip has put into the environment."""
    from importlib.metadata import distributions

    (site,) = python.parents[1].glob("lib/python*/site-packages")
    found = {normal(each.name): each for each in distributions(path=[str(site)])}
    files = [each for each in site.rglob("*") if each.is_file() and "__pycache__" not in each.parts]
    own = found[normal("downhaul" if sdk == OURS else distribution(sdk))]
    return Weight(sdk, own.version, sorted(found), sum(each.stat().st_size for each in files) / 1e6)


# From here on: in the environment of one SDK, in a process of its own.


def run(sdk: str, url: str) -> dict[str, int]:
    """What a process with this SDK and 100 flags takes beyond a bare interpreter: kilobytes of memory, and threads."""
    import flags as measured
    import peers
    from vendors import VENDORS, wanted

    documents = measured.many(FLAGS)
    work: Callable[[], Any]
    if sdk == OURS:

        def work() -> Any:
            from downhaul.client import Client

            client = Client(url=url, key="bench", service="bench")
            assert client.wait_ready(20), client.status()
            assert client.enabled("flag-0"), client.status()
            return client
    else:
        peers.refuse_connections()
        wants = [wanted(key, each) for key, each in documents.items()]

        def work() -> Any:
            made = VENDORS[sdk][1](wants)
            text = f"lambda flag, user: {made.ask.replace('{context}', made.user)}"
            ask = eval(text, dict(made.names))  # noqa: S307 -- our own text
            assert ask("flag-0", "user-123") is True, sdk
            return made

    before = status()
    kept = work()
    after = status()
    assert kept is not None
    return {name: after[name] - before[name] for name in after}


def status() -> dict[str, int]:
    """Memory and threads of this process, those of native code too, as the system counts them."""
    with open("/proc/self/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return {"kilobytes": int(fields["VmRSS"].split()[0]), "threads": int(fields["Threads"])}


def print_table(weights: list[Weight]) -> None:
    print(f"{'':<14}{'version':<12}{'packages':>8}{'MB':>8}{'import ms':>11}{'memory MB':>11}{'threads':>9}")
    for each in weights:
        sizes = (
            f"{len(each.names):>8}{each.megabytes:>8.1f}{each.import_ms:>11.0f}{each.memory_mb:>11.1f}{each.threads:>9}"
        )
        print(f"{each.sdk:<14}{each.version:<12}{sizes}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alone", action="store_true", help="leave other vendors' SDKs out")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "sdk_weight.json", metavar="FILE")
    parser.add_argument("--run", nargs=2, metavar=("SDK", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        # SDKs may write what they like to standard output: it is standard error until the JSON goes out.
        answer = os.dup(1)
        os.dup2(2, 1)
        text = json.dumps(run(*arguments.run))
        with os.fdopen(answer, "w", encoding="utf-8") as out:
            out.write(text + "\n")
        os._exit(0)  # some of their threads would hold the exit
    weights = weigh([OURS] if arguments.alone else list(IMPORTS))
    print_table(weights)
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "sdks": [asdict(each) for each in weights],
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten to {arguments.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

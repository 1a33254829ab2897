"""Proof of CLAIMS: each code block is broken, one at a time, and the test that claims to run it has to fail.

    .venv/bin/python tests/docs/prove_claims.py                  # all of them: two hours or so
    .venv/bin/python tests/docs/prove_claims.py docs/cli.md ...  # of these pages, or by these tests

It works on a copy of what is committed. Ends with 1 when a broken block was not noticed. A test that skips here (no
Node, no root) notices nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from docs.test_every_block import BLOCKS, CLAIMS, PARSERS, Claim  # noqa: E402
from support.guides import Block  # noqa: E402

BROKEN = {
    "python": "raise RuntimeError('broken on purpose')",
    "js": "throw new Error('broken on purpose')",
    "console": "$ broken-on-purpose",
    "django": "{% broken %}",
    "jinja": "{% broken %}",
    "nginx": "broken on;",
}
"""What takes a block's place, by language; in others, a command that is none."""
LINKS = (".venv", "tests/ofrep/clients/node_modules")
PATIENCE_S = 600
FENCE = re.compile(r"^ *`{3,}$")


def broken(block: Block, source: str) -> str:
    """The page, with something else in the place of this block."""
    lines = source.split("\n")
    end = next(number for number in range(block.line, len(lines)) if FENCE.match(lines[number]))
    indent = re.match(" *", lines[block.line - 1])
    assert indent
    return "\n".join([*lines[: block.line], indent[0] + BROKEN.get(block.language, "broken-on-purpose"), *lines[end:]])


def is_noticed(copy: Path, claim: Claim, block: Block) -> bool:
    page = copy / block.page
    source = page.read_text("utf-8")
    page.write_text(broken(block, source), "utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", claim.test]
    try:
        return subprocess.run(command, cwd=copy, capture_output=True, timeout=PATIENCE_S).returncode == 1
    finally:
        page.write_text(source, "utf-8")


def main(chosen: list[str]) -> int:
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        subprocess.run(["git", "clone", "--quiet", ROOT, copy], check=True)
        for link in LINKS:
            if (ROOT / link).exists():
                (copy / link).symlink_to(ROOT / link)
        for claim in CLAIMS:
            for block in BLOCKS:
                wanted = not chosen or {block.page, claim.test} & {*chosen}
                if wanted and block.language not in PARSERS and claim.covers(block):
                    noticed = is_noticed(copy, claim, block)
                    unnoticed += not noticed
                    print("noticed  " if noticed else "UNNOTICED", block, claim.test, flush=True)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

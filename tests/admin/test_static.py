"""What the pages bring of others: exactly what NOTICE.txt says, in one file, and nothing else."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import downhaul_admin

ROOM = Path(downhaul_admin.__file__).parent
STATIC = ROOM / "static"
NOTICE = (STATIC / "NOTICE.txt").read_text(encoding="utf-8")


def test_htmx_is_the_one_that_was_looked_at_with_its_stream_in_the_same_file() -> None:
    text = (STATIC / "htmx.js").read_bytes()
    named = re.search(r"sha256 of htmx\.js\s+([0-9a-f]{64})", NOTICE)
    assert named
    assert hashlib.sha256(text).hexdigest() == named[1]
    assert re.search(r"htmx\.org \d+\.\d+\.\d+ \(npm\)", NOTICE)
    assert b"sse:connect" in text, "two deferred scripts would not always open their stream"
    assert b"sourceMappingURL" not in text


def test_each_file_is_ours_or_named_and_each_page_asks_for_those_alone() -> None:
    scripts = {path.name for path in STATIC.iterdir() if path.suffix == ".js"}
    assert scripts == {"htmx.js", "pages.js", "flag.js"}
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOM / "templates").rglob("*.html"))
    assert set(re.findall(r"<script src=\"\{\{ static\('([\w.]+)'\) \}\}\" defer>", pages)) == scripts
    assert pages.count("<script") == len(re.findall(r"<script src=\"\{\{ static\('", pages)), "no other script anywhere"
    assert not re.search(r"https?://(?!www\.w3\.org)[^\s\"'<]*\.(js|css|woff2?)", pages)

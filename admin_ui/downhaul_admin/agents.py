"""What a browser says that it is, in words: `Firefox on Linux`."""

from __future__ import annotations

BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("Chrome", "Chrome"),
    ("CriOS", "Chrome"),
    ("Safari", "Safari"),
    ("curl", "curl"),
)
"""The first that is named counts: most of them claim to be the later ones too."""
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def name(agent: str) -> str:
    """For people; as it came where nothing of it is known."""
    browser = next((word for mark, word in BROWSERS if f"{mark}/" in agent), None)
    system = next((word for mark, word in SYSTEMS if mark in agent), None)
    if browser is None:
        return agent or "a browser that does not say what it is"
    return f"{browser} on {system}" if system else browser

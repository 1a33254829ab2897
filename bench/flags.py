"""The flags that are measured: what each costs, and how a caller asks for it. The peers get the same ones."""

from __future__ import annotations

from typing import Any

BUILD = "2.4.1"
COUNTRIES = ["DE", "FR", "NL"]
MEMBERS = [f"user-{number}" for number in range(1_000)]
CONTEXT = {"user": "user-123", "country": "DE", "plan": "pro"}


def split(percent: float) -> dict[str, Any]:
    on = int(percent * 1000)
    return {"split": [{"variant": "on", "weight": on}, {"variant": "off", "weight": 100_000 - on}], "by": "user"}


def leaf(attribute: str, op: str, *values: Any) -> dict[str, Any]:
    return {"attribute": attribute, "op": op, "values": list(values)}


def flag(key: str, **parts: Any) -> dict[str, Any]:
    return {
        "type": "boolean",
        "salt": f"bench/{key}",
        "variants": {"on": True, "off": False},
        "off_variant": "off",
        "requires": [],
        "on": True,
        "killed": False,
        "rules": [],
        "otherwise": {"variant": "on"},
    } | parts


def targeting(key: str) -> dict[str, Any]:
    """Country in three values, plan, semver of the build, then half of them."""
    when = {"all": [leaf("country", "in", *COUNTRIES), leaf("plan", "in", "pro"), leaf("build", "semver_gte", "2.1.0")]}
    rule = {"name": "pro customers", "when": when, "serve": split(50)}
    return flag(key, rules=[rule], otherwise={"variant": "off"})


def membership(key: str) -> dict[str, Any]:
    rule = {"name": "members", "when": leaf("user", "in", *MEMBERS), "serve": {"variant": "on"}}
    return flag(key, rules=[rule], otherwise={"variant": "off"})


MEASURED = {
    "plain-on": flag("plain-on"),
    "killed": flag("killed", killed=True),
    "split-25": flag("split-25", otherwise=split(25)),
    "targeting": targeting("targeting"),
    "members": membership("members"),
}
"""Name -> snapshot document of each flag that is measured by itself."""


def many(count: int) -> dict[str, dict[str, Any]]:
    """A believable crowd: a third plain, a third split, a third targeted."""
    kinds = (flag, lambda key: flag(key, otherwise=split(25)), targeting)
    return {f"flag-{number}": kinds[number % 3](f"flag-{number}") for number in range(count)}

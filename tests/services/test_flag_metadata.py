"""What a flag's owner wants told with each evaluation: kept, told, changed like the rest of a definition."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Invalid
from support.services import ADMIN, CHECKOUT, FLAG, sdk_key

TOLD = {"team": "cart", "weight": 0.5, "paged": True}


def in_snapshot(services: Services) -> dict[str, Any]:
    flags: dict[str, Any] = services.snapshots.get(sdk_key("production"), CHECKOUT).content.flags
    return flags[FLAG]


def test_there_is_none_unless_it_is_given(services: Services) -> None:
    assert services.flags.get(ADMIN, CHECKOUT, FLAG)["metadata"] == {}
    assert "metadata" not in in_snapshot(services), "snapshots stay what they were"


def test_it_reaches_every_instance(services: Services) -> None:
    before = services.snapshots.get(sdk_key("production"), CHECKOUT).revision
    services.flags.patch(ADMIN, CHECKOUT, FLAG, {"metadata": TOLD})
    assert services.flags.get(ADMIN, CHECKOUT, FLAG)["metadata"] == TOLD
    assert in_snapshot(services)["metadata"] == TOLD
    assert services.snapshots.get(sdk_key("production"), CHECKOUT).revision > before
    services.flags.patch(ADMIN, CHECKOUT, FLAG, {"metadata": None})
    assert "metadata" not in in_snapshot(services)


@pytest.mark.parametrize("wrong", [[], "", 0, {"deep": {"er": 1}}, {"list": [1]}, {"null": None}, {"": 1}])
def test_anything_else_is_refused_with_its_place(wrong: Any, services: Services) -> None:
    with pytest.raises(Invalid) as refused:
        services.flags.replace(ADMIN, CHECKOUT, FLAG, {"type": "boolean", "metadata": wrong})
    assert "metadata" in str(refused.value)
    assert services.flags.get(ADMIN, CHECKOUT, FLAG)["metadata"] == {}

"""OpenFeature is left as it was found: no provider, no context, no hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.transaction_context import clear_transaction_context_propagator

TAGS_OF_EXAMPLES = ("booleans", "strings", "numbers", "objects", "hooks", "transaction")


def pytest_configure(config: pytest.Config) -> None:
    """pytest-bdd makes markers of the tags of examples without asking."""
    for tag in TAGS_OF_EXAMPLES:
        config.addinivalue_line("markers", f"{tag}: a tag of OpenFeature's examples")


def pytest_bdd_apply_tag(tag: str, function: Callable[..., object]) -> bool:
    """The tags of the scenarios are no markers of ours."""
    return True


@pytest.fixture
def clean() -> Iterator[None]:
    yield
    api.clear_hooks()
    api.set_evaluation_context(EvaluationContext())
    api.set_transaction_context(EvaluationContext())
    clear_transaction_context_propagator()

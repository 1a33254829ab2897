"""Every code block of the documentation is run, or at least checked, by some test: this says which one does.

A new page, or a first block in another language, needs a line in CLAIMS. It says that the test goes through *all*
blocks of the page in these languages: `support.guides.blocks` gives them. Where blocks have a mark right above their
fence (`<!-- tried by tests/edge: ... -->`) the line says so, and then it is about those whose mark names its test.

ELSEWHERE runs nothing: it reads lines for other machines (sudo, docker) and our own targets of make. Those with
sudo are run by `make machines`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from support.guides import ROOT, Block, blocks, pages

PARSERS: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
}
"""Languages of data. That a block can be read is enough, though most of them are compared with something besides."""


@dataclass(frozen=True, slots=True)
class Claim:
    """This test runs the blocks of this page in these languages."""

    page: str
    languages: tuple[str, ...]
    test: str
    marked: bool = False
    holding: str = ""
    """It is about those blocks alone that hold this."""

    def covers(self, block: Block) -> bool:
        if block.page != self.page or block.language not in self.languages:
            return False
        by = block.mark.removeprefix("tried by ").partition(":")[0]
        return bool(by) == self.marked and self.test.startswith(by) and self.holding in block.text


GUIDES, ELSEWHERE = "tests/docs/test_guides.py", "tests/docs/test_other_places.py"
PICTURES, EVALUATION = "tests/docs/test_pictures.py", "tests/docs/test_evaluation_guide.py"
OFREP, BLUE_GREEN = "tests/ofrep/test_clients.py", "tests/edge/test_blue_green.py"
KUBERNETES, WHEEL = "tests/deploy/test_kubernetes_guide.py", "tests/sdk/test_wheel.py"
RUNNING = "tests/docs/test_running_guide.py"
MACHINE, SHOP_ON_A_MACHINE, CONTAINERS = (
    "tests/machines/test_guides_on_a_machine.py",
    "tests/machines/test_blue_green_on_a_machine.py",
    "tests/machines/test_containers.py",
)

CLAIMS = (
    Claim("README.md", ("sh",), "tests/docs/test_readme.py", marked=True),
    Claim("README.md", ("sh",), WHEEL, marked=True),
    Claim("README.md", ("sh",), ELSEWHERE),
    Claim("README.md", ("python",), "tests/docs/test_readme.py"),
    Claim("CONTRIBUTING.md", ("sh",), ELSEWHERE),
    Claim("sdk/README.md", ("python",), "tests/sdk/test_docs.py"),
    Claim("docs/api.md", ("sh", "python"), GUIDES),
    Claim("docs/api.md", ("text",), PICTURES),
    Claim("docs/blue-green.md", ("sh",), BLUE_GREEN, marked=True),
    Claim("docs/blue-green.md", ("sh",), SHOP_ON_A_MACHINE),
    Claim("docs/blue-green.md", ("text",), PICTURES),
    Claim("docs/cli.md", ("sh",), "tests/docs/test_cli_guide.py"),
    Claim("docs/cli.md", ("text",), PICTURES),
    Claim("docs/deploying.md", ("sh",), CONTAINERS, holding="docker "),
    Claim("docs/deploying.md", ("sh",), KUBERNETES, marked=True),
    Claim("docs/deploying.md", ("sh",), ELSEWHERE),
    Claim("docs/deploying.md", ("sh",), MACHINE, holding="sudo "),
    Claim("docs/edge.md", ("sh",), "tests/edge/test_polls.py", marked=True),
    Claim("docs/edge.md", ("sh",), MACHINE),
    Claim("docs/evaluation.md", ("python", "js", "text"), EVALUATION),
    Claim(
        "docs/frameworks.md", ("python", "console", "django", "jinja"), "tests/integrations/test_frameworks_guide.py"
    ),
    Claim("docs/incident.md", ("sh",), GUIDES),
    Claim("docs/ofrep.md", ("sh", "python", "js"), OFREP),
    Claim("docs/ofrep.md", ("text",), PICTURES),
    Claim("docs/openfeature.md", ("python",), "tests/integrations/openfeature/test_guide.py"),
    Claim("docs/openfeature.md", ("console",), WHEEL, marked=True),
    Claim("docs/operations.md", ("console",), "tests/faults/test_failover.py"),
    Claim("docs/operations.md", ("text",), "tests/run/test_backup_command.py"),
    Claim("docs/people.md", ("sh",), GUIDES),
    Claim("docs/reviews.md", ("sh",), GUIDES),
    Claim("docs/running.md", ("console",), RUNNING, marked=True),
    Claim("docs/running.md", ("console",), "tests/run/test_recovery.py", marked=True),
    Claim("docs/running.md", ("nginx",), RUNNING),
    Claim("docs/running.md", ("text",), GUIDES),
    Claim("docs/sdk.md", ("python",), "tests/sdk/test_docs.py"),
    Claim("docs/sdk.md", ("console",), WHEEL, marked=True),
    Claim("docs/testing.md", ("python", "text"), "tests/testing/test_guide.py"),
    Claim("docs/tutorial.md", ("sh", "python"), GUIDES),
    Claim("docs/watching.md", ("sh",), KUBERNETES, marked=True),
    Claim("docs/watching.md", ("sh",), RUNNING, marked=True),
    Claim("docs/watching.md", ("sh",), "tests/deploy/test_watching.py", marked=True),
    Claim("docs/webhooks.md", ("python", "js"), "tests/hooks/test_hooks_guide.py", marked=True),
    Claim("docs/webhooks.md", ("sh",), GUIDES),
)

BLOCKS = [block for page in pages() for block in blocks(page)]


def test_every_block_is_run_by_a_test() -> None:
    unclaimed = [
        str(block)
        for block in BLOCKS
        if block.language not in PARSERS and not any(claim.covers(block) for claim in CLAIMS)
    ]
    assert not unclaimed, "no test runs these; write one, and say in CLAIMS that it does"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.page}-{'-'.join(claim.languages)}-{claim.test}")
def test_a_claim_is_about_blocks_that_are_there_and_a_test_that_speaks_of_the_page(claim: Claim) -> None:
    for language in claim.languages:
        assert any(claim.covers(block) for block in BLOCKS if block.language == language), f"no {language} there"
    source = (ROOT / claim.test).read_text("utf-8")
    assert claim.page.rpartition("/")[2] in source


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in PARSERS], ids=str)
def test_data_can_be_read(block: Block) -> None:
    assert PARSERS[block.language](block.text)

"""OpenFeature's own scenarios, with our provider over a client that has its flags from a service.

One is left out, for it asks for what a provider may have and ours has not: the reason CACHED. An evaluation is as new
as the snapshot.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from downhaul.client import Client
from downhaul.integrations.openfeature import DownhaulProvider
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagEvaluationOptions
from openfeature.hook import Hook, HookContext, HookHints
from openfeature.transaction_context import ContextVarsTransactionContextPropagator
from pytest_bdd import given, parsers, scenarios, then, when
from support.fakeservice import KEY, SERVICE, FakeService, answer, never
from support.openfeature_flags import CONFORMANCE, flags
from support.waiting import wait_until

STABLE = "stable"
KEY_OF = 'key "(?P<key>[^"]*)"'
LEVELS = ("API", "Transaction", "Client", "Invocation", "Before Hooks")

scenarios(str(CONFORMANCE))
del globals()["test_cached_reason"]  # pytest-bdd has put it there


@dataclass
class Recorder(Hook):
    """Notes when it is called, and with what."""

    name: str = "one"
    calls: list[tuple[str, str]] = field(default_factory=list)
    details: dict[str, FlagEvaluationDetails[Any]] = field(default_factory=dict)
    adds: EvaluationContext | None = None

    def before(self, hook_context: HookContext, hints: HookHints) -> EvaluationContext | None:
        self.calls.append((self.name, "before"))
        return self.adds

    def after(self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints) -> None:
        self._note("after", details)

    def error(self, hook_context: HookContext, exception: Exception, hints: HookHints) -> None:
        self.calls.append((self.name, "error"))

    def finally_after(self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints) -> None:
        self._note("finally", details)

    def _note(self, stage: str, details: FlagEvaluationDetails[Any]) -> None:
        self.calls.append((self.name, stage))
        self.details[stage] = details


@dataclass
class World:
    """What one scenario has set up, and what came out."""

    client: OpenFeatureClient
    kind: str = "boolean"
    key: str = "boolean-flag"
    default: Any = False
    attributes: dict[str, Any] = field(default_factory=dict)
    options: FlagEvaluationOptions = field(default_factory=FlagEvaluationOptions)
    hook: Recorder = field(default_factory=Recorder)
    second: Recorder = field(default_factory=lambda: Recorder("two"))
    levels: list[str] = field(default_factory=lambda: list(LEVELS))
    found: FlagEvaluationDetails[Any] | None = None
    seen: dict[str, Any] = field(default_factory=dict)
    """The attributes that reached Downhaul."""

    @property
    def context(self) -> EvaluationContext:
        return EvaluationContext(attributes=self.attributes)

    @property
    def details(self) -> FlagEvaluationDetails[Any]:
        assert self.found is not None
        return self.found

    def evaluate(self) -> None:
        ask = getattr(self.client, f"get_{self.kind}_details")
        self.found = ask(self.key, self.default, self.context, self.options)


@pytest.fixture(scope="module")
def live() -> Iterator[Client]:
    """A client that is ready, behind the provider of the domain STABLE."""
    service = FakeService()
    service.publish(2, flags())
    client = Client(url=service.url, key=KEY, service=SERVICE)
    api.set_provider_and_wait(DownhaulProvider(client), STABLE)
    yield client
    api.clear_providers()
    service.close()


@pytest.fixture
def service() -> Iterator[FakeService]:
    made = FakeService()
    made.publish(2, flags())
    yield made
    made.close()


@pytest.fixture
def world(live: Client, clean: None) -> World:
    return World(api.get_client(STABLE))


def typed(kind: str, text: str) -> Any:
    """A value of the scenarios."""
    kind, text = kind.lower(), text.replace('\\"', '"')
    if kind == "string":
        return None if text == "null" else text
    return {"boolean": json.loads, "integer": int, "float": float, "object": json.loads}[kind](text)


# Providers.


@given("a stable provider")
def a_stable_provider(world: World) -> None:
    wait_until(lambda: world.client.get_provider_status().value == "READY", "it is ready")


@given("a not ready provider")
def a_provider_that_waits(world: World, service: FakeService) -> None:
    service.behaviour = never
    client = Client(url=service.url, key=KEY, service=SERVICE, timeout=60)
    api.set_provider(DownhaulProvider(client, ready_within=5), "not ready")
    world.client = api.get_client("not ready")


@given("a fatal provider")
def a_provider_without_settings(world: World) -> None:
    with pytest.raises(OpenFeatureError):
        api.set_provider_and_wait(DownhaulProvider(Client()), "fatal")
    world.client = api.get_client("fatal")


@given("a error provider")
def a_provider_whose_service_fails(world: World, service: FakeService) -> None:
    service.behaviour = answer("500 Internal Server Error")
    with pytest.raises(OpenFeatureError):
        api.set_provider_and_wait(
            DownhaulProvider(Client(url=service.url, key=KEY, service=SERVICE), ready_within=0.1), "error"
        )
    world.client = api.get_client("error")


@given("a stale provider")
def a_provider_whose_service_is_gone(world: World, service: FakeService) -> None:
    client = Client(url=service.url, key=KEY, service=SERVICE, timeout=1, poll_interval=0.1)
    api.set_provider_and_wait(DownhaulProvider(client), "stale")
    service.behaviour = answer("500 Internal Server Error")
    world.client = api.get_client("stale")
    wait_until(lambda: world.client.get_provider_status().value == "STALE", "it is stale")


@given("a stable provider with retrievable context is registered")
def a_provider_that_shows_its_context(world: World, live: Client, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(live.on_evaluation(lambda _, context: world.seen.update(context)))
    api.set_transaction_context_propagator(ContextVarsTransactionContextPropagator())


# Flags, contexts, hooks.


@given(parsers.re(r'a (?P<kind>\w+)-flag with key "(?P<key>[^"]*)" and a fallback value "(?P<default>.*)"'))
def a_flag(world: World, kind: str, key: str, default: str) -> None:
    world.kind, world.key, world.default = kind.lower(), key, typed(kind, default)


@given(
    parsers.re(r'a context containing a key "(?P<name>\w+)", with type "(?P<kind>\w+)" and with value "(?P<value>.*)"')
)
def an_attribute(world: World, name: str, kind: str, value: str) -> None:
    world.attributes[name] = typed(kind, value)


@given(parsers.parse('a context containing a key "{name}" with null value'))
def a_null(world: World, name: str) -> None:
    world.attributes[name] = None


@given("an evaluation context with modifiable data")
def a_context(world: World) -> None:
    world.attributes |= {"email": "ada@example.com", "tags": ["one"]}


@given("a client with added hook")
def a_hook(world: World) -> None:
    world.client.add_hooks([world.hook])


@given("evaluation options containing specific hooks")
def hooks_of_the_options(world: World) -> None:
    world.options = FlagEvaluationOptions(hooks=[world.hook, world.second])


@given(parsers.parse('A context entry with key "{key}" and value "{value}" is added to the "{level}" level'))
def an_entry(world: World, key: str, value: str, level: str) -> None:
    entry = EvaluationContext(attributes={key: value})
    if level == "API":
        api.set_evaluation_context(api.get_evaluation_context().merge(entry))
    elif level == "Transaction":
        api.set_transaction_context(api.get_transaction_context().merge(entry))
    elif level == "Client":
        world.client.context = world.client.context.merge(entry)
    elif level == "Invocation":
        world.attributes[key] = value
    else:
        world.hook.adds = entry
        world.options = FlagEvaluationOptions(hooks=[world.hook])


@given("A table with levels of increasing precedence")
def levels(world: World, datatable: list[list[str]]) -> None:
    world.levels = [level for (level,) in datatable]


@given(
    parsers.parse(
        'Context entries for each level from API level down to the "{lowest}" level,'
        ' with key "{key}" and value "{value}"'
    )
)
def entries(world: World, lowest: str, key: str, value: str) -> None:
    for level in world.levels[: world.levels.index(lowest) + 1]:
        an_entry(world, key, level, level)


# Evaluations.


@when("the flag was evaluated with details")
@when("the flag was evaluated with details using the evaluation options")
@when("Some flag was evaluated")
def evaluated(world: World) -> None:
    world.evaluate()


@when("the flag was evaluated with details asynchronously")
def evaluated_asynchronously(world: World) -> None:
    ask = getattr(world.client, f"get_{world.kind}_details_async")
    world.found = asyncio.run(ask(world.key, world.default, world.context))


# Outcomes.


@then(parsers.re(r'the resolved details value should be "(?P<value>.*)"'))
def the_value(world: World, value: str) -> None:
    expected = typed(world.kind, value)
    assert (world.details.value, type(world.details.value)) == (expected, type(expected))


@then(parsers.parse('the reason should be "{reason}"'))
def the_reason(world: World, reason: str) -> None:
    assert world.details.reason == reason


@then(parsers.parse('the error-code should be "{code}"'))
def the_error_code(world: World, code: str) -> None:
    assert world.details.error_code == code


@then(parsers.parse('the variant should be "{variant}"'))
def the_variant(world: World, variant: str) -> None:
    assert world.details.variant == variant


@then(parsers.parse('the flag key should be "{key}"'))
def the_key(world: World, key: str) -> None:
    assert world.details.flag_key == key


@then(parsers.parse('the provider status should be "{status}"'))
def the_status(world: World, status: str) -> None:
    wait_until(lambda: world.client.get_provider_status().value == status, f"the status is {status}")


@then("the resolved metadata should contain")
def the_metadata(world: World, datatable: list[list[str]]) -> None:
    expected = {key: typed(kind, value) for key, kind, value in datatable[1:]}
    assert world.details.flag_metadata == expected


@then("the resolved metadata is empty")
def no_metadata(world: World) -> None:
    assert world.details.flag_metadata == {}


@then(parsers.parse('The merged context contains an entry with key "{key}" and value "{value}"'))
def the_merged_context(world: World, key: str, value: str) -> None:
    assert world.seen[key] == value


@then(parsers.parse('the "{stage}" hook should have been executed'))
def the_hook_ran(world: World, stage: str) -> None:
    assert (world.hook.name, stage) in world.hook.calls


@then(parsers.parse('the "{stages}" hooks should be called with evaluation details'))
def the_hooks_were_told(world: World, stages: str, datatable: list[list[str]]) -> None:
    for stage in stages.split(", "):
        for kind, key, value in datatable[1:]:
            assert getattr(world.hook.details[stage], key) == typed(kind, value), (stage, key)


@then("the specified hooks should execute during evaluation")
def the_hooks_of_the_options_ran(world: World) -> None:
    assert {stage for _, stage in world.hook.calls} == {"before", "after", "finally"}


@then("the hook order should be maintained")
def the_order(world: World) -> None:
    assert [name for name, _ in world.hook.calls + world.second.calls] == ["one"] * 3 + ["two"] * 3


@then("the original evaluation context should remain unmodified")
def the_context_is_as_it_was(world: World) -> None:
    assert world.context.attributes == {"email": "ada@example.com", "tags": ["one"]}


@then("the evaluation details should be immutable")
def the_metadata_is_immutable(world: World) -> None:
    with pytest.raises(TypeError):
        world.details.flag_metadata["more"] = "than there was"  # type: ignore[index]


@then("the evaluation should complete without blocking")
def it_is_there(world: World) -> None:
    assert world.found is not None


# The older scenarios say the same in sentences of their own.


@when(
    parsers.re(
        rf'an? (?P<kind>\w+) flag with {KEY_OF} is evaluated with (details and )?default value "?(?P<default>[^"]*)"?$'
    )
)
def evaluated_with_default(world: World, kind: str, key: str, default: str) -> None:
    a_flag(world, kind, key, default)
    world.evaluate()


@when(parsers.re(r'an object flag with key "(?P<key>[^"]*)" is evaluated with (details and )?a null default value'))
def evaluated_with_null(world: World, key: str) -> None:
    world.kind, world.key, world.default = "object", key, None
    world.evaluate()


@when(
    parsers.re(
        rf'a non-existent string flag with {KEY_OF} is evaluated with details and a fallback value "(?P<default>.*)"'
    )
)
def a_missing_one_evaluated(world: World, key: str, default: str) -> None:
    a_flag(world, "string", key, default)
    world.evaluate()


@when(
    parsers.re(
        rf"a string flag with {KEY_OF} is evaluated as an integer, with details and a fallback value (?P<default>\d+)"
    )
)
def a_wrong_one_evaluated(world: World, key: str, default: str) -> None:
    a_flag(world, "integer", key, default)
    world.evaluate()


@when(
    parsers.re(
        r'context contains keys "(?P<a>\w+)", "(?P<b>\w+)", "(?P<c>\w+)", "(?P<d>\w+)"'
        r' with values "(?P<first>\w+)", "(?P<second>\w+)", (?P<third>\d+), "(?P<fourth>\w+)"'
    )
)
def four_attributes(
    world: World, a: str, b: str, c: str, d: str, first: str, second: str, third: str, fourth: str
) -> None:
    world.attributes = {a: first, b: second, c: int(third), d: json.loads(fourth)}


@when(parsers.parse('a flag with key "{key}" is evaluated with default value "{default}"'))
def evaluated_in_context(world: World, key: str, default: str) -> None:
    a_flag(world, "string", key, default)
    world.evaluate()


@then(parsers.re(r'the resolved (?P<kind>\w+) (value|response) should be "?(?P<value>[^"]*)"?$'))
def the_resolved_value(world: World, kind: str, value: str) -> None:
    the_value(world, value)


@then(
    parsers.re(
        r'the resolved \w+ details value should be "?(?P<value>[^"]*)"?, the variant should be "(?P<variant>\w+)",'
        r' and the reason should be "(?P<reason>\w+)"'
    )
)
def the_resolved_details(world: World, value: str, variant: str, reason: str) -> None:
    the_value(world, value)
    assert (world.details.variant, world.details.reason) == (variant, reason)


@then(
    parsers.re(
        r'the resolved object (details )?value should be contain fields "(?P<a>\w+)", "(?P<b>\w+)", and "(?P<c>\w+)",'
        r' with values "(?P<first>.*)", "(?P<second>.*)" and (?P<third>\d+), respectively'
    )
)
def the_resolved_object(world: World, a: str, b: str, c: str, first: str, second: str, third: str) -> None:
    assert world.details.value == {a: json.loads(first), b: second, c: int(third)}


@then(parsers.parse('the variant should be "{variant}", and the reason should be "{reason}"'))
def the_variant_and_the_reason(world: World, variant: str, reason: str) -> None:
    assert (world.details.variant, world.details.reason) == (variant, reason)


@then(parsers.parse('the resolved flag value is "{value}" when the context is empty'))
def the_value_without_context(world: World, value: str) -> None:
    world.attributes = {}
    world.evaluate()
    the_value(world, value)


@then(parsers.re(r"the default (string|integer) value should be returned"))
def the_default(world: World) -> None:
    assert world.details.value == world.default


@then(
    parsers.re(
        r"the reason should indicate an error and the error code should indicate a (missing flag|type mismatch)"
        r' with "(?P<code>\w+)"'
    )
)
def the_error(world: World, code: str) -> None:
    assert (world.details.reason, world.details.error_code) == ("ERROR", code)

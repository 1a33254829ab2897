"""How each of the other vendors' SDKs is told the measured flags, and asked for one.

None of them reaches a network: each gets its flags in its own vendor's format through the SDK's own door for data at
start, and sends no events. Each is given the form that its vendor offers for the purpose and that it answers fastest.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from time import time
from typing import Any

NOWHERE = "http://127.0.0.1:9"
Instances = count()


@dataclass(frozen=True)
class Wanted:
    """What a flag does, in no vendor's words: `percent` of those who meet all `conditions` get it, if it is `on`.

    A condition is an attribute, `in` or `semver_gte`, and the values for it.
    """

    key: str
    on: bool
    conditions: tuple[tuple[str, str, list[str]], ...]
    percent: int


def wanted(key: str, document: dict[str, Any]) -> Wanted:
    """The same flag as the snapshot `document`, which is one of those that `flags` makes."""
    rule = next(iter(document["rules"]), None)
    serve = rule["serve"] if rule else document["otherwise"]
    leaves = rule["when"].get("all", [rule["when"]]) if rule else []
    conditions = tuple((leaf["attribute"], leaf["op"], leaf["values"]) for leaf in leaves)
    percent = serve["split"][0]["weight"] // 1000 if "split" in serve else 100
    return Wanted(key, document["on"] and not document["killed"], conditions, percent)


@dataclass(frozen=True)
class Sdk:
    """An SDK with flags loaded, and the Python text of a call: over `names`, `flag`, and what is known of a person.

    `ask` has `{context}` where the context goes: `user` for a caller who gives a user alone, `person` for one who gives
    `user`, `country`, `plan` and `build`, and `prepared` for one who made the value of `user` beforehand.
    """

    ask: str
    user: str
    person: str
    names: dict[str, Any]
    prepared: str = "prepared"


def statsig(flags: list[Wanted]) -> Sdk:
    from statsig_python_core import DataStore, DataStoreResponse, Statsig, StatsigOptions, StatsigUser

    operators = {"in": "any", "semver_gte": "version_gte"}
    fields = {"user": "userID", "build": "appVersion"}
    gates, conditions = {}, {}
    plain = {"type": "public", "targetValue": None, "operator": None, "field": None}
    for flag in flags:
        named = {
            f"{flag.key}/{attribute}": {
                "type": "user_field",
                "targetValue": values if op == "in" else values[0],
                "operator": operators[op],
                "field": fields.get(attribute, attribute),
            }
            for attribute, op, values in flag.conditions
        } or {"everyone": plain}
        conditions |= {name: each | {"additionalValues": {}, "idType": "userID"} for name, each in named.items()}
        common = {"name": flag.key, "salt": flag.key, "idType": "userID"}
        rule = common | {"id": "rule", "passPercentage": flag.percent, "conditions": list(named), "returnValue": True}
        gate = {"type": "feature_gate", "entity": "feature_gate", "enabled": flag.on, "defaultValue": False}
        gates[flag.key] = common | gate | {"rules": [rule] if flag.on else []}
    now = int(time() * 1000)
    empty: dict[str, Any] = {"dynamic_configs": {}, "layer_configs": {}, "experiment_to_layer": {}}
    specs = json.dumps(empty | {"feature_gates": gates, "condition_map": conditions, "has_updates": True, "time": now})

    class Store(DataStore):  # type: ignore[misc] -- untyped
        def get(self, key: str) -> Any:
            return DataStoreResponse(result=specs, time=now)

    quiet = {"disable_network": True, "disable_all_logging": True, "disable_country_lookup": True}
    options = StatsigOptions(data_store=Store(), specs_url=NOWHERE, log_event_url=NOWHERE, **quiet)
    client = Statsig("secret-bench", options)
    client.initialize().wait(30)
    return Sdk(
        ask="check_gate({context}, flag)",
        user="StatsigUser(user_id=user)",
        person="StatsigUser(user_id=user, country=country, app_version=build, custom={'plan': plan})",
        names={"check_gate": client.check_gate, "StatsigUser": StatsigUser},
    )


def growthbook(flags: list[Wanted]) -> Sdk:
    from growthbook import GrowthBook

    operators = {"in": "$in", "semver_gte": "$vgte"}

    def feature(flag: Wanted) -> dict[str, Any]:
        if not flag.on or (flag.percent == 100 and not flag.conditions):
            return {"defaultValue": flag.on}
        rule: dict[str, Any] = {"force": True}
        if flag.percent < 100:
            rule |= {"coverage": flag.percent / 100, "hashAttribute": "id"}
        if flag.conditions:
            rule["condition"] = {
                "id" if attribute == "user" else attribute: {operators[op]: values if op == "in" else values[0]}
                for attribute, op, values in flag.conditions
            }
        return {"defaultValue": False, "rules": [rule]}

    # One instance for all calls: one for each request, as its manual has it, would read every flag's rules anew.
    client = GrowthBook(features={flag.key: feature(flag) for flag in flags})
    return Sdk(
        ask="set_attributes({context}) or is_on(flag)",
        user="{'id': user}",
        person="{'id': user, 'country': country, 'plan': plan, 'build': build}",
        names={"set_attributes": client.set_attributes, "is_on": client.is_on},
    )


def eppo(flags: list[Wanted], logged: bool = False) -> Sdk:
    """With `logged`, each call also tells the program's logger of assignments, which drops it."""
    import eppo_client

    operators = {"in": "ONE_OF", "semver_gte": "GTE"}

    def allocation(flag: Wanted) -> dict[str, Any]:
        conditions = [
            {
                "attribute": "id" if attribute == "user" else attribute,
                "operator": operators[op],
                "value": values if op == "in" else values[0],
            }
            for attribute, op, values in flag.conditions
        ]
        shards = [{"salt": flag.key, "ranges": [{"start": 0, "end": flag.percent * 100}]}] if flag.percent < 100 else []
        rules = [{"conditions": conditions}] if conditions else []
        splits = [{"variationKey": "on", "shards": shards}]
        return {"key": "allocation", "rules": rules, "splits": splits, "doLog": logged}

    variations = {key: {"key": key, "value": key == "on"} for key in ("on", "off")}
    document = {
        "createdAt": "2026-01-01T00:00:00.000Z",
        "format": "SERVER",
        "environment": {"name": "production"},
        "flags": {
            flag.key: {
                "key": flag.key,
                "enabled": flag.on,
                "variationType": "BOOLEAN",
                "variations": variations,
                "allocations": [allocation(flag)],
                "totalShards": 10_000,
            }
            for flag in flags
        },
    }
    client = eppo_client.init(
        eppo_client.ClientConfig(
            api_key="bench",
            base_url=NOWHERE,
            assignment_logger=eppo_client.AssignmentLogger(),
            poll_interval_seconds=None,
            initial_configuration=eppo_client.Configuration(flags_configuration=json.dumps(document).encode()),
        )
    )
    return Sdk(
        ask="get_boolean_assignment(flag, user, {context}, False)",
        user="{}",
        person="{'country': country, 'plan': plan, 'build': build}",
        names={"get_boolean_assignment": client.get_boolean_assignment},
    )


def configcat(flags: list[Wanted]) -> Sdk:
    from configcatclient import ConfigCatClient
    from configcatclient.configcatoptions import ConfigCatOptions
    from configcatclient.interfaces import ConfigCache
    from configcatclient.user import User

    names = {"user": "Identifier", "country": "Country"}

    def condition(attribute: str, op: str, values: list[str]) -> dict[str, Any]:
        name = names.get(attribute, attribute)
        return {"u": {"a": name, "c": 0, "l": values} if op == "in" else {"a": name, "c": 9, "s": values[0]}}

    def served(value: bool) -> dict[str, Any]:
        return {"v": {"b": value}, "i": "on" if value else "off"}

    def setting(flag: Wanted) -> dict[str, Any]:
        options = [{"p": flag.percent} | served(True), {"p": 100 - flag.percent} | served(False)]
        share = {"p": options} if flag.percent < 100 else {"s": served(True)}
        if not flag.on or not (flag.conditions or flag.percent < 100):
            return {"t": 0} | served(flag.on)
        if not flag.conditions:
            return {"t": 0} | served(False) | share
        return {"t": 0, "r": [{"c": [condition(*each) for each in flag.conditions]} | share]} | served(False)

    config = json.dumps({"p": {"s": "salt"}, "f": {flag.key: setting(flag) for flag in flags}})
    entry = f"{int(time() * 1000)}\netag\n{config}"

    class Cache(ConfigCache):  # type: ignore[misc] -- untyped
        def get(self, key: str) -> str:
            return entry

        def set(self, key: str, value: str) -> None:
            pass

    sdk_key = f"{next(Instances):022}/{'0' * 22}"
    options = ConfigCatOptions(base_url=NOWHERE, config_cache=Cache(), offline=True)
    client = ConfigCatClient.get(sdk_key, options)
    return Sdk(
        ask="get_value(flag, False, {context})",
        user="User(user)",
        person="User(user, country=country, custom={'plan': plan, 'build': build})",
        names={"get_value": client.get_value, "User": User},
    )


def launchdarkly(flags: list[Wanted]) -> Sdk:
    from ldclient import Config, Context, LDClient
    from ldclient.interfaces import UpdateProcessor
    from ldclient.versioned_data_kind import FEATURES

    def clause(attribute: str, op: str, values: list[str]) -> dict[str, Any]:
        if op == "in":
            return {"attribute": attribute, "op": "in", "values": values}
        return {"attribute": attribute, "op": "semVerLessThan", "values": values, "negate": True}

    def document(flag: Wanted) -> dict[str, Any]:
        weights = [(0, flag.percent * 1000), (1, 100_000 - flag.percent * 1000)]
        rollout = {"variations": [{"variation": variation, "weight": weight} for variation, weight in weights]}
        share = {"rollout": rollout} if flag.percent < 100 else {"variation": 0}
        made = {
            "key": flag.key,
            "version": 1,
            "on": flag.on,
            "salt": flag.key,
            "variations": [True, False],
            "offVariation": 1,
            "fallthrough": {"variation": 1} if flag.conditions else share,
        }
        if [attribute for attribute, _, _ in flag.conditions] == ["user"]:
            return made | {"targets": [{"variation": 0, "values": flag.conditions[0][2]}]}
        if flag.conditions:
            return made | {"rules": [{"id": "rule", "clauses": [clause(*each) for each in flag.conditions]} | share]}
        return made

    class Source(UpdateProcessor):  # type: ignore[misc] -- untyped
        def __init__(self, config: Any, store: Any, ready: Any) -> None:
            self._store, self._ready = store, ready

        def start(self) -> None:
            self._store.init({FEATURES: {flag.key: document(flag) for flag in flags}})
            self._ready.set()

        def initialized(self) -> bool:
            return True

    uris = {"base_uri": NOWHERE, "events_uri": NOWHERE, "stream_uri": NOWHERE}
    config = Config("bench", update_processor_class=Source, send_events=False, diagnostic_opt_out=True, **uris)
    client = LDClient(config, start_wait=30)
    return Sdk(
        ask="variation(flag, {context}, False)",
        user="Context.create(user)",
        person="Context.builder(user).set('country', country).set('plan', plan).set('build', build).build()",
        names={"variation": client.variation, "Context": Context},
    )


def unleash(flags: list[Wanted]) -> Sdk:
    from UnleashClient import UnleashClient
    from UnleashClient.cache import BaseCache
    from UnleashClient.constants import FEATURES_URL
    from UnleashClient.utils import InstanceAllowType

    def constraint(attribute: str, op: str, values: list[str]) -> dict[str, Any]:
        name = "userId" if attribute == "user" else attribute
        if op == "in":
            return {"contextName": name, "operator": "IN", "values": values}
        return {"contextName": name, "operator": "SEMVER_GTE", "value": values[0]}

    def strategy(flag: Wanted) -> dict[str, Any]:
        constraints = [constraint(*each) for each in flag.conditions]
        if flag.percent == 100:
            return {"name": "default", "constraints": constraints}
        rollout = {"rollout": str(flag.percent), "stickiness": "userId", "groupId": flag.key}
        return {"name": "flexibleRollout", "parameters": rollout, "constraints": constraints}

    class Cache(dict[str, Any], BaseCache):  # type: ignore[misc] -- untyped
        bootstrapped = True
        set = dict.__setitem__
        mset = dict.update
        exists = dict.__contains__
        destroy = dict.clear

    features = [{"name": flag.key, "enabled": flag.on, "strategies": [strategy(flag)]} for flag in flags]
    # Never initialised: that starts polling alone. The cache gives it its flags when it is made.
    client = UnleashClient(
        NOWHERE,
        "bench",
        cache=Cache({FEATURES_URL: json.dumps({"version": 2, "features": features})}),
        disable_metrics=True,
        disable_registration=True,
        multiple_instance_mode=InstanceAllowType.SILENTLY_ALLOW,
    )
    return Sdk(
        ask="is_enabled(flag, {context})",
        user="{'userId': user}",
        person="{'userId': user, 'properties': {'country': country, 'plan': plan, 'build': build}}",
        names={"is_enabled": client.is_enabled},
    )


VENDORS: dict[str, tuple[str, Callable[[list[Wanted]], Sdk]]] = {
    "Statsig": ("statsig-python-core", statsig),
    "GrowthBook": ("growthbook", growthbook),
    "Eppo": ("eppo-server-sdk", eppo),
    "Eppo, assignments logged": ("eppo-server-sdk", partial(eppo, logged=True)),
    "ConfigCat": ("configcat-client", configcat),
    "LaunchDarkly": ("launchdarkly-server-sdk", launchdarkly),
    "Unleash": ("UnleashClient", unleash),
}
"""Name -> what it is called among Python's packages, and what loads flags into it."""

"""What is applied to a cluster, rendered by kubectl and helm: how pods run, and that the pieces fit one another.

Schemas are checked by `deploy/check.sh`. Here: what no schema says.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from downhaul_server.settings import Settings
from support.containerfile import stages
from support.tools import tool

DEPLOY = Path(__file__).parents[2] / "deploy"
OVERLAYS = ("small", "production")
ROLES = ("api", "streams")
EVERYTHING = "api.autoscaling.enabled=true,streams.autoscaling.enabled=true,route.enabled=true"
SECRETS = {"admin-token", "redis-url"}
Manifest = dict[str, Any]


@cache
def overlay(name: str) -> tuple[Manifest, ...]:
    """As `kubectl apply -k` would send it."""
    command = [tool("kubectl", "make kubernetes"), "kustomize", DEPLOY / "kubernetes" / "overlays" / name]
    return _documents(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


@cache
def chart(*arguments: str, release: str = "flags") -> tuple[Manifest, ...]:
    """As `helm install` would send it."""
    done = helm("template", release, DEPLOY / "helm" / "downhaul", *arguments)
    assert done.returncode == 0, done.stderr
    return _documents(done.stdout)


def helm(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("helm", "make kubernetes"), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def _documents(text: str) -> tuple[Manifest, ...]:
    return tuple(document for document in yaml.safe_load_all(text) if document)


def rendered(name: str) -> tuple[Manifest, ...]:
    """An overlay, or the chart with everything turned on."""
    return chart("--set", EVERYTHING) if name == "chart" else overlay(name)


def of_kind(manifests: tuple[Manifest, ...], kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def pods(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """The pod templates, by the name of what makes them."""
    return {
        name: each["spec"]["template"]
        for kind in ("Deployment", "StatefulSet")
        for name, each in of_kind(manifests, kind).items()
    }


def servers(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """The pod templates of ours, by their role."""
    found = {pod["metadata"]["labels"].get("app.kubernetes.io/component"): pod for pod in pods(manifests).values()}
    return {role: found[role] for role in ROLES}


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector (or a Service's, which is one of plain labels) takes a pod with these labels."""
    plain = selector.get("matchLabels", {} if "matchExpressions" in selector else selector)
    expressions = selector.get("matchExpressions", ())
    assert all(each["operator"] == "In" for each in expressions)
    return plain.items() <= labels.items() and all(labels.get(each["key"]) in each["values"] for each in expressions)


EACH = pytest.mark.parametrize("name", [*OVERLAYS, "chart"])


@EACH
class TestPods:
    def test_none_is_root_nor_can_become_it_nor_write_where_it_should_not(self, name: str) -> None:
        for pod in pods(rendered(name)).values():
            secure = pod["spec"]["securityContext"]
            assert secure["runAsNonRoot"] is True and secure["runAsUser"] > 0
            assert secure["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in pod["spec"]["containers"]:
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]["cpu"]

    def test_none_holds_a_token_of_the_cluster(self, name: str) -> None:
        assert all(pod["spec"]["automountServiceAccountToken"] is False for pod in pods(rendered(name)).values())
        for account in of_kind(rendered(name), "ServiceAccount").values():
            assert account["automountServiceAccountToken"] is False

    def test_ours_run_as_the_user_and_with_the_folders_of_the_image(self, name: str) -> None:
        run = stages()["run"]
        user = int(run.all("USER")[0].partition(":")[0])
        for pod in servers(rendered(name)).values():
            assert pod["spec"]["securityContext"]["runAsUser"] == pod["spec"]["securityContext"]["fsGroup"] == user
            mounts = {each["mountPath"] for each in pod["spec"]["containers"][0]["volumeMounts"]}
            assert {run.environment()["DOWNHAUL_DATA_DIR"], "/tmp"} <= mounts

    def test_secrets_come_as_files_and_every_setting_is_one(self, name: str, tmp_path: Path) -> None:
        settings = next(
            each["data"]
            for each in of_kind(rendered(name), "ConfigMap").values()
            if "DOWNHAUL_BIND" in each.get("data", {})
        )
        values = {"admin-token": "a-token-of-the-tests-for-the-administrator", "redis-url": "redis://redis:6379/0"}
        for pod in servers(rendered(name)).values():
            (container,) = pod["spec"]["containers"]
            assert not any("secretKeyRef" in str(each) for each in container.get("env", ()))
            (volume,) = (each for each in pod["spec"]["volumes"] if "secret" in each)
            assert volume["secret"]["defaultMode"] == 0o440
        files = {}
        for setting, value in settings.items():
            if setting.endswith("_FILE"):
                key = value.removeprefix("/run/secrets/downhaul/")
                (tmp_path / key).write_text(values[key])
                files[setting] = str(tmp_path / key)
        assert {Path(path).name for path in files.values()} == SECRETS
        read = Settings.from_environment(settings | files)
        assert (read.bind, read.redis_url) == ("0.0.0.0:8080", values["redis-url"])

    def test_probes_ask_what_they_are_for_and_a_lost_redis_restarts_nobody(self, name: str) -> None:
        for pod in servers(rendered(name)).values():
            (container,) = pod["spec"]["containers"]
            asked = {
                each: container[f"{each}Probe"]["httpGet"]["path"] for each in ("startup", "liveness", "readiness")
            }
            assert asked == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
            assert pod["spec"]["enableServiceLinks"] is False

    def test_an_end_has_time_after_everybody_has_heard_of_it(self, name: str) -> None:
        for pod in servers(rendered(name)).values():
            before = pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert before >= 5
            assert pod["spec"]["terminationGracePeriodSeconds"] >= before + 15

    def test_both_kinds_run_the_same_image_in_the_same_way(self, name: str) -> None:
        api, streams = servers(rendered(name)).values()
        assert _without_what_may_differ(api) == _without_what_may_differ(streams)


def _without_what_may_differ(pod: Manifest) -> Manifest:
    text = re.sub(r"(component: |component'?: '?)(api|streams)", r"\1ROLE", yaml.safe_dump(pod))
    found: Manifest = yaml.safe_load(text)
    for container in found["spec"]["containers"]:
        del container["resources"]
    return found


@EACH
class TestTheyFit:
    def test_each_selector_takes_the_pods_that_it_is_for(self, name: str) -> None:
        manifests = rendered(name)
        labels = {role: pod["metadata"]["labels"] for role, pod in servers(manifests).items()}

        def taken(selector: Mapping[str, Any]) -> list[str]:
            return [role for role in ROLES if matches(selector, labels[role])]

        for service_name, service in of_kind(manifests, "Service").items():
            role = next((role for role in ROLES if service_name.endswith(f"-{role}")), None)
            expected = [] if service_name == "redis" else [role] if role else list(ROLES)
            assert taken(service["spec"]["selector"]) == expected, service_name
            for other, pod in pods(manifests).items():
                if other == "redis":
                    assert matches(service["spec"]["selector"], pod["metadata"]["labels"]) == (service_name == "redis")
        budgets = of_kind(manifests, "PodDisruptionBudget").values()
        assert sorted(taken(each["spec"]["selector"])[0] for each in budgets) == sorted(ROLES)
        policy = next(each for key, each in of_kind(manifests, "NetworkPolicy").items() if key != "redis")
        assert taken(policy["spec"]["podSelector"]) == list(ROLES)
        assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}

    def test_ports_are_named_as_they_are_used(self, name: str) -> None:
        for pod in servers(rendered(name)).values():
            ports = {each["name"]: each["containerPort"] for each in pod["spec"]["containers"][0]["ports"]}
            assert ports == {"http": 8080}
        for service in of_kind(rendered(name), "Service").values():
            assert service["spec"]["ports"][0]["targetPort"] in ("http", "redis")

    def test_a_rolling_restart_takes_nobody_away_before_another_is_ready(self, name: str) -> None:
        for deployment in of_kind(rendered(name), "Deployment").values():
            assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}

    def test_routes_lead_to_services_and_streams_to_those_of_streams(self, name: str) -> None:
        manifests = rendered(name)
        for route in of_kind(manifests, "HTTPRoute").values():
            stream, everything = route["spec"]["rules"]
            assert stream["matches"] == [{"path": {"type": "Exact", "value": "/sdk/v1/stream"}}]
            assert stream["timeouts"] == {"request": "0s"} and everything["timeouts"] == {"request": "75s"}
            for rule, role in ((stream, "streams"), (everything, "api")):
                (backend,) = rule["backendRefs"]
                assert backend["name"].endswith(f"-{role}")
                service = of_kind(manifests, "Service")[backend["name"]]
                assert backend["port"] == service["spec"]["ports"][0]["port"]
        assert (name == "small") != bool(of_kind(manifests, "HTTPRoute"))

    def test_autoscalers_scale_what_is_there_and_nobody_else_says_how_many(self, name: str) -> None:
        manifests = rendered(name)
        scalers = of_kind(manifests, "HorizontalPodAutoscaler").values()
        deployments = of_kind(manifests, "Deployment")
        assert len(scalers) == (0 if name == "small" else 2)
        for scaler in scalers:
            assert "replicas" not in deployments[scaler["spec"]["scaleTargetRef"]["name"]]["spec"]
            assert scaler["spec"]["minReplicas"] >= 2


class TestSmall:
    def test_its_redis_has_the_configuration_of_compose(self) -> None:
        def settings(path: Path) -> set[str]:
            lines = path.read_text().splitlines()
            return {line for line in lines if line and not line.startswith(("#", "include"))}

        ours = DEPLOY / "kubernetes" / "overlays" / "small" / "redis.conf"
        assert settings(ours) == settings(DEPLOY / "compose" / "redis.conf")
        redis = pods(overlay("small"))["redis"]["spec"]["containers"][0]
        compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]["redis"]
        assert redis["image"] == compose["image"]

    def test_only_the_service_reaches_it(self) -> None:
        policy = of_kind(overlay("small"), "NetworkPolicy")["redis"]
        (rule,) = policy["spec"]["ingress"]
        (source,) = rule["from"]
        labels = [pod["metadata"]["labels"] for pod in servers(overlay("small")).values()]
        assert all(matches(source["podSelector"], each) for each in labels)
        assert not matches(source["podSelector"], {"app.kubernetes.io/name": "shop"})


class TestChart:
    def test_it_makes_the_same_pods_as_the_overlay_for_production(self) -> None:
        kustomized, charted = deepcopy(servers(overlay("production"))), deepcopy(servers(chart("--set", EVERYTHING)))
        for role in ROLES:
            ours, theirs = kustomized[role]["spec"], charted[role]["spec"]
            theirs["containers"][0].pop("imagePullPolicy")
            for spec in (ours, theirs):
                spec["containers"][0].pop("envFrom")
                spec.pop("serviceAccountName")
                spec["topologySpreadConstraints"][0].pop("labelSelector")
            assert ours == theirs

    def test_two_releases_do_not_meet(self) -> None:
        one, other = chart(release="flags"), chart(release="downhaul-staging")
        names = [{(each["kind"], each["metadata"]["name"]) for each in each_of} for each_of in (one, other)]
        assert names[0].isdisjoint(names[1])
        labels = servers(other)["api"]["metadata"]["labels"]
        assert not any(matches(each["spec"]["selector"], labels) for each in of_kind(one, "Service").values())

    def test_other_settings_are_other_pods(self) -> None:
        def sums(manifests: tuple[Manifest, ...]) -> set[str]:
            return {pod["metadata"]["annotations"]["checksum/settings"] for pod in servers(manifests).values()}

        assert sums(chart()).isdisjoint(sums(chart("--set-string", "settings.DOWNHAUL_WORKERS=4")))

    def test_a_name_of_any_length_is_one_that_kubernetes_takes(self) -> None:
        for manifest in chart("--set", EVERYTHING, release="a" * 53):
            assert len(manifest["metadata"]["name"]) <= 63, manifest["metadata"]["name"]

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("settings.DOWNHAUL_ADMIN_TOKEN=secret", "DOWNHAUL_ADMIN_TOKEN"),
            ("settings.DOWNHAUL_BIND=0.0.0.0:80", "DOWNHAUL_BIND"),
            ("api.replicas=0", "/api/replicas"),
            ("image.digest=latest", "/image/digest"),
            ("replicaCount=3", "replicaCount"),
            ("existingSecret=", "/existingSecret"),
        ],
    )
    def test_a_wrong_value_is_refused_and_named(self, value: str, said: str) -> None:
        done = helm(
            "template", "flags", DEPLOY / "helm" / "downhaul", "--set-string" if "=0" not in value else "--set", value
        )
        assert done.returncode != 0 and said in done.stderr

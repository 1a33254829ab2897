"""What docs/deploying.md and docs/watching.md say about kubectl and helm, typed as it stands into the real programs.

What they talk to is a stand-in of the API server (`support.kubernetes_api`). What it then holds is run here, as a node
of a cluster would: each pod is a process of this machine, with the settings, files and ports that its manifest gives.
"""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
import yaml
from support.guides import ROOT, blocks
from support.kubernetes_api import Cluster
from support.kubernetes_node import Node
from support.kubernetes_objects import GATEWAY, selected
from support.redis import free_port
from support.tools import tool
from support.typed import Terminal, environment
from support.waiting import wait_until

GUIDE = "docs/deploying.md"
MARK = "tried by tests/deploy/test_kubernetes_guide.py"
KUBECTL, PAGES, HELM, LATER = (block.text for block in blocks(GUIDE, "sh") if block.mark == MARK)
CHART = yaml.safe_load((ROOT / "deploy/helm/downhaul/Chart.yaml").read_text())

pytestmark = [pytest.mark.redis, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The oldest Kubernetes that we promise to run on."""
    oldest = re.fullmatch(r">=(\d+\.\d+)\.0-0", CHART["kubeVersion"])
    assert oldest and f"Kubernetes {oldest[1]} or newer" in (ROOT / GUIDE).read_text()
    with Cluster(oldest[1], GATEWAY) as cluster:
        yield cluster


def terminal(cluster: Cluster, folder: Path) -> Terminal:
    """One in which kubectl and helm find the cluster, empty as it is, and deploy/ is there."""
    for program in ("kubectl", "helm"):
        tool(program, "make kubernetes")
    cluster.clear()
    (folder / "deploy").symlink_to(ROOT / "deploy")
    ours = environment(HOME=str(folder), KUBECONFIG=str(cluster.configuration(folder / "config")))
    # Whoever runs this may have a real cluster, of which their settings speak.
    return Terminal(folder, {name: value for name, value in ours.items() if not name.startswith("HELM_")})


class Small:
    """The overlay `small`, as the guide has it installed, and its pods."""

    def __init__(self, cluster: Cluster, folder: Path, stack: ExitStack) -> None:
        self.cluster = cluster
        self.terminal = stack.enter_context(terminal(cluster, folder))
        self.said = self.terminal.type(KUBECTL)
        self.node = stack.enter_context(Node(cluster, "downhaul", folder / "node"))
        self.node.run()

    @property
    def token(self) -> str:
        return base64.b64decode(self.cluster.objects("Secret")["downhaul"]["data"]["admin-token"]).decode()


@pytest.fixture(scope="module")
def small(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    with ExitStack() as stack:
        yield Small(cluster, tmp_path_factory.mktemp("small"), stack)


class TestKubectl:
    def test_it_makes_everything_without_a_warning_and_the_pods_start(self, small: Small) -> None:
        assert "Warning" not in small.said and "configured" not in small.said
        assert set(small.node.servers) == {"downhaul-api-0", "downhaul-streams-0"}

    def test_what_the_guide_made_is_what_pods_read(self, small: Small) -> None:
        """A key that nobody reads would be a typing error of the guide's."""
        assert set(small.cluster.objects("Secret")["downhaul"]["data"]) == _read(small.cluster)

    def test_each_service_has_pods_that_listen_where_it_sends_to(self, small: Small) -> None:
        pods = small.cluster.objects("Pod").values()
        for name, service in small.cluster.objects("Service").items():
            chosen = ",".join(f"{key}={value}" for key, value in service["spec"]["selector"].items())
            behind = [pod for pod in pods if selected(pod["metadata"]["labels"], chosen)]
            assert behind, name
            for pod in behind:
                (port,) = service["spec"]["ports"]
                assert port["targetPort"] in {each["name"] for each in pod["spec"]["containers"][0]["ports"]}

    def test_processes_in_the_cluster_are_told_of_a_service_that_is_there(self, small: Small) -> None:
        (told,) = set(re.findall(r"DOWNHAUL_URL=http://(\w+)\.(\w+):(\d+)", (ROOT / GUIDE).read_text()))
        assert told == ("downhaul", "downhaul", str(_port(small.cluster, "downhaul")))

    def test_to_apply_it_once_more_changes_nothing(self, small: Small) -> None:
        before = _revisions(small.cluster)
        again = [line for line in KUBECTL.splitlines() if line.startswith("kubectl apply")]
        assert again
        small.terminal.type("\n".join(again))
        assert _revisions(small.cluster) == before

    def test_the_pages_are_at_the_port_and_the_token_opens_them(self, small: Small) -> None:
        port, forwarded = free_port(), small.terminal.folder / "forwarded"
        forwarded.touch()
        (forward,) = (line for line in PAGES.splitlines() if "port-forward" in line)
        assert forward.endswith(" 8080"), "the port of this machine, which others may have, is replaced"
        here = PAGES.replace(forward, f"{forward.removesuffix('8080')}{port}:8080 >forwarded 2>&1 & forwarding=$!")
        token = small.terminal.type(here).strip()
        assert token == small.token and token.startswith("dh_admin_")
        wait_until(lambda: "Forwarding from" in forwarded.read_text(), "kubectl forwards")
        pages = requests.Session()
        assert "Log in" in pages.get(f"http://localhost:{port}/", timeout=20).text
        status = pages.get(
            f"http://localhost:{port}/api/v1/status", headers={"Authorization": f"Bearer {token}"}, timeout=20
        )
        assert status.status_code == 200, status.text
        small.terminal.type("kill $forwarding")

    def test_its_logs_are_searched_for_what_went_wrong_however_much_has_come_since(self, small: Small) -> None:
        (of_one, of_all) = (each for each in blocks("docs/watching.md", "sh") if each.mark.startswith(MARK))
        api = small.node.servers["downhaul-api-0"]
        small.node.pause_redis()
        try:
            refused = api.call("POST", "/api/v1/services", {"key": "shop"})
            assert refused.status_code == 503
        finally:
            small.node.resume_redis()
        for _ in range(12):
            api.call("GET", "/api/v1/nowhere")
        wait_until(lambda: refused.headers["X-Request-Id"] in api.output, "it is in the log")
        failed = small.terminal.type(of_all.text).splitlines()
        assert all(re.match(r"\[pod/downhaul-(api|streams)-0/server\] \{", line) for line in failed)
        (line,) = (line for line in failed if '"path": "/api/v1/services"' in line)

        (small.terminal.folder / "journal").write_text(api.output)
        small.terminal.type('sudo() { "$@"; }; journalctl() { cat journal; }')
        by_id = of_one.text.replace("0f3a...", refused.headers["X-Request-Id"])
        assert set(small.terminal.type(by_id).splitlines()) == {line.partition(" ")[2]}

    def test_the_ingress_of_the_guide_leads_to_services_that_are_there(self, small: Small) -> None:
        (ingress,) = (block for block in blocks(GUIDE, "yaml") if "kind: Ingress" in block.text)
        (small.terminal.folder / "ingress.yaml").write_text(ingress.text)
        small.terminal.type("kubectl apply -f ingress.yaml")
        services = small.cluster.objects("Service", "downhaul")
        for each in small.cluster.objects("Ingress", "downhaul").values():
            for path in each["spec"]["rules"][0]["http"]["paths"]:
                to = path["backend"]["service"]
                assert to["port"]["name"] in {port["name"] for port in services[to["name"]]["spec"]["ports"]}


class TestProduction:
    def test_it_is_made_with_the_secret_of_the_guide_and_a_route(self, cluster: Cluster, tmp_path: Path) -> None:
        with terminal(cluster, tmp_path) as typed:
            secret = KUBECTL.replace(' \\\n  --from-literal=redis-password.conf="requirepass $password"', "")
            typed.type(secret.replace("overlays/small", "overlays/production"))
        assert set(cluster.objects("Secret")["downhaul"]["data"]) == _read(cluster) == {"admin-token", "redis-url"}
        assert (
            set(cluster.objects("HTTPRoute")) == {"downhaul"} and len(cluster.objects("HorizontalPodAutoscaler")) == 2
        )

    def test_a_new_version_changes_the_pods_of_ours_and_nothing_else(self, cluster: Cluster, tmp_path: Path) -> None:
        with terminal(cluster, tmp_path) as typed:
            typed.type(KUBECTL)
            before = _revisions(cluster)
            (tmp_path / "deploy").unlink()
            shutil.copytree(ROOT / "deploy/kubernetes", tmp_path / "deploy/kubernetes")
            overlay = tmp_path / "deploy/kubernetes/overlays/small/kustomization.yaml"
            overlay.write_text(overlay.read_text().replace("newTag: 0.1.0", "newTag: 0.2.0"))
            typed.type(KUBECTL.splitlines()[-1])
        changed = {key for key, revision in _revisions(cluster).items() if before.get(key) != revision}
        assert changed == {("Deployment", "downhaul-api"), ("Deployment", "downhaul-streams")}
        for each in cluster.objects("Deployment").values():
            (container,) = each["spec"]["template"]["spec"]["containers"]
            assert container["image"] == "registry.example.com/downhaul:0.2.0" and container["livenessProbe"]


class TestHelm:
    def test_it_installs_what_it_prints_changes_its_image_and_goes(self, cluster: Cluster, tmp_path: Path) -> None:
        with terminal(cluster, tmp_path) as typed:
            said = typed.type(HELM)
            assert "STATUS: deployed" in said
            install = HELM[HELM.index("helm install") :]
            printed = yaml.safe_load_all(typed.type(install.replace("install", "template")))
            for each in filter(None, printed):
                live = cluster.objects(each["kind"], "downhaul")[each["metadata"]["name"]]
                assert each["metadata"]["labels"] == live["metadata"]["labels"]
                assert {**each, "metadata": {}} == {**live, "metadata": {}}
            assert set(cluster.objects("Secret", "downhaul")["downhaul"]["data"]) == _read(cluster)
            (service,) = re.findall(r"port-forward service/(\S+)", said)
            assert service in cluster.objects("Service", "downhaul")
            assert f"http://downhaul.downhaul:{_port(cluster, 'downhaul')}" in said

            upgrade, uninstall = LATER.splitlines()
            typed.type(upgrade)
            images = {
                each["spec"]["template"]["spec"]["containers"][0]["image"]
                for each in cluster.objects("Deployment").values()
            }
            assert images == {"registry.example.com/downhaul:0.2.0"} and cluster.objects("HTTPRoute")
            typed.type(uninstall)
        left = {kind for kind, _ in _revisions(cluster)}
        assert left == {"Namespace", "Secret"} and set(cluster.objects("Secret")) == {"downhaul"}


def test_a_rollout_finds_the_token_that_its_head_has_made(cluster: Cluster, tmp_path: Path) -> None:
    rollout = (ROOT / "deploy/argo-rollouts/rollout.yaml").read_text()
    (command,) = re.findall(r"^#   (kubectl .+)", rollout, re.MULTILINE)
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data/pipeline.token").write_text("dh_api_1")
    with terminal(cluster, tmp_path) as typed:
        typed.type(f"kubectl create namespace shop\n{command}")
    (argument,) = (each for each in next(yaml.safe_load_all(rollout))["spec"]["args"] if each["name"] == "token")
    wanted = argument["valueFrom"]["secretKeyRef"]
    assert wanted["key"] in cluster.objects("Secret", "shop")[wanted["name"]]["data"]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """At a cluster without anything, and without the definitions of the Gateway API."""
    with Cluster("1.30") as cluster, terminal(cluster, tmp_path_factory.mktemp("bare")) as typed:
        yield typed


class TestWhatTheStandInRefuses:
    """As a cluster would: else a guide that is wrong would pass."""

    @pytest.mark.parametrize(
        ("command", "said"),
        [
            ("kubectl create namespace default", 'namespaces "default" already exists'),
            ("kubectl -n nowhere create secret generic a --from-literal=b=c", 'namespaces "nowhere" not found'),
            ("kubectl get secret downhaul", 'secrets "downhaul" not found'),
            ("kubectl apply -f route.yaml", "could not find the requested resource"),
            ("sed 's/selector:/selectors:/' service.yaml | kubectl apply -f -", "selectors"),
            ("sed 's/port: 80/port: many/' service.yaml | kubectl apply -f -", "many"),
            ("kubectl delete service a", 'services "a" not found'),
        ],
    )
    def test_what_is_wrong(self, bare: Terminal, command: str, said: str) -> None:
        (bare.folder / "route.yaml").write_text(
            "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: a}}"
        )
        service = (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  selector: {a: b}\n  ports:\n  - port: 80\n"
        )
        (bare.folder / "service.yaml").write_text(service)
        assert said in bare.type(f"if {command}; then false; fi")


def _read(cluster: Cluster) -> set[str]:
    """The keys of the secret that pods read: by a setting, or by name."""
    settings = (each.get("data", {}) for each in cluster.objects("ConfigMap", "downhaul").values())
    by_setting = {
        Path(value).name for each in settings for value in each.values() if value.startswith("/run/secrets/downhaul/")
    }
    return by_setting | {
        item["key"]
        for workload in cluster.objects("StatefulSet").values()
        for volume in workload["spec"]["template"]["spec"]["volumes"]
        for item in volume.get("secret", {}).get("items", ())
    }


def _port(cluster: Cluster, service: str) -> int:
    (found,) = cluster.objects("Service", "downhaul")[service]["spec"]["ports"]
    port: int = found["port"]
    return port


def _revisions(cluster: Cluster) -> dict[tuple[str, str], str]:
    kinds = {each.kind for each in cluster.resources}
    return {
        (kind, name): each["metadata"]["resourceVersion"]
        for kind in kinds
        for name, each in cluster.objects(kind).items()
    }

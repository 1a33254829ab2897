"""What the stand-in of Kubernetes' API knows about objects: their kinds, their schemas, and how a patch changes one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import kubernetes_validate
import yaml

Object = dict[str, Any]
APPLY, STRATEGIC, MERGE = (
    "application/apply-patch+yaml",
    "application/strategic-merge-patch+json",
    "application/merge-patch+json",
)
MERGE_KEYS = ("name", "containerPort", "port", "mountPath", "topologyKey", "ip", "uid")
"""By which a strategic patch finds the element of a list that it is about: the first that all elements have."""


class ApiError(Exception):
    """A refusal, in the API's own words."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"} | {
            "message": message, "reason": reason, "code": code,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind, and what it is called in a path."""

    api: str
    kind: str
    plural: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    installed: bool = field(default=False, compare=False)
    """By a custom resource definition: its schema is not Kubernetes'."""

    @property
    def group(self) -> str:
        return self.api.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api.rpartition("/")[2]

    @property
    def gvk(self) -> dict[str, str]:
        return {"group": self.group, "version": self.version, "kind": self.kind}


RESOURCES = (
    Resource("v1", "Namespace", "namespaces", namespaced=False, short=("ns",)),
    Resource("v1", "ConfigMap", "configmaps", short=("cm",)),
    Resource("v1", "Pod", "pods", short=("po",)),
    Resource("v1", "Secret", "secrets"),
    Resource("v1", "Service", "services", short=("svc",)),
    Resource("v1", "ServiceAccount", "serviceaccounts", short=("sa",)),
    Resource("apps/v1", "Deployment", "deployments", short=("deploy",)),
    Resource("apps/v1", "StatefulSet", "statefulsets", short=("sts",)),
    Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", short=("hpa",)),
    Resource("networking.k8s.io/v1", "Ingress", "ingresses", short=("ing",)),
    Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", short=("netpol",)),
    Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", short=("pdb",)),
)
GATEWAY = Resource("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes", installed=True)


def demand_valid(resource: Resource, found: Object, version: str) -> None:
    """Raises ApiError where the schema of this version of Kubernetes does not let it pass, or has no such field."""
    if (found.get("apiVersion"), found.get("kind")) != (resource.api, resource.kind):
        raise ApiError(400, "BadRequest", f"{found.get('apiVersion')} {found.get('kind')} is no {resource.kind}")
    if resource.installed:
        return
    try:
        kubernetes_validate.validate(found, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        place = ".".join(map(str, error.absolute_path))
        message = f'{resource.kind} "{found["metadata"].get("name")}" is invalid: {place}: {error.message}'
        raise ApiError(422, "Invalid", message) from None


def patched(live: Object, patch: bytes, how: str, before: Object | None) -> Object:
    """What it is after a patch of this type. `before`: what its manager has applied the last time, for APPLY."""
    changes = yaml.safe_load(patch) if how == APPLY else json.loads(patch)
    if how == APPLY:
        live = _merged(live, _without(before or {}, changes), keyed=False)
    elif how not in (STRATEGIC, MERGE):
        raise ApiError(415, "UnsupportedMediaType", f"this stand-in does not know patches of type {how}")
    found: Object = _merged(live, changes, keyed=how == STRATEGIC)
    return found


def _without(before: Object, after: Object) -> Object:
    """A merge patch that takes away what was there before and is not any more."""
    gone: Object = dict.fromkeys(before.keys() - after.keys())
    for name in before.keys() & after.keys():
        if isinstance(before[name], dict) and isinstance(after[name], dict):
            gone[name] = _without(before[name], after[name])
    return gone


def _merged(live: Any, changes: Any, *, keyed: bool) -> Any:
    if isinstance(changes, list) and keyed and isinstance(live, list):
        return _merged_lists(live, changes)
    if not isinstance(changes, dict):
        return deepcopy(changes)
    found = dict(live) if isinstance(live, dict) else {}
    for name, value in changes.items():
        if value is None:
            found.pop(name, None)
        elif not name.startswith("$"):
            found[name] = _merged(found.get(name), value, keyed=keyed)
    return found


def _merged_lists(live: list[Any], changes: list[Any]) -> list[Any]:
    key = _key_of([*live, *changes])
    if key is None:
        return deepcopy(changes)
    found = {each[key]: each for each in live}
    for each in changes:
        if each.get("$patch") == "delete":
            found.pop(each[key], None)
        else:
            found[each[key]] = _merged(found.get(each[key]), each, keyed=True)
    return list(found.values())


def _key_of(elements: list[Any]) -> str | None:
    keys = (key for key in MERGE_KEYS if all(isinstance(each, dict) and key in each for each in elements))
    return next(keys, None)


def selected(labels: Mapping[str, str], selector: str) -> bool:
    """Whether these labels fit `a=b,c in (d,e)`, as in a query."""
    for term in filter(None, _terms(selector)):
        name, _, values = term.partition(" in ")
        if values:
            if labels.get(name.strip()) not in values.strip(" ()").split(","):
                return False
        else:
            name, _, value = term.replace("==", "=").partition("=")
            if labels.get(name) != value:
                return False
    return True


def _terms(selector: str) -> Iterator[str]:
    depth, term = 0, ""
    for letter in selector:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            yield term
            term = ""
        else:
            term += letter
    yield term

"""How the stand-in of Kubernetes' API tells its clients what there is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from support.kubernetes_objects import Object, Resource

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
VERBS = ("create", "delete", "get", "list", "patch", "update")
VALIDATED = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]


def groups(resources: Sequence[Resource], *, core: bool) -> Object:
    """The groups at /apis, or the one without a name at /api, with their resources (aggregated discovery)."""
    items = []
    for api, found in groupby(resources, lambda each: each.api):
        if ("/" not in api) == core:
            of_api = list(found)
            version = {"version": of_api[0].version, "freshness": "Current", "resources": list(map(_resource, of_api))}
            items.append({"metadata": {"name": of_api[0].group}, "versions": [version]})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _resource(each: Resource) -> Object:
    return {
        "resource": each.plural,
        "responseKind": each.gvk,
        "scope": "Namespaced" if each.namespaced else "Cluster",
        "singularResource": each.kind.lower(),
        "verbs": list(VERBS),
        "shortNames": list(each.short),
    }


def openapi(resources: Sequence[Resource], path: str) -> Object:
    """What stands at /openapi/v3/PATH. It tells kubectl one thing: that objects are validated here, not by itself."""
    places = {("apis/" if each.group else "api/") + each.api: each.api for each in resources}
    if not path:
        return {"paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}?hash=1"} for place in places}}
    operations = {
        f"/{path}/{each.plural}": {
            "patch": {"parameters": VALIDATED, "x-kubernetes-group-version-kind": each.gvk, "responses": {}}
        }
        for each in resources
        if each.api == places.get(path)
    }
    return {"openapi": "3.0.0", "info": {"title": "a stand-in", "version": "1"}, "paths": operations}

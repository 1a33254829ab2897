"""A stand-in for the API server of Kubernetes: enough of it for the real kubectl and helm, and no cluster behind it.

It keeps objects in memory, holds them to the schemas of one version of Kubernetes, and refuses what the real one does
at its door: what is there already, what is not there, a namespace or a kind that nobody has made. Nothing else happens:
nothing is filled in, nothing is admitted by a policy, managers of fields do not meet, and nobody makes pods of a
Deployment (`support.kubernetes_node` does). A list is patched as whole where it is applied by the server.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from support import kubernetes_protobuf
from support.kubernetes_discovery import DISCOVERY, groups, openapi
from support.kubernetes_objects import APPLY, RESOURCES, ApiError, Object, Resource, demand_valid, patched, selected
from support.kubernetes_streams import Forwarding
from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler, make_server

PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>v\w+)(?:/namespaces/(?P<namespace>[^/]+)(?=/\w))?"
    r"/(?P<plural>\w+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>\w+))?"
)
Key = tuple[Resource, str, str]
"""A kind, a namespace ("" for what has none), a name."""


class Cluster:
    """Use it with `with`. `version` is Kubernetes', such as 1.30; `installed` are kinds that it has by definitions."""

    def __init__(self, version: str, *installed: Resource) -> None:
        self.version = version
        self.resources = (*RESOURCES, *installed)
        self.logs: dict[str, Callable[[], str]] = {}
        """What each pod has printed, by its name."""
        self.ports: dict[str, dict[int, int]] = {}
        """Where the ports of a pod are on this machine, by the pod's name."""
        self._lock = threading.RLock()
        self.clear()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def clear(self) -> None:
        """As it is before anybody has made something."""
        self._objects: dict[Key, Object] = {}
        self._applied: dict[tuple[Key, str], Object] = {}
        self._revisions = count(1)
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})

    def configuration(self, path: Path) -> Path:
        """Write what kubectl and helm find it by (KUBECONFIG)."""
        context = {"cluster": "stand-in", "user": "stand-in"}
        path.write_text(
            yaml.safe_dump({
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "stand-in", "cluster": {"server": f"http://127.0.0.1:{self._server.port}"}}],
                "users": [{"name": "stand-in", "user": {"token": "anybody"}}],
                "contexts": [{"name": "stand-in", "context": context}],
                "current-context": "stand-in",
            })
        )  # fmt: skip
        return path

    def objects(self, kind: str, namespace: str = "") -> dict[str, Object]:
        """All of a kind, by name; those of one namespace where one is named."""
        with self._lock:
            found = self._objects.items()
            return {name: each for (of, where, name), each in found if of.kind == kind and namespace in ("", where)}

    def create(self, new: Object) -> Object:
        """Raises ApiError, as the API would refuse it."""
        resource = next(each for each in self.resources if (each.api, each.kind) == (new["apiVersion"], new["kind"]))
        return self._create(resource, new["metadata"].get("namespace", ""), new)

    def __enter__(self) -> Cluster:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start: Any) -> Any:
        match = PATH.fullmatch(environ["PATH_INFO"])
        if match and match["sub"] == "portforward" and environ.get("HTTP_UPGRADE") == "SPDY/3.1":
            Forwarding(environ["werkzeug.socket"], self.ports.get(match["name"], {})).run()
            raise ConnectionAbortedError("kubectl has gone: there is nobody to answer")
        try:
            answer = self._routed(Request(environ))
        except ApiError as error:
            answer = _json(error.status, error.code)
        return answer(environ, start)

    def _routed(self, request: Request) -> Response:
        if request.path == "/version":
            major, minor = self.version.split(".")
            return _json({"major": major, "minor": minor, "gitVersion": f"v{self.version}.0"})
        if request.path in ("/api", "/apis"):
            return _json(groups(self.resources, core=request.path == "/api"), mimetype=DISCOVERY)
        if request.path.startswith("/openapi/v3"):
            return _json(openapi(self.resources, request.path.removeprefix("/openapi/v3").strip("/")))
        match = PATH.fullmatch(request.path)
        if match is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        group, namespace, name = match["group"], match["namespace"] or "", match["name"] or ""
        api = f"{group}/{match['version']}" if group else match["version"]
        resource = next((each for each in self.resources if (each.api, each.plural) == (api, match["plural"])), None)
        if resource is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        with self._lock:
            if match["sub"] == "log":
                return self._log((resource, namespace, name), request.args.get("tailLines"))
            return self._verbs(request, resource, namespace, name)

    def _verbs(self, request: Request, resource: Resource, namespace: str, name: str) -> Response:
        if request.method == "GET" and not name:
            return _json(self._list(resource, namespace, request.args))
        if request.method == "POST" and not name:
            return _json(self._create(resource, namespace, _body(request)), 201)
        key = (resource, namespace, name)
        if request.method == "PATCH":
            found, created = self._patch(key, request)
            return _json(found, 201 if created else 200)
        live = self._live(key)
        if request.method == "GET":
            return _json(live)
        if request.method == "PUT":
            return _json(self._keep(key, _body(request), live))
        if request.method == "DELETE":
            inside = name if resource.kind == "Namespace" else None
            for gone in [each for each in self._objects if each == key or each[1] == inside]:
                del self._objects[gone]
            return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
        raise ApiError(405, "MethodNotAllowed", f"{request.method} is nothing that this stand-in does")

    def _list(self, resource: Resource, namespace: str, query: Mapping[str, str]) -> Object:
        chosen, name = query.get("labelSelector", ""), query.get("fieldSelector", "").partition("metadata.name=")[2]
        items = [
            each
            for (of, where, called), each in self._objects.items()
            if of == resource and namespace in ("", where) and name in ("", called)
            if selected(each["metadata"].get("labels", {}), chosen)
        ]
        return {"kind": f"{resource.kind}List", "apiVersion": resource.api, "metadata": {"resourceVersion": "1"}} | {
            "items": items
        }

    def _live(self, key: Key) -> Object:
        resource, _, name = key
        if key not in self._objects:
            group = f".{resource.group}" if resource.group else ""
            raise ApiError(404, "NotFound", f'{resource.plural}{group} "{name}" not found')
        return self._objects[key]

    def _create(self, resource: Resource, namespace: str, new: Object) -> Object:
        key = (resource, namespace, new["metadata"]["name"])
        if key in self._objects:
            raise ApiError(409, "AlreadyExists", f'{resource.plural} "{key[2]}" already exists')
        return self._keep(key, new)

    def _patch(self, key: Key, request: Request) -> tuple[Object, bool]:
        how, manager = request.mimetype, (key, request.args.get("fieldManager", ""))
        exists = key in self._objects
        live = self._objects[key] if exists or how != APPLY else {}
        changed = patched(self._live(key) if how != APPLY else live, request.data, how, self._applied.get(manager))
        found = self._keep(key, changed, live if exists else None)
        if how == APPLY:
            self._applied[manager] = yaml.safe_load(request.data)
        return found, not exists

    def _keep(self, key: Key, new: Object, live: Object | None = None) -> Object:
        resource, namespace, name = key
        if resource.namespaced and namespace not in self.objects("Namespace"):
            raise ApiError(404, "NotFound", f'namespaces "{namespace}" not found')
        given = {**new["metadata"], "name": name, **({"namespace": namespace} if namespace else {})}
        demand_valid(resource, {**new, "metadata": given}, self.version)
        if live and {**new, "metadata": given} == live:
            return live
        first = {"uid": str(uuid.uuid4()), "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        kept = {name: live["metadata"][name] for name in first} if live else first
        self._objects[key] = {**new, "metadata": {**given, **kept, "resourceVersion": str(next(self._revisions))}}
        return self._objects[key]

    def _log(self, key: Key, tail: str | None) -> Response:
        name = self._live(key)["metadata"]["name"]
        lines = self.logs[name]().splitlines(keepends=True) if name in self.logs else []
        return Response("".join(lines[-int(tail) :] if tail else lines), mimetype="text/plain")


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Nothing."""


def _body(request: Request) -> Object:
    if request.mimetype == "application/vnd.kubernetes.protobuf":
        try:
            return kubernetes_protobuf.decoded(request.data)
        except ValueError as error:
            raise ApiError(415, "UnsupportedMediaType", str(error)) from None
    found: Object = json.loads(request.data)
    return found


def _json(content: Object, code: int = 200, mimetype: str = "application/json") -> Response:
    return Response(json.dumps(content), code, content_type=mimetype)

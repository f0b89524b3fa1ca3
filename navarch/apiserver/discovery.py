"""Discovery: which groups, versions and resources there are, in the legacy and the aggregated form."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import orjson

from navarch.api.kind import Kind
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.apiserver.request import APIRequest
from navarch.component.httpserver import Response

AGGREGATED = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
AGGREGATED_BETA = "g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
# (subresource, parent kind) -> (group, version, kind, verbs) of what it speaks, where that isn't the parent itself.
_SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "binding": ("", "v1", "Binding", ("create",)),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "log": ("", "v1", "Pod", ("get",)),
    "exec": ("", "v1", "PodExecOptions", ("create", "get")),
    "attach": ("", "v1", "PodAttachOptions", ("create", "get")),
    "portforward": ("", "v1", "PodPortForwardOptions", ("create", "get")),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    "finalize": ("", "v1", "Namespace", ("update",)),
}
_PROXY_VERBS = ("create", "delete", "get", "patch", "update")
_PROXY_KINDS = {"pods": "PodProxyOptions", "services": "ServiceProxyOptions", "nodes": "NodeProxyOptions"}


class Discovery:
    """Answers under /api and /apis that name no resource. Rebuilt when kinds come and go."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = tuple(kinds)
        self._aggregated: dict[tuple[str, str], tuple[bytes, str]] = {}

    def answer(self, request: APIRequest) -> Response | None:
        """The response for a discovery path, None for any other."""
        parts = request.info.path.strip("/").split("/")
        accept = request.headers.get("accept", "").replace(" ", "")
        match parts:
            case ["api"] | ["apis"]:
                for marker, version in ((AGGREGATED, "v2"), (AGGREGATED_BETA, "v2beta1")):
                    if marker in accept:
                        return self._aggregated_response(request, parts[0], version, marker)
                return _json(self._versions() if parts[0] == "api" else self._groups())
            case ["api", version]:
                return self._resources("", version)
            case ["apis", group]:
                found = [item for item in self._group_list() if item["name"] == group]
                if not found:
                    raise errors.no_such_path()
                return _json({"kind": "APIGroup", "apiVersion": "v1", **found[0]})
            case ["apis", group, version]:
                return self._resources(group, version)
        return None

    def _versions(self) -> Object:
        return {
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
        }

    def _groups(self) -> Object:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": self._group_list()}

    def _group_list(self) -> list[Object]:
        versions: dict[str, list[str]] = {}
        for kind in self._kinds:
            if kind.group and kind.version not in versions.setdefault(kind.group, []):
                versions[kind.group].append(kind.version)
        result = []
        for group, found in versions.items():
            shown = [{"groupVersion": f"{group}/{version}", "version": version} for version in found]
            result.append({"name": group, "versions": shown, "preferredVersion": shown[0]})
        return result

    def _resources(self, group: str, version: str) -> Response:
        kinds = [kind for kind in self._kinds if (kind.group, kind.version) == (group, version)]
        if not kinds:
            raise errors.no_such_path()
        resources = []
        for kind in sorted(kinds, key=lambda kind: kind.plural):
            resources.append(_resource(kind))
            resources += [_subresource(kind, name) for name in sorted(kind.subresources)]
        group_version = f"{group}/{version}" if group else version
        return _json({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})

    def _aggregated_response(self, request: APIRequest, root: str, version: str, marker: str) -> Response:
        found = self._aggregated.get((root, version))
        if found is None:
            body = orjson.dumps(self._aggregated_list(root, version))
            found = self._aggregated[(root, version)] = (body, hashlib.sha256(body).hexdigest().upper())
        body, etag = found
        headers = [("Content-Type", f"application/json;{marker}"), ("ETag", f'"{etag}"'), ("Vary", "Accept")]
        headers.append(("Cache-Control", "public"))
        if request.headers.get("if-none-match", "").strip('"') == etag:
            return Response(304, headers)
        return Response(200, headers, body)

    def _aggregated_list(self, root: str, version: str) -> Object:
        groups: dict[str, dict[str, list[Kind]]] = {}
        for kind in self._kinds:
            if bool(kind.group) == (root == "apis"):
                groups.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
        items = []
        for group, versions in groups.items():
            shown = [
                {
                    "version": name,
                    "resources": [_aggregated(kind) for kind in sorted(kinds, key=lambda kind: kind.plural)],
                    "freshness": "Current",
                }
                for name, kinds in versions.items()
            ]
            metadata = {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None}
            items.append({"metadata": metadata, "versions": shown})
        api = f"apidiscovery.k8s.io/{version}"
        return {"kind": "APIGroupDiscoveryList", "apiVersion": api, "metadata": {}, "items": items}


def _resource(kind: Kind) -> Object:
    result: Object = {
        "name": kind.plural,
        "singularName": kind.singular or kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        result["shortNames"] = list(kind.short_names)
    if kind.categories:
        result["categories"] = list(kind.categories)
    if "list" in kind.verbs:
        result["storageVersionHash"] = hashlib.sha256(f"{kind.api_version}/{kind.kind}".encode()).hexdigest()[:12]
    return result


def _speaks(kind: Kind, name: str) -> tuple[str, str, str, tuple[str, ...]]:
    if name == "proxy":
        return "", "v1", _PROXY_KINDS[kind.plural], _PROXY_VERBS
    if name == "scale" and not kind.group:
        return _SUBRESOURCES[name]
    return _SUBRESOURCES.get(name) or (kind.group, kind.version, kind.kind, ("get", "patch", "update"))


def _subresource(kind: Kind, name: str) -> Object:
    group, version, spoken, verbs = _speaks(kind, name)
    result: Object = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": spoken,
        "verbs": list(verbs),
    }
    if (group, version) != (kind.group, kind.version):
        result |= {"group": group, "version": version}
    return result


def _aggregated(kind: Kind) -> Object:
    result: Object = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular or kind.kind.lower(),
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        result["shortNames"] = list(kind.short_names)
    if kind.categories:
        result["categories"] = list(kind.categories)
    subresources = []
    for name in sorted(kind.subresources):
        group, version, spoken, verbs = _speaks(kind, name)
        response = {"group": group, "version": version, "kind": spoken}
        subresources.append({"subresource": name, "responseKind": response, "verbs": list(verbs)})
    if subresources:
        result["subresources"] = subresources
    return result


def _json(value: Object) -> Response:
    return Response(200, (("Content-Type", "application/json"), ("Cache-Control", "no-cache, private")), orjson.dumps(value))

"""What kinds are served: /api, /apis and what is below them, one document by one or aggregated (apidiscovery.k8s.io/v2).

Groups come in the order of their priority, which decides what an unqualified ``kubectl get events`` means; versions come in
Kubernetes' order (v2, v1, v1beta1). The aggregated form of version v2beta1 is not spoken any more, as since Kubernetes 1.35.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable

import orjson

from navarch.api.kind import Kind
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.apiserver.negotiation import JSON, YAML
from navarch.apiserver.request import APIRequest
from navarch.apiserver.spoken import speaks
from navarch.component.httpserver import Response

OFFERED = (JSON, YAML)
AGGREGATED = {"g": "apidiscovery.k8s.io", "v": "v2", "as": "APIGroupDiscoveryList"}
# GroupPriorityMinimum of kube-apiserver's own APIServices; equal ones are ordered by name.
_PRIORITIES = {
    "apiregistration.k8s.io": 20000,
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "admissionregistration.k8s.io": 16700,
    "apiextensions.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "resource.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "internal.apiserver.k8s.io": 16000,
    "storagemigration.k8s.io": 15800,
}
_CUSTOM_PRIORITY = 1000
_VERSION = re.compile(r"v([0-9]+)(?:(alpha|beta)([0-9]+))?\Z", re.ASCII)
_STABILITY = {"alpha": 0, "beta": 1, None: 2}


class Discovery:
    """Answers under /api and /apis that name no resource. Made anew when kinds come and go."""

    def __init__(self, kinds: Iterable[Kind], external_address: Callable[[], str]) -> None:
        """`external_address` is where clients reach this server, ``host:port``."""
        self._groups = _grouped(kinds)
        self._external_address = external_address
        self._aggregated: dict[tuple[str, str], tuple[bytes, str]] = {}

    @property
    def paths(self) -> list[str]:
        """Everything that is answered here."""
        found = ["/api", "/apis", "/apis/", *(f"/apis/{group}" for group in self._groups if group)]
        for group, versions in self._groups.items():
            found += [f"/apis/{group}/{version}" if group else f"/api/{version}" for version in versions]
        return found

    def answer(self, request: APIRequest) -> Response | None:
        """The response for a discovery path, None for any other. Raises 404 for an unknown version of a known group."""
        parts = request.info.path.strip("/").split("/")
        accept = request.headers.get("accept", "")
        match parts:
            case ["api" | "apis" as root]:
                media_type, aggregated = _negotiate(accept, may_aggregate=True)
                if aggregated:
                    return self._aggregated_response(request, root, media_type)
                return _response(self._versions() if root == "api" else self._group_list(), media_type)
            case ["api", version]:
                return self._resources("", version, accept)
            case ["apis", group] if group in self._groups:
                found = {"kind": "APIGroup", "apiVersion": "v1", **_group(group, self._groups[group])}
                return _response(found, _negotiate(accept)[0])
            case ["apis", group, version] if group in self._groups:
                return self._resources(group, version, accept)
        return None

    def knows(self, group: str) -> bool:
        """Whether anything of this group is served. The core group always is."""
        return not group or group in self._groups

    def _versions(self) -> Object:
        address = {"clientCIDR": "0.0.0.0/0", "serverAddress": self._external_address()}
        return {"kind": "APIVersions", "versions": list(self._groups.get("", ())), "serverAddressByClientCIDRs": [address]}

    def _group_list(self) -> Object:
        groups = [_group(name, versions) for name, versions in self._groups.items() if name]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _resources(self, group: str, version: str, accept: str) -> Response:
        kinds = self._groups.get(group, {}).get(version)
        if kinds is None:
            raise errors.no_such_path()
        resources = [entry for kind in kinds for entry in (_resource(kind), *_subresources(kind))]
        # The first version of the API had no apiVersion here, and it stays so.
        head: Object = {"kind": "APIResourceList", "apiVersion": "v1"} if group else {"kind": "APIResourceList"}
        group_version = f"{group}/{version}" if group else version
        return _response({**head, "groupVersion": group_version, "resources": resources}, _negotiate(accept)[0])

    def _aggregated_response(self, request: APIRequest, root: str, media_type: str) -> Response:
        found = self._aggregated.get((root, media_type))
        if found is None:
            document = self._aggregated_list(root)
            etag = hashlib.sha512(orjson.dumps(document)).hexdigest().upper()
            found = self._aggregated[(root, media_type)] = (_encoded(document, media_type), f'"{etag}"')
        body, etag = found
        headers = [("ETag", etag), ("Vary", "Accept"), ("Cache-Control", "public")]
        if request.headers.get("if-none-match") == etag:
            return Response(304, headers)
        parameters = ";".join(f"{name}={value}" for name, value in AGGREGATED.items())
        return Response(200, [("Content-Type", f"{media_type};{parameters}"), *headers], body)

    def _aggregated_list(self, root: str) -> Object:
        items = []
        for group, versions in self._groups.items():
            if bool(group) == (root == "apis"):
                shown = [
                    {"version": version, "resources": [_aggregated(kind) for kind in kinds], "freshness": "Current"}
                    for version, kinds in versions.items()
                ]
                items.append({"metadata": {"name": group} if group else {}, "versions": shown})
        api_version = f"{AGGREGATED['g']}/{AGGREGATED['v']}"
        return {"kind": AGGREGATED["as"], "apiVersion": api_version, "metadata": {}, "items": items}


def _grouped(kinds: Iterable[Kind]) -> dict[str, dict[str, list[Kind]]]:
    """Group -> version -> kinds, each in the order in which they are listed."""
    groups: dict[str, dict[str, list[Kind]]] = {}
    for kind in sorted(kinds, key=lambda kind: kind.plural):
        groups.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
    ordered = sorted(groups, key=lambda group: (-_PRIORITIES.get(group, _CUSTOM_PRIORITY), group))
    return {group: dict(sorted(groups[group].items(), key=lambda item: version_key(item[0]))) for group in ordered}


def version_key(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: v2, v1, v1beta2, v1beta1, v1alpha1, then all others by their letters."""
    found = _VERSION.match(version)
    if found is None:
        return 1, 0, 0, version
    major, stability, minor = found.groups()
    return -_STABILITY[stability], -int(major), -int(minor or 0), ""


def _negotiate(accept: str, *, may_aggregate: bool = False) -> tuple[str, bool]:
    """The first acceptable media type of an Accept header, and whether the aggregated form is meant. Raises 406."""
    if not accept:
        return JSON, False
    for media_range, parameters in _ranges(accept):
        offered = next((type_ for type_ in OFFERED if media_range in (type_, "application/*", "*/*")), None)
        asked = {name: parameters.get(name, "") for name in AGGREGATED}
        aggregated = may_aggregate and asked == AGGREGATED
        if offered is None or parameters.get("sv") or parameters.get("stream", "") not in ("", "watch"):
            continue
        if aggregated or not any(name in parameters for name in AGGREGATED):
            return offered, aggregated
    raise errors.not_acceptable(OFFERED)


def _ranges(accept: str) -> list[tuple[str, dict[str, str]]]:
    """The media ranges of an Accept header with their parameters: best first, as sent where they are alike."""
    found = []
    for clause in accept.split(","):
        media_range, *rest = (piece.strip() for piece in clause.split(";"))
        parameters = {name.strip(): value.strip().strip('"') for name, _, value in (piece.partition("=") for piece in rest)}
        found.append((media_range, parameters))
    return sorted(found, key=lambda found: (-_quality(found[1].get("q", "1")), found[0].count("*")))


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def _group(name: str, versions: Iterable[str]) -> Object:
    shown = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": shown, "preferredVersion": shown[0]}


def _resource(kind: Kind) -> Object:
    result: Object = {
        "name": kind.plural,
        "singularName": kind.singular or kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": sorted(kind.verbs),
        **_names(kind),
    }
    if "watch" in kind.verbs:
        result["storageVersionHash"] = _storage_version_hash(kind.stored)
    return result


def _storage_version_hash(kind: Kind) -> str:
    """Changes when objects are stored in another version."""
    digest = hashlib.sha256(f"{kind.group}/{kind.version}/{kind.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _names(kind: Kind) -> Object:
    names: Object = {}
    if kind.short_names:
        names["shortNames"] = list(kind.short_names)
    if kind.categories:
        names["categories"] = list(kind.categories)
    return names


def _subresources(kind: Kind) -> list[Object]:
    found = []
    for name in sorted(kind.subresources):
        spoken = speaks(kind, name)
        entry: Object = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
        if (spoken.group, spoken.version) != (kind.group, kind.version):
            entry |= {"group": spoken.group, "version": spoken.version}
        found.append({**entry, "kind": spoken.kind, "verbs": list(spoken.verbs)})
    return found


def _aggregated(kind: Kind) -> Object:
    result: Object = {
        "resource": kind.plural,
        "responseKind": _response_kind(kind, kind.group, kind.version, kind.kind),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular or kind.kind.lower(),
        "verbs": sorted(kind.verbs),
        **_names(kind),
    }
    subresources = []
    for name in sorted(kind.subresources):
        spoken = speaks(kind, name)
        response_kind = _response_kind(kind, spoken.group, spoken.version, spoken.kind)
        subresources.append({"subresource": name, "responseKind": response_kind, "verbs": list(spoken.verbs)})
    if subresources:
        result["subresources"] = subresources
    return result


def _response_kind(parent: Kind, group: str, version: str, kind: str) -> Object:
    """Group and version are only written where they are not those of the list they stand in."""
    if (group, version) == (parent.group, parent.version):
        group = version = ""
    return {"group": group, "version": version, "kind": kind}


def _response(value: Object, media_type: str) -> Response:
    headers = (("Content-Type", media_type), ("Cache-Control", "no-cache, private"))
    return Response(200, headers, _encoded(value, media_type))


def _encoded(value: Object, media_type: str) -> bytes:
    if media_type != YAML:
        return orjson.dumps(value)
    from navarch.apimachinery import yamlcodec

    return yamlcodec.dump(value)

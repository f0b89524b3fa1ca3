"""What kinds are served: /api, /apis and what is below them, one document by one or aggregated (apidiscovery.k8s.io/v2).

Groups come in the order of their priority, which decides what an unqualified ``kubectl get events`` means; versions come in
Kubernetes' order (v2, v1, v1beta1). The aggregated form of version v2beta1 is not spoken any more, as since Kubernetes 1.35.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from navarch.api.apiregistration import priorities
from navarch.api.kind import Kind
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.apiserver import respond
from navarch.apiserver.negotiation import JSON, OFFERED, PROTOBUF, YAML, Representation, clauses, wants_pretty
from navarch.apiserver.request import APIRequest
from navarch.apiserver.spoken import speaks
from navarch.component.httpserver import Response

AGGREGATED = {"g": "apidiscovery.k8s.io", "v": "v2", "as": "APIGroupDiscoveryList"}
# Its types are in no published OpenAPI, from which protobuf messages are written.
_AGGREGATED_FORMS = (JSON, YAML)
# GroupPriorityMinimum of kube-apiserver's own APIServices; equal ones are ordered by name.
_VERSION = re.compile(r"v([0-9]+)(?:(alpha|beta)([0-9]+))?\Z", re.ASCII)
CUSTOM_VERSION_PRIORITY = 100
_STABILITY = {"alpha": 0, "beta": 1, None: 2}


@dataclass(frozen=True, slots=True)
class RemoteVersion:
    """A group version that another server answers for."""

    group: str
    version: str
    group_priority: int
    version_priority: int
    document: Object
    """Its APIVersionDiscovery."""


class Discovery:
    """Answers under /api and /apis that name no resource. Made anew when kinds come and go."""

    def __init__(
        self, kinds: Iterable[Kind], external_address: Callable[[], str], remote: Iterable[RemoteVersion] = ()
    ) -> None:
        """`external_address` is where clients reach this server, ``host:port``; `remote`: what others serve."""
        self._groups = _grouped(kinds, {(each.group, each.version): each for each in remote})
        self._external_address = external_address
        self._aggregated: dict[tuple[str, Representation], tuple[bytes, str]] = {}

    @property
    def paths(self) -> list[str]:
        """Everything that is answered here."""
        found = ["/api", "/apis", "/apis/", *(f"/apis/{group}" for group in self._groups if group)]
        for group, versions in self._groups.items():
            found += [f"/apis/{group}/{version}" if group else f"/api/{version}" for version in versions]
        return found

    def answer(self, request: APIRequest) -> Response | None:
        """The response for a discovery path, None for any other. Raises 404 for an unknown version of a known group."""
        match request.info.path.strip("/").split("/"):
            case ["api" | "apis" as root]:
                representation, aggregated = _negotiate(request, may_aggregate=True)
                if aggregated:
                    return self._aggregated_response(request, root, representation)
                return _response(self._versions() if root == "api" else self._group_list(), representation)
            case ["api", version]:
                return self._resources("", version, request)
            case ["apis", group] if group in self._groups:
                found = {"kind": "APIGroup", "apiVersion": "v1", **_group(group, self._groups[group])}
                return _response(found, _negotiate(request)[0])
            case ["apis", group, version] if group in self._groups:
                return self._resources(group, version, request)
        return None

    def knows(self, group: str) -> bool:
        """Whether anything of this group is served. The core group always is."""
        return not group or group in self._groups

    def _versions(self) -> Object:
        address = {"clientCIDR": "0.0.0.0/0", "serverAddress": self._external_address()}
        versions = list(self._groups.get("", ()))
        return {"kind": "APIVersions", "apiVersion": "v1", "versions": versions, "serverAddressByClientCIDRs": [address]}

    def _group_list(self) -> Object:
        groups = [_group(name, versions) for name, versions in self._groups.items() if name]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _resources(self, group: str, version: str, request: APIRequest) -> Response:
        kinds = self._groups.get(group, {}).get(version)
        if kinds is None or isinstance(kinds, RemoteVersion):
            raise errors.no_such_path()
        resources = [entry for kind in kinds for entry in (_resource(kind), *_subresources(kind))]
        group_version = f"{group}/{version}" if group else version
        found = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}
        return _response(found, _negotiate(request)[0], is_core=not group)

    def _aggregated_response(self, request: APIRequest, root: str, representation: Representation) -> Response:
        found = self._aggregated.get((root, representation))
        if found is None:
            document = self._aggregated_list(root)
            etag = hashlib.sha512(orjson.dumps(document)).hexdigest().upper()
            found = self._aggregated[(root, representation)] = (respond.encoded(document, representation), f'"{etag}"')
        body, etag = found
        headers = [("ETag", etag), ("Vary", "Accept"), ("Cache-Control", "public")]
        if request.headers.get("if-none-match") == etag:
            return Response(304, headers)
        parameters = ";".join(f"{name}={value}" for name, value in AGGREGATED.items())
        return Response(200, [("Content-Type", f"{representation.media_type};{parameters}"), *headers], body)

    def _aggregated_list(self, root: str) -> Object:
        items = []
        for group, versions in self._groups.items():
            if bool(group) == (root == "apis"):
                shown = [
                    kinds.document
                    if isinstance(kinds, RemoteVersion)
                    else {"version": version, "resources": [_aggregated(kind) for kind in kinds], "freshness": "Current"}
                    for version, kinds in versions.items()
                ]
                items.append({"metadata": {"name": group} if group else {}, "versions": shown})
        api_version = f"{AGGREGATED['g']}/{AGGREGATED['v']}"
        return {"kind": AGGREGATED["as"], "apiVersion": api_version, "metadata": {}, "items": items}


Groups = dict[str, dict[str, "list[Kind] | RemoteVersion"]]


def _grouped(kinds: Iterable[Kind], remote: Mapping[tuple[str, str], RemoteVersion]) -> Groups:
    """Group -> version -> kinds, each in the order in which they are listed."""
    groups: Groups = {}
    for kind in sorted(kinds, key=lambda kind: kind.plural):
        if (kind.group, kind.version) not in remote:
            found = groups.setdefault(kind.group, {}).setdefault(kind.version, [])
            assert isinstance(found, list)
            found.append(kind)
    for (group, version), each in remote.items():
        groups.setdefault(group, {})[version] = each

    def order(group: str) -> tuple[int, str]:
        highest = max((each.group_priority for each in remote.values() if each.group == group), default=0)
        served_here = any(isinstance(versions, list) for versions in groups[group].values())
        own = priorities.GROUPS.get(group, priorities.CUSTOM_GROUP) if served_here else 0
        return -max(highest, own), group

    def place(group: str, version: str) -> tuple[Any, ...]:
        if not any(isinstance(each, RemoteVersion) for each in groups[group].values()):
            return version_key(version)
        each = groups[group][version]
        custom = group not in priorities.GROUPS
        own = CUSTOM_VERSION_PRIORITY if custom else priorities.of_version(group, version)
        return -(each.version_priority if isinstance(each, RemoteVersion) else own), *version_key(version)

    return {
        group: {version: groups[group][version] for version in sorted(groups[group], key=lambda version: place(group, version))}
        for group in sorted(groups, key=order)
    }


def version_key(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: v2, v1, v1beta2, v1beta1, v1alpha1, then all others by their letters."""
    found = _VERSION.match(version)
    if found is None:
        return 1, 0, 0, version
    major, stability, minor = found.groups()
    return -_STABILITY[stability], -int(major), -int(minor or 0), ""


def _negotiate(request: APIRequest, *, may_aggregate: bool = False) -> tuple[Representation, bool]:
    """The form that is asked for, and whether the aggregated one is meant. Raises 406."""
    accept, user_agent = request.headers.get("accept", ""), request.headers.get("user-agent", "")
    for media, parameters in clauses(accept or JSON):
        asked = {name: parameters.get(name, "") for name in AGGREGATED}
        aggregated = may_aggregate and asked == AGGREGATED
        offered = _AGGREGATED_FORMS if aggregated else OFFERED
        found = JSON if media in ("*/*", "application/*") else media
        if found not in offered or parameters.get("stream", "") not in ("", "watch"):
            continue
        if aggregated or not any(asked.values()):
            return Representation(found, pretty=wants_pretty(request.query, user_agent)), aggregated
    raise errors.not_acceptable(OFFERED)


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


def _response(value: Object, representation: Representation, *, is_core: bool = False) -> Response:
    """`is_core`: of the core group, whose documents had no apiVersion in Kubernetes 1.1 and have none today."""
    if representation.media_type != PROTOBUF and (is_core or value["kind"] == "APIVersions"):
        value = {field: item for field, item in value.items() if field != "apiVersion"}
    headers = (("Content-Type", representation.media_type), ("Cache-Control", "no-cache, private"))
    return Response(200, headers, respond.encoded(value, representation))

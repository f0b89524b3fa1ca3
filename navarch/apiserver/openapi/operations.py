"""Which operations there are, of the kinds that are served and beside them. Pure: v2 and v3 only write them down.

Paths, identifiers, tags and descriptions are those of kube-apiserver, since client libraries name their functions by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.api.protobuf import encoder
from navarch.apiserver import openid, patching
from navarch.apiserver.body import CUSTOM_OBJECT_TYPES
from navarch.apiserver.negotiation import JSON, OFFERED, PROTOBUF, STREAMED
from navarch.apiserver.openapi import parameters
from navarch.apiserver.openapi.parameters import NAMESPACE, Parameter
from navarch.apiserver.spoken import PROXY, Spoken, speaks

STRING = "string"
"""Stands where the name of a definition may stand, for what is no object."""
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
STATUS = META + "Status"
PATCH = META + "Patch"
DELETE_OPTIONS = META + "DeleteOptions"
WATCH_EVENT = META + "WatchEvent"
VERSION_INFO = "io.k8s.apimachinery.pkg.version.Info"
INFO = {"title": "Kubernetes", "version": "v1.36.0"}
SECURITY = {
    "BearerToken": {"description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header"}
}
ANY = ("*/*",)
PHRASES = {200: "OK", 201: "Created", 202: "Accepted", 401: "Unauthorized"}
# Its deletion answers with the Namespace, yet kube-apiserver and the clients made from its documents say Status.
_NAMESPACES = "namespaces"
_OPENID_CONFIGURATION = "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'"
_OPENID_KEYS = "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)"
_DEPRECATED = "deprecated: use the 'watch' parameter with a list operation instead"
_SINGLE = "filtered to a single item with the 'fieldSelector' parameter"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    path: str
    method: str
    """In lower case, as a document has it."""
    id: str
    tag: str
    description: str
    parameters: tuple[Parameter, ...] = ()
    """In order of their names."""
    body: str = ""
    """The definition of what is sent; "" is nothing."""
    responses: tuple[tuple[int, str], ...] = ()
    """Successes: code and definition."""
    consumes: tuple[str, ...] = ANY
    produces: tuple[str, ...] = OFFERED
    action: str = ""
    """``x-kubernetes-action``; "" for what belongs to no kind."""
    group_version_kind: tuple[str, str, str] = ("", "", "")

    @property
    def body_required(self) -> bool:
        return self.body != DELETE_OPTIONS


@dataclass(frozen=True, slots=True)
class PathItem:
    """The operations of one path, and the parameters that all of them take."""

    path: str
    parameters: tuple[Parameter, ...]
    operations: tuple[Operation, ...]
    """With all their parameters."""

    def own(self, operation: Operation) -> tuple[Parameter, ...]:
        """The parameters of one operation that not all take."""
        return tuple(parameter for parameter in operation.parameters if parameter not in self.parameters)


def documents(kinds: Iterable[Kind]) -> dict[str, list[PathItem]]:
    """The paths of each document of OpenAPI v3, by the document's name: the path of a group version, a group, …"""
    roots: dict[str, list[Kind]] = {}
    groups: list[str] = []
    for kind in kinds:
        roots.setdefault(kind.api_path.lstrip("/"), []).append(kind)
        if kind.group and kind.group not in groups:
            groups.append(kind.group)
    found: dict[str, list[Operation]] = {name: [operation] for name, operation in _of_the_server()}
    found |= {f"apis/{group}": [_group(group)] for group in groups}
    for root, served in roots.items():
        found[root] = [_resources(served[0]), *(operation for kind in served for operation in of_kind(kind))]
    return {root: path_items(found[root]) for root in sorted(found)}


def path_items(operations: Iterable[Operation]) -> list[PathItem]:
    """The operations by path, in order of paths and methods."""
    by_path: dict[str, list[Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, []).append(operation)
    items = []
    for path, found in sorted(by_path.items()):
        first, *rest = found
        shared = tuple(p for p in first.parameters if all(p in other.parameters for other in rest))
        items.append(PathItem(path, shared, tuple(sorted(found, key=lambda operation: operation.method))))
    return items


# What belongs to no kind


def _of_the_server() -> Iterator[tuple[str, Operation]]:
    """(document, operation)."""
    yield "api", _discovery("/api/", "getCoreAPIVersions", "core", "get available API versions", "APIVersions")
    yield "apis", _discovery("/apis/", "getAPIVersions", "apis", "get available API versions", "APIGroupList")
    version = Operation("/version/", "get", "getCodeVersion", "version", "get the version information for this server")
    forms = (JSON,)
    yield "version", replace(version, responses=((200, VERSION_INFO),), consumes=forms, produces=forms)
    for path, name, label, what, media_type in (
        (openid.CONFIGURATION_PATH, "Configuration", "WellKnown", _OPENID_CONFIGURATION, JSON),
        (openid.KEYS_PATH, "Keyset", "openid", _OPENID_KEYS, openid.KEYS_MEDIA_TYPE),
    ):
        named = f"getServiceAccountIssuerOpenID{name}"
        asked = Operation(path, "get", named, label, what, responses=((200, STRING),), consumes=(), produces=(media_type,))
        yield path.rpartition("/")[0].lstrip("/"), asked


def _group(group: str) -> Operation:
    name = operation_id("get", group, "", "APIGroup")
    return _discovery(f"/apis/{group}/", name, tag(group), "get information of a group", "APIGroup")


def _resources(kind: Kind) -> Operation:
    """The list of resources of a kind's group version."""
    name = operation_id("get", kind.group, kind.version, "APIResources")
    return _discovery(f"{kind.api_path}/", name, tag(kind.group, kind.version), "get available resources", "APIResourceList")


def _discovery(path: str, name: str, tag: str, description: str, definition: str) -> Operation:
    responses = ((200, META + definition),)
    return Operation(path, "get", name, tag, description, responses=responses, consumes=OFFERED)


# What belongs to a kind

# Action -> (method, how the identifier begins).
_ACTIONS = {
    "list": ("get", "list"),
    "post": ("post", "create"),
    "deletecollection": ("delete", "delete"),
    "get": ("get", "read"),
    "put": ("put", "replace"),
    "patch": ("patch", "patch"),
    "delete": ("delete", "delete"),
    "watch": ("get", "watch"),
    "watchlist": ("get", "watch"),
    "connect": ("", "connect"),
}


def of_kind(kind: Kind) -> Iterator[Operation]:
    """Every operation of a kind."""
    yield from _of_collection(kind)
    yield from _of_object(kind)
    for subresource in kind.subresources:
        spoken = speaks(kind, subresource)
        if spoken.methods:
            yield from _connections(kind, subresource, spoken)
        else:
            yield from _of_subresource(kind, subresource, spoken)
    if "watch" in kind.verbs and not kind.is_custom:
        yield from _watches(kind)


def _of_collection(kind: Kind) -> Iterator[Operation]:
    path, named, definition = _collection_path(kind), f"{_scope(kind)}{kind.kind}", schemas.definition_name(kind)
    if "list" in kind.verbs:
        description = f"list{' or watch' if 'watch' in kind.verbs else ''} objects of kind {kind.kind}"
        places = [(path, named)]
        if kind.namespaced:
            places.append((f"{kind.api_path}/{kind.plural}", f"{kind.kind}ForAllNamespaces"))
        for place, name in places:
            listed = _operation(kind, place, "list", name, description, parameters.LIST, {200: f"{definition}List"})
            yield replace(listed, produces=_streamed(kind))
    if "create" in kind.verbs:
        description = f"create{_article(kind.kind)}{kind.kind}"
        created = dict.fromkeys((200, 201, 202), definition)
        yield _operation(kind, path, "post", named, description, parameters.WRITE, created, body=definition)
    if "deletecollection" in kind.verbs:
        action, name, description = "deletecollection", f"Collection{named}", f"delete collection of {kind.kind}"
        taken = parameters.DELETE_COLLECTION
        yield _operation(kind, path, action, name, description, taken, {200: STATUS}, body=DELETE_OPTIONS)


def _of_object(kind: Kind) -> Iterator[Operation]:
    path, name = f"{_collection_path(kind)}/{{name}}", f"{_scope(kind)}{kind.kind}"
    spoken = Spoken(kind.group, kind.version, kind.kind, tuple(verb for verb in kind.verbs if verb != "create"))
    yield from _reads_and_writes(kind, path, name, f"the specified {kind.kind}", spoken)
    if "delete" in kind.verbs:
        returned = kind.returns_deleted and kind.resource != _NAMESPACES
        deleted = schemas.definition_name(kind) if returned else STATUS
        taken, description = (*parameters.DELETE, parameters.named(kind.kind)), f"delete{_article(kind.kind)}{kind.kind}"
        responses = {200: deleted, 202: deleted}
        yield _operation(kind, path, "delete", name, description, taken, responses, body=DELETE_OPTIONS)


def _of_subresource(kind: Kind, subresource: str, spoken: Spoken) -> Iterator[Operation]:
    """Of a subresource that is an object, or text."""
    path = f"{_collection_path(kind)}/{{name}}/{subresource}"
    name = f"{_scope(kind)}{kind.kind}{_capitalized(subresource)}"
    if subresource != "log":
        yield from _reads_and_writes(kind, path, name, f"{subresource} of the specified {kind.kind}", spoken)
        return
    description, taken = f"read log of the specified {kind.kind}", (*parameters.LOG, parameters.named(kind.kind))
    read = _operation(kind, path, "get", name, description, taken, {200: STRING})
    yield replace(read, produces=("text/plain", *read.produces))


def _reads_and_writes(kind: Kind, path: str, name: str, what: str, spoken: Spoken) -> Iterator[Operation]:
    """GET, PUT, PATCH and POST of one object."""
    own = (spoken.group, spoken.version, spoken.kind) == (kind.group, kind.version, kind.kind)
    definition = schemas.definition_name(kind) if own else schemas.name_of(spoken.group, spoken.version, spoken.kind)
    created = f"create {path.rpartition('/')[2]} of{_article(kind.kind)}{kind.kind}"
    for verb, action, description, options, body, codes in (
        ("get", "get", f"read {what}", (parameters.PRETTY,), "", (200,)),
        ("update", "put", f"replace {what}", parameters.WRITE, definition, (200, 201)),
        ("patch", "patch", f"partially update {what}", parameters.PATCH, PATCH, (200, 201)),
        ("create", "post", created, parameters.WRITE, definition, (200, 201, 202)),
    ):
        if verb in spoken.verbs:
            taken = (*options, parameters.named(spoken.kind))
            responses = dict.fromkeys(codes, definition)
            yield _operation(kind, path, action, name, description, taken, responses, body=body, spoken=spoken)


def _connections(kind: Kind, subresource: str, spoken: Spoken) -> Iterator[Operation]:
    """Of a subresource that is a connection to something else."""
    path = f"{_collection_path(kind)}/{{name}}/{subresource}"
    taken = (*parameters.CONNECT[subresource], parameters.named(spoken.kind))
    places: list[tuple[str, str, tuple[Parameter, ...]]] = [(path, "", taken)]
    if subresource == PROXY:
        places.append((f"{path}/{{path}}", "WithPath", (*taken, parameters.PROXIED_PATH)))
    for place, suffix, options in places:
        for method in spoken.methods:
            name = f"{method.capitalize()}{_scope(kind)}{kind.kind}{_capitalized(subresource)}{suffix}"
            description = f"connect {method} requests to {subresource} of {kind.kind}"
            connected = _operation(kind, place, "connect", name, description, options, {200: STRING}, spoken=spoken)
            yield replace(connected, method=method.lower(), produces=ANY)


def _watches(kind: Kind) -> Iterator[Operation]:
    """The deprecated paths that watch without saying so in the query."""
    watched = f"{kind.api_path}/watch{_collection_path(kind).removeprefix(kind.api_path)}"
    several = f"watch individual changes to a list of {kind.kind}. {_DEPRECATED}."
    single = f"watch changes to an object of kind {kind.kind}. {_DEPRECATED}, {_SINGLE}."
    name = f"{_scope(kind)}{kind.kind}"
    places = [(watched, "watchlist", f"{name}List", several), (f"{watched}/{{name}}", "watch", name, single)]
    if kind.namespaced:
        places.append((f"{kind.api_path}/watch/{kind.plural}", "watchlist", f"{kind.kind}ListForAllNamespaces", several))
    for path, action, named, description in places:
        taken = (*parameters.LIST, parameters.named(kind.kind)) if action == "watch" else parameters.LIST
        watch = _operation(kind, path, action, named, description, taken, {200: WATCH_EVENT})
        yield replace(watch, produces=_streamed(kind))


def _operation(
    kind: Kind,
    path: str,
    action: str,
    name: str,
    description: str,
    taken: Sequence[Parameter],
    responses: Mapping[int, str],
    *,
    body: str = "",
    spoken: Spoken | None = None,
) -> Operation:
    """`name` is what the identifier says after verb, group and version; `spoken` what is spoken if not the kind itself."""
    method, begins = _ACTIONS[action]
    if "{namespace}" in path:
        taken = (*taken, NAMESPACE)
    spoken = spoken or Spoken(kind.group, kind.version, kind.kind, ())
    return Operation(
        path=path,
        method=method,
        id=operation_id(begins, kind.group, kind.version, name),
        tag=tag(kind.group, kind.version),
        description=description,
        parameters=tuple(sorted(taken, key=lambda parameter: (parameter.name, parameter.where))),
        body=body,
        responses=tuple(responses.items()),
        consumes=patching.media_types(kind) if body == PATCH else CUSTOM_OBJECT_TYPES if kind.is_custom else ANY,
        produces=_forms(kind),
        action=action,
        group_version_kind=(spoken.group, spoken.version, spoken.kind),
    )


def _forms(kind: Kind) -> tuple[str, ...]:
    """The media types in which objects of a kind are answered."""
    return OFFERED if encoder.is_encodable(kind) else tuple(form for form in OFFERED if form != PROTOBUF)


def _streamed(kind: Kind) -> tuple[str, ...]:
    """Those in which its lists are, or its changes one by one."""
    forms = _forms(kind)
    if kind.is_custom:
        return forms
    return (*forms, *(f"{form};stream=watch" for form in STREAMED if form in forms))


# Spelling


def operation_id(spelled: str, group: str, version: str, name: str) -> str:
    """``listAppsV1NamespacedDeployment``: the group stands between the verb and the rest."""
    return f"{spelled}{_capitalized(_joined(group))}{_capitalized(version)}{name}"


def tag(group: str, version: str = "") -> str:
    """``rbacAuthorization_v1``."""
    return f"{_joined(group)}_{version}" if version else _joined(group)


def _joined(group: str) -> str:
    first, *rest = (group.removesuffix(".k8s.io") or "core").replace("-", ".").split(".")
    return first + "".join(map(_capitalized, rest))


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _article(noun: str) -> str:
    """ " a ", " an ", or " " before what is a plural already."""
    if noun.endswith("s") and not noun.endswith("ss"):
        return " "
    return " an " if noun[0] in "AEIOU" else " a "


def _scope(kind: Kind) -> str:
    return "Namespaced" if kind.namespaced else ""


def _collection_path(kind: Kind) -> str:
    return f"{kind.api_path}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{kind.api_path}/{kind.plural}"

"""scale: the number of replicas of anything that has one, as an autoscaling/v1 Scale.

Who manages the replicas of a workload manages those of its Scale, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache, partial
from typing import Any

from navarch.api import printing, schemas
from navarch.api.kind import AGE, NAME, Column, Kind, ScalePaths
from navarch.apimachinery import errors, meta, patch, selectors
from navarch.apimachinery.apply import fields, managers, structure
from navarch.apimachinery.apply.managers import Claim, Claims, OneVersion, Versions
from navarch.apimachinery.errors import Object
from navarch.apiserver import applying, body, fieldmanagement, options, patching, preconditions
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.resources import Resources, check_name, check_namespace

API_VERSION = "autoscaling/v1"
SCALE = "io.k8s.api.autoscaling.v1.Scale"
REPLICAS = ("f:spec", "f:replicas")
"""Where a Scale has the number."""
BUILT_IN = ScalePaths(("spec", "replicas"), ("status", "replicas"))


def _row(scale: Object, now: datetime) -> list[Any]:
    metadata = scale["metadata"]
    return [metadata["name"], scale["spec"]["replicas"], scale["status"]["replicas"], printing.age(scale, now)]


_SHOWN_AS = Kind(
    group="autoscaling",
    version="v1",
    kind="Scale",
    plural="scales",
    columns=(NAME, Column("Desired", "integer"), Column("Available", "integer"), AGE),
    row=_row,
)
"""How a Scale is printed; there is no such resource."""


def scale_of(kind: Kind, obj: Object) -> Object:
    """The Scale of an object."""
    return _custom_scale(kind.scale_paths, obj) if kind.scale_paths is not None else _scale(obj)


def _custom_scale(paths: ScalePaths, obj: Object) -> Object:
    replicas = meta.get_path(obj, *paths.spec_replicas)
    if replicas is None:
        raise errors.internal_error(f'the spec replicas field ".{".".join(paths.spec_replicas)}" does not exist')
    shown: Object = {"replicas": meta.get_path(obj, *paths.status_replicas) or 0}
    selector = meta.get_path(obj, *paths.selector) if paths.selector is not None else None
    if selector:
        shown["selector"] = selector
    return _shown(obj["metadata"], replicas, shown)


def _shown(metadata: Object, replicas: int, status: Object) -> Object:
    fields_ = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    kept = {field: metadata[field] for field in fields_ if field in metadata}
    return {"kind": "Scale", "apiVersion": API_VERSION, "metadata": kept, "spec": {"replicas": replicas}, "status": status}


def _scale(obj: Object) -> Object:
    metadata = obj["metadata"]
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    shown: Object = {"replicas": status.get("replicas", 0)}
    selector = spec.get("selector")
    if selector:
        labelled = selector if ("matchLabels" in selector or "matchExpressions" in selector) else {"matchLabels": selector}
        shown["selector"] = str(selectors.from_label_selector(labelled))
    return _shown(metadata, spec.get("replicas", 0), shown)


async def serve(resources: Resources, request: APIRequest, kind: Kind) -> ObjectAnswer:
    if request.info.verb == "get":
        return ObjectAnswer(_SHOWN_AS, object=scale_of(kind, resources.reading.get(request, kind).decoded()))
    if request.info.verb not in ("update", "patch"):
        raise errors.method_not_allowed()
    next_scale, paths = _writing(request, kind), kind.scale_paths or BUILT_IN

    def transform(stored: Object) -> Object:
        current = kind.from_stored(stored)
        entries = current["metadata"].get(fieldmanagement.FIELD) or ()
        owners = managers.decode(entries)
        before = scale_of(kind, current)
        scale, claims = next_scale(before, _claims_of_scale(owners, paths))
        _check(kind, current, scale)
        new = meta.set_path(current, _replicas(scale), *paths.spec_replicas)
        left = _claims_of_workload(owners, claims, kind.api_version, paths)
        return kind.to_stored(fieldmanagement.with_managers(new, managers.encode(left)))

    answer = await resources.change(request, kind, transform, knows_managers=True)
    return ObjectAnswer(_SHOWN_AS, object=scale_of(kind, answer.decoded()))


def _replicas(scale: Object) -> int:
    return int((scale.get("spec") or {}).get("replicas", 0))


def _check(kind: Kind, current: Object, scale: Object) -> None:
    preconditions.check_uid(kind, scale, current)
    wanted, metadata = scale.get("metadata") or {}, current["metadata"]
    if not preconditions.is_any_version(scale) and wanted["resourceVersion"] != metadata["resourceVersion"]:
        raise errors.conflict(kind.group, kind.plural, meta.name(current), errors.MODIFIED)
    replicas = _replicas(scale)
    if replicas < 0:
        problem = errors.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid("autoscaling", "Scale", meta.name(current), [problem])


# What a request makes of a Scale

Next = Callable[[Object, Claims], tuple[Object, Claims]]
"""(Scale, who manages it) -> the next one, and who manages that."""


def _writing(request: APIRequest, kind: Kind) -> Next:
    """Raises 400, 415, 422."""
    type_ = body.media_type(request.content_type)
    patches = request.info.verb == "patch"
    applies = patches and type_ == applying.MEDIA_TYPE
    accepted = patching.media_types(kind)
    if patches and type_ not in accepted:
        raise errors.unsupported_media_type(type_, accepted)
    options.check_writing(request, applies=applies)
    writer, versions = fieldmanagement.writer(request, API_VERSION, "scale"), _versions()
    if applies:
        config = applying.configuration(request)

        def apply(scale: Object, claims: Claims) -> tuple[Object, Claims]:
            new, claims = fieldmanagement.apply(request, claims, scale, config, "Scale", writer, versions)
            return body.as_definition(new, SCALE, request), claims

        return apply
    sent, repeated = patching.parse(request, type_) if patches else (body.decode_definition(request, SCALE), body.Repeated())
    if not patches:
        check_namespace(request.info, sent.get("metadata") or {})
        check_name(request.info, sent.get("metadata") or {})

    def update(scale: Object, claims: Claims) -> tuple[Object, Claims]:
        new = _patched(request, type_, scale, sent, repeated) if patches else sent
        return new, managers.update(claims, scale, new, writer, versions) if claims else {}

    return update


@cache
def _versions() -> Versions:
    return OneVersion(API_VERSION, structure.of(schemas.definitions().get(SCALE)))


def _patched(request: APIRequest, type_: str, scale: Object, changes: Any, repeated: body.Repeated) -> Object:
    try:
        # There are no lists in it: a strategic merge patch is like any other.
        is_json_patch = type_ == patching.JSON_PATCH
        patched = patch.json_patch(scale, changes) if is_json_patch else patch.merge_patch(scale, patching.mapping(changes))
    except patch.PatchError as error:
        raise patching.unapplicable(type_, error) from None
    if not isinstance(patched, dict):
        raise errors.bad_request(patching.NO_OBJECT)
    return body.as_definition(patched, SCALE, request, repeated, partial(patching.undecodable, type_, changes, patched))


# Who manages the number


def _steps(paths: ScalePaths) -> tuple[str, ...]:
    return tuple(f"f:{step}" for step in paths.spec_replicas)


def _claims_of_scale(owners: Claims, paths: ScalePaths) -> Claims:
    """Those managers of a workload who manage its replicas, as managers of the Scale."""
    return {
        manager: Claim(fields.of(REPLICAS), API_VERSION, claim.time)
        for manager, claim in owners.items()
        if fields.contains(claim.fields, _steps(paths))
    }


def _claims_of_workload(owners: Claims, claims: Claims, api_version: str, paths: ScalePaths) -> Claims:
    """The managers of a workload, of whom `claims` are left to manage its Scale."""
    result, number = {}, fields.of(_steps(paths))
    for manager, claim in owners.items():
        if manager not in claims:
            claim = claim._replace(fields=fields.difference(claim.fields, number))
        if claim.fields:
            result[manager] = claim
    for manager, claim in claims.items():
        if manager not in owners and fields.contains(claim.fields, REPLICAS):
            version = api_version if manager.operation == managers.UPDATE else ""
            # As in Kubernetes, nothing says when.
            result[manager._replace(api_version=version)] = Claim(number, api_version)
    return result

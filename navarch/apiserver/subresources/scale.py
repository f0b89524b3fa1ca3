"""scale: the number of replicas of anything that has one, as an autoscaling/v1 Scale."""

from __future__ import annotations

from typing import Any

from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, patch, selectors
from navarch.apimachinery.errors import Object
from navarch.apiserver import body
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.resources import Resources

SCALE = "io.k8s.api.autoscaling.v1.Scale"
# A Scale has no lists: a strategic patch of it is a merge patch.
PATCH_TYPES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")


def scale_of(obj: Object) -> Object:
    """The Scale of a workload."""
    metadata = obj["metadata"]
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    kept = {field: metadata[field] for field in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
    shown: Object = {"replicas": status.get("replicas", 0)}
    selector = spec.get("selector")
    if selector:
        labelled = selector if ("matchLabels" in selector or "matchExpressions" in selector) else {"matchLabels": selector}
        shown["selector"] = str(selectors.from_label_selector(labelled))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": kept,
        "spec": {"replicas": spec.get("replicas", 0)},
        "status": shown,
    }


async def serve(resources: Resources, request: APIRequest, kind: Kind) -> ObjectAnswer:
    if request.info.verb == "get":
        return ObjectAnswer(kind, object=scale_of(resources.reading.get(request, kind).decoded()))
    if request.info.verb not in ("update", "patch"):
        raise errors.method_not_allowed()
    patching = request.info.verb == "patch"
    sent = _changes(request) if patching else body.decode_definition(request, SCALE)

    def transform(current: Object) -> Object:
        scale = _patched(request, scale_of(current), sent) if patching else sent
        wanted, metadata = scale.get("metadata") or {}, current["metadata"]
        if wanted.get("name", metadata["name"]) != metadata["name"]:
            text = f"the name of the object ({wanted['name']}) does not match the name on the URL ({metadata['name']})"
            raise errors.bad_request(text)
        if wanted.get("resourceVersion") and wanted["resourceVersion"] != metadata["resourceVersion"]:
            raise errors.conflict(kind.group, kind.plural, meta.name(current), errors.MODIFIED)
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        if replicas < 0:
            problem = errors.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
            raise errors.invalid("autoscaling", "Scale", meta.name(current), [problem])
        return meta.set_path(current, replicas, "spec", "replicas")

    answer = await resources.change(request, kind, transform)
    return ObjectAnswer(kind, object=scale_of(answer.decoded()))


def _changes(request: APIRequest) -> Any:
    type_ = body.media_type(request.content_type)
    if type_ not in PATCH_TYPES:
        raise errors.unsupported_media_type(type_, PATCH_TYPES)
    return body.parse(request)[0]


def _patched(request: APIRequest, scale: Object, changes: Any) -> Object:
    try:
        if body.media_type(request.content_type) == "application/json-patch+json":
            patched = patch.json_patch(scale, changes)
        elif isinstance(changes, dict):
            patched = patch.merge_patch(scale, changes)
        else:
            raise patch.PatchError("a merge patch must be an object")
    except patch.PatchError as error:
        raise errors.bad_request(str(error)) from None
    return body.as_definition(patched, SCALE)

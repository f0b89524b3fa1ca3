"""scale: the number of replicas of anything that has one, as an autoscaling/v1 Scale."""

from __future__ import annotations

from typing import Any

from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, patch, selectors
from navarch.apimachinery.errors import Object
from navarch.apiserver import body
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.resources import Resources


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
        return ObjectAnswer(kind, object=scale_of(resources.get(request, kind).decoded()))
    if request.info.verb not in ("update", "patch"):
        raise errors.method_not_allowed()
    sent, _ = body.parse(request)
    if not isinstance(sent, dict | list):
        raise errors.bad_request("the body must be a Scale")
    patching = request.info.verb == "patch"

    def transform(current: Object) -> Object:
        scale: Any = scale_of(current)
        if patching:
            scale = _patched(request, scale, sent)
        else:
            scale = sent
        version = (scale.get("metadata") or {}).get("resourceVersion")
        if version and version != current["metadata"]["resourceVersion"]:
            raise errors.conflict(kind.group, kind.plural, meta.name(current), errors.MODIFIED)
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        if isinstance(replicas, bool) or not isinstance(replicas, int):
            raise errors.bad_request(
                'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal string into Go struct field '
                "ScaleSpec.spec.replicas of type int32"
            )
        if replicas < 0:
            problem = errors.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
            raise errors.invalid("autoscaling", "Scale", meta.name(current), [problem])
        return meta.set_path(current, replicas, "spec", "replicas")

    answer = await resources.change(request, kind, transform)
    return ObjectAnswer(kind, object=scale_of(answer.decoded()))


def _patched(request: APIRequest, scale: Object, changes: Any) -> Any:
    try:
        if body.media_type(request.content_type) == "application/json-patch+json":
            return patch.json_patch(scale, changes)
        return patch.merge_patch(scale, changes)
    except patch.PatchError as error:
        raise errors.bad_request(str(error)) from None

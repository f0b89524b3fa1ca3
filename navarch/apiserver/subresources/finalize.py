"""finalize: what holds a namespace that is being deleted is let go."""

from __future__ import annotations

from navarch.api.core import namespace as namespaces
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.apiserver import body, preconditions
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.resources import Resources, check_name


async def serve(resources: Resources, request: APIRequest, kind: Kind) -> ObjectAnswer:
    if request.info.verb != "update":
        raise errors.method_not_allowed()
    sent = body.decode_object(request, kind)
    check_name(request.info, sent["metadata"])
    finalizers = (sent.get("spec") or {}).get("finalizers")
    problems = [
        problem
        for index, finalizer in enumerate(finalizers or ())
        for problem in namespaces.validate_finalizer(finalizer, f"spec.finalizers[{index}]")
    ]
    if problems:
        raise errors.invalid(kind.group, kind.kind, request.info.name, problems)

    def transform(namespace: Object) -> Object:
        preconditions.check_uid(kind, sent, namespace)
        if finalizers:
            return meta.set_path(namespace, finalizers, "spec", "finalizers")
        return meta.without_path(namespace, "spec", "finalizers")

    version = sent["metadata"].get("resourceVersion", "")
    return await resources.change(request, kind, transform, subresource="finalize", version=version)

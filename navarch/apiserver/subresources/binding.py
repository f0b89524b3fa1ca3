"""binding: a scheduler says on which node a pod runs."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace
from typing import Any

from navarch.api.core import pod as pods
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.apiserver import body, preconditions
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.resources import WRITE_ATTEMPTS, Resources, check_namespace
from navarch.component import clock
from navarch.storage.changes import Record
from navarch.storage.mvcc import ConflictError

BINDING = "io.k8s.api.core.v1.Binding"
_PLAIN = frozenset({"apiVersion", "kind", "metadata", "target"})
_PLAIN_METADATA = frozenset({"name", "namespace", "uid"})
_PLAIN_TARGET = frozenset({"kind", "name"})
_TEXT = frozenset({str})
SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def serve(resources: Resources, request: APIRequest, kind: Kind) -> ObjectAnswer:
    if request.info.verb != "create":
        raise errors.method_not_allowed()
    binding = request.decoded if _is_plain(request.decoded) else body.decode_definition(request, BINDING)
    assert binding is not None
    metadata = binding.get("metadata") or {}
    check_namespace(request.info, metadata)
    if metadata.get("name") != request.info.name:
        raise errors.bad_request("name in URL does not match name in Binding object")
    return await _bind(resources, request, kind, binding)


async def serve_collection(resources: Resources, request: APIRequest) -> ObjectAnswer:
    """POST of a Binding among others, which names its pod itself."""
    binding = body.decode_definition(request, BINDING)
    metadata = binding.get("metadata") or {}
    check_namespace(request.info, metadata)
    info = request.info._replace(resource=pods.KIND.plural, name=metadata.get("name", ""), subresource="binding")
    return await _bind(resources, replace(request, info=info), pods.KIND, binding)


async def _bind(resources: Resources, request: APIRequest, kind: Kind, binding: Object) -> ObjectAnswer:
    attributes = Attributes(request, kind, "CREATE", request.info.namespace, request.info.name, "binding")
    is_labelled = bool((binding.get("metadata") or meta.EMPTY).get("labels"))
    binding = await resources.admission.ask(attributes, binding)
    target, metadata = binding.get("target") or {}, binding.get("metadata") or {}
    _check(target, request.info.name)

    def transform(pod: Object) -> Object:
        return _bound(kind, pod, target["name"], metadata)

    # Whoever binds manages nothing of the pod.
    if metadata.get("annotations") or is_labelled or kind.stored in resources.guards:
        await resources.change(request, kind, transform, subresource="binding", knows_managers=True)
    else:
        await _store(resources, request, kind, transform)
    return ObjectAnswer(kind, object=SUCCESS, status=201)


async def _store(resources: Resources, request: APIRequest, kind: Kind, transform: Callable[[Object], Object]) -> None:
    """What `Resources.change` does, without looking again for faults of a pod of which only the node is new."""
    info = request.info
    attributes = Attributes(request, kind, "UPDATE", info.namespace, info.name, "binding")
    for _ in range(WRITE_ATTEMPTS):
        base = resources.latest(kind, info.namespace, info.name)
        old = resources.store.decoded(base)
        bound = transform(old)
        if await resources.admission.mutate(attributes, bound, old) is not bound:
            await resources.change(request, kind, transform, subresource="binding", knows_managers=True)
            return
        try:
            await resources.admission.store_accepted(attributes, bound, old, _put, resources, request, kind, bound, base)
        except ConflictError:
            continue
        return
    raise errors.conflict(kind.group, kind.plural, info.name, errors.MODIFIED)


async def _put(resources: Resources, request: APIRequest, kind: Kind, bound: Object, base: Record) -> None:
    if not request.dry_run:
        await resources.put(kind, base.key, bound, base)


def _is_plain(value: Any) -> bool:
    """Whether a decoded body has nothing but what schedulers write, so that it need not be read by the schema."""
    return (
        isinstance(value, dict)
        and value.keys() <= _PLAIN
        and isinstance(value.get("apiVersion", ""), str)
        and value.get("kind", "Binding") in ("Binding", "")
        and _has_texts(value.get("metadata", {}), _PLAIN_METADATA)
        and _has_texts(value.get("target", {}), _PLAIN_TARGET)
    )


def _has_texts(part: Any, fields: Set[str]) -> bool:
    """Whether a part of a body has nothing but texts in no other fields than these."""
    return isinstance(part, dict) and part.keys() <= fields and {*map(type, part.values())} <= _TEXT


def _check(target: Object, name: str) -> None:
    problems = []
    if target.get("kind", "") not in ("", "Node"):
        problems.append(errors.not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        problems.append(errors.required("target.name"))
    if problems:
        raise errors.invalid("", "Binding", name, problems)


def _bound(kind: Kind, pod: Object, node: str, metadata: Object) -> Object:
    """The pod as bound to `node`."""
    name = meta.name(pod)
    preconditions.check_identity(kind, pod, metadata)
    if meta.being_deleted(pod):
        raise errors.conflict("", "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        text = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        raise errors.conflict("", "pods/binding", name, text)
    if pod["spec"].get("schedulingGates"):
        raise errors.conflict("", "pods/binding", name, f"pod {name} has non-empty .spec.schedulingGates")
    condition = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": clock.timestamp(),
    }
    status = dict(pod.get("status") or {})
    status["conditions"] = meta.with_condition(status.get("conditions") or (), condition)
    status.pop("nominatedNodeName", None)
    # Its metadata get a revision of their own; those of the pod as it was are others' too.
    bound = {**pod, "metadata": dict(pod["metadata"]), "spec": {**pod["spec"], "nodeName": node}, "status": status}
    for field in ("annotations", "labels"):
        if metadata.get(field):
            bound["metadata"][field] = {**(pod["metadata"].get(field) or {}), **metadata[field]}
    return bound

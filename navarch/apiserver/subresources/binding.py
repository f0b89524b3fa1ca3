"""binding: a scheduler says on which node a pod runs."""

from __future__ import annotations

from dataclasses import replace

from navarch.api.core import pod as pods
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.apiserver import body
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.resources import MISMATCHED_NAMESPACE, Resources
from navarch.component import clock

BINDING = "io.k8s.api.core.v1.Binding"
SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def serve(resources: Resources, request: APIRequest, kind: Kind) -> ObjectAnswer:
    if request.info.verb != "create":
        raise errors.method_not_allowed()
    binding = body.decode_definition(request, BINDING)
    metadata, name = binding.get("metadata") or {}, request.info.name
    if metadata.get("name", name) != name:
        raise errors.bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    return await _bind(resources, request, kind, binding)


async def serve_collection(resources: Resources, request: APIRequest) -> ObjectAnswer:
    """POST of a Binding among others, which names its pod itself."""
    binding = body.decode_definition(request, BINDING)
    metadata, namespace = binding.get("metadata") or {}, request.info.namespace
    if metadata.get("namespace", namespace) != namespace:
        raise errors.bad_request(MISMATCHED_NAMESPACE)
    info = replace(request.info, resource=pods.KIND.plural, name=metadata.get("name", ""), subresource="binding")
    return await _bind(resources, replace(request, info=info), pods.KIND, binding)


async def _bind(resources: Resources, request: APIRequest, kind: Kind, binding: Object) -> ObjectAnswer:
    attributes = Attributes(request, kind, "CREATE", request.info.namespace, request.info.name, "binding")
    binding = await resources.admission.ask(attributes, binding)
    target, metadata = binding.get("target") or {}, binding.get("metadata") or {}
    _check(target, request.info.name)

    def transform(pod: Object) -> Object:
        return _bound(kind, pod, target["name"], metadata)

    # Whoever binds manages nothing of the pod.
    await resources.change(request, kind, transform, subresource="binding", knows_managers=True)
    return ObjectAnswer(kind, object=SUCCESS, status=201)


def _check(target: Object, name: str) -> None:
    problems = []
    if target.get("kind", "") not in ("", "Node", "Minion"):
        problems.append(errors.not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        problems.append(errors.required("target.name"))
    if problems:
        raise errors.invalid("", "Binding", name, problems)


def _bound(kind: Kind, pod: Object, node: str, metadata: Object) -> Object:
    """The pod as bound to `node`."""
    name = meta.name(pod)
    if metadata.get("uid") and metadata["uid"] != meta.uid(pod):
        text = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {meta.uid(pod)}"
        raise errors.conflict("", "pods/binding", name, text)
    if meta.being_deleted(pod):
        raise errors.conflict("", "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        text = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        raise errors.conflict("", "pods/binding", name, text)
    if pod["spec"].get("schedulingGates"):
        raise errors.conflict("", "pods/binding", name, f"pod {name} has non-empty .spec.schedulingGates")
    condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": clock.timestamp()}
    status = dict(pod.get("status") or {})
    status["conditions"] = meta.with_condition(status.get("conditions") or (), condition)
    status.pop("nominatedNodeName", None)
    bound = {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status}
    if metadata.get("annotations"):
        merged = {**meta.annotations(pod), **metadata["annotations"]}
        bound = meta.set_path(bound, merged, "metadata", "annotations")
    return bound

"""Make claims on devices for pods that name templates, and free claims that no pod uses any more (KEP-4381).

Schedulers allocate claims and reserve them for the pods they place; for pods that had a node from the start it is done here. A
claim whose last pod is done is free to be allocated anew, and one that was made for that pod goes.
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.informer import Informers
from navarch.controllers import resourceclaimpods as plan
from navarch.controllers.controller import BY_CONTROLLER, Cluster, Controller, Watch, controller_uid
from navarch.controllers.pods import node_name

PODS, CLAIMS, TEMPLATES = "pods", "resourceclaims.resource.k8s.io", "resourceclaimtemplates.resource.k8s.io"
COMPONENT = "resource_claim"
BY_CLAIM = "claim"


# Pods


async def reconcile_pod(pod: Object, cluster: Cluster) -> None:
    if meta.being_deleted(pod) or plan.is_done(pod):
        return
    made: dict[str, str] = {}
    for entry in plan.wanted(pod):
        if entry.get("resourceClaimTemplateName") is None:
            continue
        try:
            name = await _made(pod, entry, cluster)
        except StatusError as error:
            text = f"PodResourceClaim {entry['name']}: {error.message}"
            cluster.event(pod, "Warning", "FailedResourceClaimCreation", text)
            raise
        if name:
            made[entry["name"]] = name
    if made:
        statuses = [{"name": entry, "resourceClaimName": name} for entry, name in made.items()]
        # The uid makes sure that it is this pod that is told of its claims.
        patch = {"metadata": {"uid": meta.uid(pod)}, "status": {"resourceClaimStatuses": statuses}}
        await cluster.patch(PODS, pod, patch, patch_type="strategic", subresource="status")
        return
    if node_name(pod):
        await _reserve(pod, cluster)


async def _made(pod: Object, entry: Object, cluster: Cluster) -> str:
    """The name of a claim that the pod's status does not know of yet, made if need be; "" if there is nothing to tell."""
    namespace, name = meta.namespace(pod), plan.recorded(pod).get(entry["name"], "")
    if name is None:
        return ""
    present = cluster.cached(CLAIMS, name, namespace) if name else None
    if present is not None and plan.is_made_for(present, pod):
        return ""
    for claim in cluster.informer(CLAIMS).by_index(BY_CONTROLLER, meta.uid(pod)):
        if meta.annotations(claim).get(plan.POD_CLAIM) == entry["name"]:
            return meta.name(claim)
    template_name = entry["resourceClaimTemplateName"]
    template = cluster.cached(TEMPLATES, template_name, namespace)
    if template is None:
        missing = errors.not_found("resource.k8s.io", "resourceclaimtemplate", template_name)
        raise _told(missing, f'resource claim template "{template_name}": {missing.message}')
    try:
        return meta.name(await cluster.create(CLAIMS, plan.made_from(template, pod, entry["name"]), namespace))
    except StatusError as error:
        raise _told(error, f"create ResourceClaim : {error.message}") from error


def _told(error: StatusError, message: str) -> StatusError:
    """The same error, saying when it came up."""
    return StatusError({**error.status, "message": message}, error.headers)


async def _reserve(pod: Object, cluster: Cluster) -> None:
    for name, is_made in plan.claim_names(pod):
        claim = cluster.cached(CLAIMS, name, meta.namespace(pod))
        if claim is None or (is_made and not plan.is_made_for(claim, pod)):
            return
        if plan.may_reserve(claim, pod):
            await cluster.update_status(CLAIMS, plan.reserved_for(claim, pod))


# Claims


async def reconcile_claim(claim: Object, cluster: Cluster) -> None:
    present = plan.consumers(claim)
    if any(consumer.get("apiGroup") or consumer.get("resource") != PODS for consumer in present):
        return  # Of others than pods nobody here knows whether they are done.
    valid = [consumer for consumer in present if await _is_used(consumer, meta.namespace(claim), cluster)]
    finalizers = claim["metadata"].get("finalizers") or []
    protected = plan.FINALIZER in finalizers
    if len(valid) < len(present):
        await _free(claim, valid, cluster, releases=protected and not valid)
    elif protected and meta.being_deleted(claim) and not valid:
        await _free(claim, valid, cluster, releases=True)
    if not valid:
        await _delete_if_left_over(claim, cluster)


async def _is_used(consumer: Object, namespace: str, cluster: Cluster) -> bool:
    pod = cluster.cached(PODS, consumer.get("name", ""), namespace)
    if pod is None:
        # The cache may not know the newest pods.
        try:
            pod = await cluster.client.get(PODS, consumer.get("name", ""), namespace)
        except StatusError as error:
            if error.is_not_found:
                return False
            raise
    return meta.uid(pod) == consumer.get("uid") and not plan.is_done(pod)


async def _free(claim: Object, valid: list[Object], cluster: Cluster, *, releases: bool) -> None:
    """Keep only those that still use it; what is not used may be allocated anew, and go."""
    before = claim.get("status") or {}
    status = {field: value for field, value in before.items() if field != "reservedFor"}
    if valid:
        status["reservedFor"] = valid
    if releases:
        status.pop("allocation", None)
    if status != before:
        claim = await cluster.update_status(CLAIMS, {**claim, "status": status})
    finalizers = claim["metadata"].get("finalizers") or []
    if releases and plan.FINALIZER in finalizers:
        rest = [finalizer for finalizer in finalizers if finalizer != plan.FINALIZER]
        await cluster.update(CLAIMS, meta.set_path(claim, rest, "metadata", "finalizers"))


async def _delete_if_left_over(claim: Object, cluster: Cluster) -> None:
    """A claim that was made for a pod which is done: the pod itself may stay for long."""
    owner = meta.controller_of(claim)
    if owner is None or (owner.get("apiVersion"), owner.get("kind")) != ("v1", "Pod") or meta.being_deleted(claim):
        return
    pod = cluster.cached(PODS, owner["name"], meta.namespace(claim))
    # Claims of pods that are gone are the garbage collector's.
    if pod is not None and (meta.uid(pod) != owner["uid"] or plan.is_done(pod)):
        await cluster.delete(CLAIMS, claim)


def _has_claims(old: Object | None, new: Object | None) -> bool:
    return new is not None and bool(plan.wanted(new))


def _pods_of_claim(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    claim = new if new is not None else old
    assert claim is not None
    return [meta.key(pod) for pod in informers.get(PODS).by_index(BY_CLAIM, meta.key(claim))]


def _pods_of_template(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    if old is not None or new is None:
        return ()
    return [
        meta.key(pod)
        for pod in informers.get(PODS).list(meta.namespace(new))
        if any(entry.get("resourceClaimTemplateName") == meta.name(new) for entry in plan.wanted(pod))
    ]


def _claims_of_done_pod(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    pod = new if new is not None else old
    assert pod is not None
    return plan.by_claim(pod) if new is None or plan.is_done(pod) else ()


PODS_CONTROLLER = Controller(
    COMPONENT,
    PODS,
    reconcile_pod,
    relevant=_has_claims,
    indexers={BY_CLAIM: plan.by_claim},
    watches=(
        Watch(CLAIMS, _pods_of_claim, indexers={BY_CONTROLLER: controller_uid}),
        Watch(TEMPLATES, _pods_of_template),
    ),
)
CLAIMS_CONTROLLER = Controller(COMPONENT, CLAIMS, reconcile_claim, watches=(Watch(PODS, _claims_of_done_pod),))

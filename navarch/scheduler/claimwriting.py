"""What a scheduler writes of claims on devices: who got what, that it is given back, and claims of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.component import clock
from navarch.scheduler.podinfo import PodInfo

logger = logging.getLogger(__name__)

CLAIMS = "resourceclaims.resource.k8s.io"
FINALIZER = "resource.kubernetes.io/delete-protection"


class ClaimError(Exception):
    """A pod's claims are not as they must be."""


def allocation_of(claim: Object) -> Object | None:
    found: Object | None = (claim.get("status") or meta.EMPTY).get("allocation")
    return found


def consumers(claim: Object) -> list[Object]:
    return (claim.get("status") or meta.EMPTY).get("reservedFor") or []


def is_reserved_for(claim: Object, pod: PodInfo) -> bool:
    return any(consumer.get("uid") == pod.uid for consumer in consumers(claim))


def only_consumer_is(claim: Object, pod: PodInfo) -> bool:
    return len(consumers(claim)) == 1 and is_reserved_for(claim, pod)


async def bind(client: Client, claim: Object, allocation: Object | None, pod: PodInfo) -> Object:
    """Write what was chosen, if anything was, and who it is for. Raises ClaimError, StatusError."""

    def changeable(present: Object) -> None:
        if meta.being_deleted(present):
            raise ClaimError(f"claim {meta.key(claim)} got deleted in the meantime")
        if allocation is not None and allocation_of(present) is not None:
            raise ClaimError(f"claim {meta.key(claim)} got allocated elsewhere in the meantime")

    def protected(present: Object) -> Object | None:
        changeable(present)
        finalizers = present["metadata"].get("finalizers") or []
        return None if FINALIZER in finalizers else meta.set_path(present, [*finalizers, FINALIZER], "metadata", "finalizers")

    def reserved(present: Object) -> Object | None:
        changeable(present)
        if is_reserved_for(present, pod):
            return None
        status = dict(present.get("status") or {})
        status["allocation"] = {"allocationTimestamp": clock.timestamp(), **(allocation or status.get("allocation") or {})}
        consumer = {"resource": "pods", "name": pod.name, "uid": pod.uid}
        return {**present, "status": {**status, "reservedFor": [*consumers(present), consumer]}}

    if allocation is not None:
        claim = await _write(client, claim, protected)
    return await _write(client, claim, reserved, "status")


async def _write(client: Client, claim: Object, change: Callable[[Object], Object | None], subresource: str = "") -> Object:
    """Change it as it is known; if that is no longer how it is, look at it again."""
    changed = change(claim)
    if changed is None:
        return claim
    try:
        return await client.update(CLAIMS, changed, subresource=subresource)
    except StatusError as error:
        if not error.is_conflict:
            raise
    return await client.modify(CLAIMS, meta.name(claim), meta.namespace(claim), change, subresource=subresource)


async def give_back(client: Client, claim: Object, pod: PodInfo) -> None:
    """The pod does not use it after all."""
    patch = {"metadata": {"uid": meta.uid(claim)}, "status": {"reservedFor": [{"$patch": "delete", "uid": pod.uid}]}}
    try:
        await client.patch(CLAIMS, meta.name(claim), patch, meta.namespace(claim), patch_type="strategic", subresource="status")
    except (StatusError, OSError) as error:
        logger.info("cannot give back %s: %s", meta.key(claim), error)


async def deallocate(client: Client, claim: Object) -> Object | None:
    """What the claim has is on other nodes, and nobody uses it: somewhere else there may be the like of it."""
    status = {key: value for key, value in claim["status"].items() if key not in ("reservedFor", "allocation", "devices")}
    try:
        return await client.update(CLAIMS, {**claim, "status": status}, subresource="status")
    except (StatusError, OSError) as error:
        logger.info("cannot deallocate %s: %s", meta.key(claim), error)
        return None


# Claims that a scheduler makes itself, for extended resources.


async def create(client: Client, claim: Object) -> Object:
    """Write a claim that has had no name so far. Raises StatusError, OSError."""
    metadata = {field: value for field, value in claim["metadata"].items() if field not in ("name", "uid")}
    return await client.create(CLAIMS, {**claim, "metadata": {**metadata, "finalizers": [FINALIZER]}}, meta.namespace(claim))


async def tell_pod(client: Client, pod: PodInfo, claim: Object, mappings: Sequence[Object]) -> None:
    """Say in the pod's status which claim has been made for it, and what is whose in it. Raises StatusError, OSError."""
    status = {"extendedResourceClaimStatus": {"resourceClaimName": meta.name(claim), "requestMappings": list(mappings)}}
    patch = {"metadata": {"uid": pod.uid}, "status": status}
    await client.patch("pods", pod.name, patch, pod.namespace, patch_type="strategic", subresource="status")


async def delete(client: Client, claim: Object) -> None:
    """Take it away, whatever it has: its pod is on no node. Nothing is done if the pod turns out to have got one."""

    def released(present: Object) -> Object | None:
        finalizers = present["metadata"].get("finalizers") or []
        if meta.uid(present) != meta.uid(claim) or FINALIZER not in finalizers:
            return None
        return meta.set_path(present, [other for other in finalizers if other != FINALIZER], "metadata", "finalizers")

    name, namespace = meta.name(claim), meta.namespace(claim)
    try:
        if await _is_bound(client, claim):
            return
        await client.modify(CLAIMS, name, namespace, released)
        await client.delete(CLAIMS, name, namespace, uid=meta.uid(claim))
    except (StatusError, OSError) as error:
        if not (isinstance(error, StatusError) and error.is_not_found):
            logger.info("cannot delete %s: %s", meta.key(claim), error)


async def _is_bound(client: Client, claim: Object) -> bool:
    """Whether the claim's pod is on a node: another scheduler may have bound it, or a binding had no answer."""
    owner = meta.controller_of(claim)
    if owner is None:
        return False
    try:
        pod = await client.get("pods", owner["name"], meta.namespace(claim))
    except StatusError as error:
        if error.is_not_found:
            return False
        raise
    named = (pod.get("status") or meta.EMPTY).get("extendedResourceClaimStatus") or meta.EMPTY
    uses_it = named.get("resourceClaimName") == meta.name(claim)
    return meta.uid(pod) == owner["uid"] and bool(pod["spec"].get("nodeName")) and uses_it

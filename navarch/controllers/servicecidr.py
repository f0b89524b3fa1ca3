"""ServiceCIDRs get their finalizer and their Ready condition, and stay as long as Services have addresses of theirs."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from navarch.api.networking import servicecidr
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.informer import Informers
from navarch.controllers.controller import Cluster, Controller, Watch

RESOURCE = "servicecidrs.networking.k8s.io"
# Whoever hands out addresses has seen by then that this network gives none any more.
DELETION_GRACE_SECONDS = 10.0
IN_USE = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"


def may_go(service_cidr: Object, others: Iterable[Object], addresses: Iterable[str]) -> bool:
    """Whether no address in use would be left without a network.

    `others` are the ServiceCIDRs that stay; `addresses` are those that Services have.
    """
    mine = servicecidr.networks(service_cidr)
    staying = [network for other in others for network in servicecidr.networks(other)]
    if all(any(_holds(other, network) for other in staying) for network in mine):
        return True
    for address in map(ipaddress.ip_address, addresses):
        if any(address in network for network in mine) and not any(address in network for network in staying):
            return False
    return True


def _holds(outer: Any, inner: Any) -> bool:
    return bool(outer.version == inner.version and inner.subnet_of(outer))


async def reconcile(service_cidr: Object, cluster: Cluster) -> float | None:
    if not meta.being_deleted(service_cidr):
        await _protect(service_cidr, cluster)
        return None
    present = service_cidr["metadata"].get("finalizers") or []
    if servicecidr.FINALIZER not in present:
        return None
    name = meta.name(service_cidr)
    others = [
        other for other in cluster.informer(RESOURCE).list() if meta.name(other) != name and not meta.being_deleted(other)
    ]
    addresses = [address for service in cluster.informer("services").list() for address in _addresses(service)]
    if not may_go(service_cidr, others, addresses):
        await _set_ready(service_cidr, cluster, "False", "Terminating", IN_USE)
        return None
    waited_seconds = (cluster.now() - meta.parse_time(service_cidr["metadata"]["deletionTimestamp"])).total_seconds()
    if waited_seconds < DELETION_GRACE_SECONDS:
        return DELETION_GRACE_SECONDS - waited_seconds
    kept = [finalizer for finalizer in present if finalizer != servicecidr.FINALIZER]
    metadata = {"finalizers": kept or None, "resourceVersion": service_cidr["metadata"]["resourceVersion"]}
    await cluster.patch(RESOURCE, service_cidr, {"metadata": metadata})
    return None


async def _protect(service_cidr: Object, cluster: Cluster) -> None:
    present = service_cidr["metadata"].get("finalizers") or []
    if servicecidr.FINALIZER not in present:
        metadata = {
            "finalizers": [*present, servicecidr.FINALIZER],
            "resourceVersion": service_cidr["metadata"]["resourceVersion"],
        }
        service_cidr = await cluster.patch(RESOURCE, service_cidr, {"metadata": metadata})
    if not meta.is_condition_true(service_cidr, servicecidr.READY):
        await _set_ready(service_cidr, cluster, "True", "", servicecidr.READY_MESSAGE)


async def _set_ready(service_cidr: Object, cluster: Cluster, status: str, reason: str, message: str) -> None:
    condition = {
        "type": servicecidr.READY,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": meta.format_time(cluster.now()),
    }
    conditions = (service_cidr.get("status") or {}).get("conditions") or ()
    changed = meta.with_condition(conditions, condition)
    if changed != list(conditions):
        await cluster.patch(RESOURCE, service_cidr, {"status": {"conditions": changed}}, subresource="status")


def _addresses(service: Object | None) -> list[str]:
    spec = (service or {}).get("spec") or {}
    return [address for address in spec.get("clusterIPs") or () if address != "None"]


def _terminating(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    return [meta.name(item) for item in informers.get(RESOURCE).list() if meta.being_deleted(item)]


def _freed(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    return _terminating(old, new, informers) if old is not None and _addresses(old) != _addresses(new) else ()


CONTROLLER = Controller(
    "service-cidr-controller",
    RESOURCE,
    reconcile,
    watches=(Watch(RESOURCE, _terminating), Watch("services", _freed)),
)

"""The kube-dns Service and its endpoints: every Ready node answers DNS itself, on its own address.

The Service has no selector, since no pod serves it; its internalTrafficPolicy keeps each pod's questions on its own node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from navarch.api.core import node as nodes_api
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.informer import Informers
from navarch.controllers.config import ControllerConfig
from navarch.controllers.controller import Cluster, Controller, Watch

NAMESPACE = "kube-system"
NAME = "kube-dns"
KEY = f"{NAMESPACE}/{NAME}"
MANAGED_BY = "clusterdns-controller.navarch"
ENDPOINTS_PER_SLICE = 1000
ZONE_LABEL = "topology.kubernetes.io/zone"


def service(cluster_ip: str) -> Object:
    """The Service that pods' resolv.conf points to."""
    labels = {"k8s-app": NAME, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "clusterIP": cluster_ip,
            "internalTrafficPolicy": "Local",
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
        },
    }


def plan(owner: Object, nodes: Iterable[Object], port: int) -> list[Object]:
    """The EndpointSlices that should exist."""
    endpoints = []
    for node in sorted(nodes, key=meta.name):
        address = nodes_api.address(node, "InternalIP")
        if not address or meta.being_deleted(node) or not meta.is_condition_true(node, "Ready"):
            continue
        endpoint: Object = {
            "addresses": [address],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": meta.name(node),
        }
        if ZONE_LABEL in meta.labels(node):
            endpoint["zone"] = meta.labels(node)[ZONE_LABEL]
        endpoints.append(endpoint)
    chunks = [endpoints[i : i + ENDPOINTS_PER_SLICE] for i in range(0, len(endpoints), ENDPOINTS_PER_SLICE)] or [[]]
    return [_slice(owner, index, chunk, port) for index, chunk in enumerate(chunks)]


def _slice(owner: Object, index: int, endpoints: Sequence[Object], port: int) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{NAME}-{index}",
            "namespace": NAMESPACE,
            "labels": {
                "kubernetes.io/service-name": NAME,
                "endpointslice.kubernetes.io/managed-by": MANAGED_BY,
                "k8s-app": NAME,
            },
            "ownerReferences": [meta.owner_reference(owner)],
        },
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [{"name": "dns", "port": port, "protocol": "UDP"}, {"name": "dns-tcp", "port": port, "protocol": "TCP"}],
    }


def controller(config: ControllerConfig) -> Controller:
    """The controller that keeps the Service at `config.cluster_dns_ip`."""

    async def reconcile(owner: Object, cluster: Cluster) -> None:
        if meta.key(owner) != KEY or meta.being_deleted(owner) or owner["spec"].get("selector"):
            return  # With a selector, somebody runs a DNS server of their own in pods.
        wanted = {meta.name(item): item for item in plan(owner, cluster.informer("nodes").list(), config.node_dns_port)}
        for present in cluster.owned(owner, SLICES):
            desired = wanted.pop(meta.name(present), None)
            if desired is None:
                await cluster.delete(SLICES, present)
            elif present.get("endpoints") != desired["endpoints"] or present.get("ports") != desired["ports"]:
                await cluster.update(SLICES, {**present, "endpoints": desired["endpoints"], "ports": desired["ports"]})
        for missing in wanted.values():
            await cluster.create(SLICES, missing)

    async def gone(key: str, cluster: Cluster) -> None:
        if key != KEY:
            return
        try:
            await cluster.create("services", service(config.cluster_dns_ip))
        except StatusError as error:
            if not error.is_already_exists:
                raise

    return Controller(
        "clusterdns-controller",
        "services",
        reconcile,
        gone=gone,
        owns=(SLICES,),
        watches=(Watch("nodes", _node_changed),),
        relevant=_is_ours,
        seeds=(KEY,),
        workers=1,
    )


SLICES = "endpointslices.discovery.k8s.io"


def _is_ours(old: Object | None, new: Object | None) -> bool:
    obj = new if new is not None else old
    return obj is not None and meta.key(obj) == KEY


def _node_changed(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    if old is None or new is None or _served(old) != _served(new):
        yield KEY


def _served(node: Object) -> tuple[str, bool, bool, str | None]:
    return (
        nodes_api.address(node, "InternalIP"),
        meta.is_condition_true(node, "Ready"),
        meta.being_deleted(node),
        meta.labels(node).get(ZONE_LABEL),
    )

"""Give every node its own part of the cluster's pod network; a node keeps what it was once given."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers.config import ControllerConfig
from navarch.controllers.controller import Cluster, Controller

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def first_free(cluster: Network, prefix: int, taken: Iterable[str]) -> str | None:
    """The lowest subnet of that prefix length that overlaps none of `taken`; None if there is none left."""
    used = [ipaddress.ip_network(cidr) for cidr in taken]
    exact = {network for network in used if network.prefixlen == prefix}
    others = [network for network in used if network.prefixlen != prefix and network.version == cluster.version]
    for subnet in cluster.subnets(new_prefix=prefix):
        if subnet not in exact and not any(subnet.overlaps(other) for other in others):
            return str(subnet)
    return None


def pod_cidrs(node: Object) -> list[str]:
    spec = node.get("spec") or {}
    return list(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else []))


def controller(config: ControllerConfig) -> Controller:
    """The controller that gives out parts of `config.cluster_cidr`."""
    network = ipaddress.ip_network(config.cluster_cidr)
    given: dict[str, str] = {}
    """Node -> its network, for nodes that the cache may not show it for yet."""

    async def reconcile(node: Object, cluster: Cluster) -> None:
        name = meta.name(node)
        if pod_cidrs(node):
            given.pop(name, None)
            return
        if meta.being_deleted(node):
            return
        taken = [cidr for other in cluster.informer("nodes").list() for cidr in pod_cidrs(other)]
        taken += [cidr for other, cidr in given.items() if other != name]
        cidr = first_free(network, config.node_cidr_mask_size, taken)
        if cidr is None:
            cluster.event(node, "Normal", "CIDRNotAvailable", f"Node {name} status is now: CIDRNotAvailable")
            raise OSError(f"no pod network left in {network} for node {name}")
        given[name] = cidr
        await cluster.patch("nodes", node, {"spec": {"podCIDR": cidr, "podCIDRs": [cidr]}})

    async def gone(name: str, cluster: Cluster) -> None:
        given.pop(name, None)

    return Controller("cidrAllocator", "nodes", reconcile, gone=gone, relevant=_lacks_network)


def _lacks_network(old: Object | None, new: Object | None) -> bool:
    return new is None or not pod_cidrs(new) or (old is not None and not pod_cidrs(old))

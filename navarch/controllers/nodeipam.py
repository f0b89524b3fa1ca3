"""Give every node its own part of the cluster's pod network; a node keeps what it was once given.

Parts are numbered, and given out in turn as kube-controller-manager's range allocator does: what is free again waits until
the others have had theirs. An index of the nodes by the parts they have says what is taken, so that a node costs the same
however many there are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers.config import ControllerConfig
from navarch.controllers.controller import Cluster, Controller

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
BY_PART = "podCIDR"


def parts(whole: Network, prefix: int, cidr: str) -> range:
    """The numbers of the subnets of that prefix length which `cidr` overlaps; none where it is no part of `whole`."""
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return range(0)
    if network.version != whole.version or not network.overlaps(whole):
        return range(0)
    shift = whole.max_prefixlen - prefix
    base, first = int(whole.network_address), max(int(network.network_address), int(whole.network_address))
    last = min(int(network.broadcast_address), int(whole.broadcast_address))
    return range((first - base) >> shift, ((last - base) >> shift) + 1)


def part(whole: Network, prefix: int, number: int) -> str:
    """The subnet of that number."""
    return f"{whole.network_address + (number << (whole.max_prefixlen - prefix))}/{prefix}"


def next_free(count: int, start: int, is_taken: Callable[[int], bool]) -> int | None:
    """The first of `count` numbers, from `start` on and round, that is not taken; None if all are."""
    return next((number % count for number in range(start, start + count) if not is_taken(number % count)), None)


def pod_cidrs(node: Object) -> list[str]:
    spec = node.get("spec") or {}
    return list(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else []))


def controller(config: ControllerConfig) -> Controller:
    """The controller that gives out parts of `config.cluster_cidr`."""
    whole, prefix = ipaddress.ip_network(config.cluster_cidr), config.node_cidr_mask_size
    count = 1 << (prefix - whole.prefixlen)
    given: dict[str, int] = {}
    """Node -> its part, for nodes that the cache may not show it for yet."""
    start = 0

    def by_part(node: Object) -> Iterator[str]:
        return (str(number) for cidr in pod_cidrs(node) for number in parts(whole, prefix, cidr))

    async def reconcile(node: Object, cluster: Cluster) -> None:
        nonlocal start
        name = meta.name(node)
        if pod_cidrs(node):
            given.pop(name, None)
            return
        if meta.being_deleted(node):
            return
        nodes, given_to_others = cluster.informer("nodes"), {number for other, number in given.items() if other != name}
        number = next_free(
            count,
            given.get(name, start),
            lambda number: number in given_to_others or bool(nodes.by_index(BY_PART, str(number))),
        )
        if number is None:
            cluster.event(node, "Normal", "CIDRNotAvailable", f"Node {name} status is now: CIDRNotAvailable")
            raise OSError(f"no pod network left in {whole} for node {name}")
        if name not in given:
            start = (number + 1) % count
        given[name] = number
        cidr = part(whole, prefix, number)
        await cluster.patch("nodes", node, {"spec": {"podCIDR": cidr, "podCIDRs": [cidr]}})

    async def gone(name: str, cluster: Cluster) -> None:
        given.pop(name, None)

    return Controller("cidrAllocator", "nodes", reconcile, gone=gone, relevant=_lacks_network, indexers={BY_PART: by_part})


def _lacks_network(old: Object | None, new: Object | None) -> bool:
    return new is None or not pod_cidrs(new) or (old is not None and not pod_cidrs(old))

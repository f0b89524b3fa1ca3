"""How the nodes of each zone are, and so how fast silent ones among them are given up. Pure.

When all nodes of all zones seem to fail nobody is evicted: then it is more likely that this side has lost the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object

REGION_LABEL, ZONE_LABEL = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"
EXCLUDED_LABEL = "node.kubernetes.io/exclude-disruption"
"""Nodes so labelled do not count for how a zone is."""
UNHEALTHY_FRACTION = 0.55
UNHEALTHY_COUNT = 3
LARGE_ZONE_NODES = 50
SECONDS_BETWEEN_EVICTED_NODES = 10.0
SECONDS_BETWEEN_EVICTED_NODES_OF_LARGE_DISRUPTED_ZONE = 100.0
ALL = ""
"""In indices by zone: all nodes that count."""


class ZoneState(Enum):
    NORMAL = "Normal"
    PARTIAL_DISRUPTION = "PartialDisruption"
    FULL_DISRUPTION = "FullDisruption"


def zone_of(node: Object) -> str:
    """The key of a node's zone: nodes without labels are of one zone too."""
    labels = meta.labels(node)
    return f"{labels.get(REGION_LABEL, '')}:{labels.get(ZONE_LABEL, '')}"


def counts(node: Object) -> bool:
    return EXCLUDED_LABEL not in meta.labels(node)


def by_zone(node: Object) -> Iterable[str]:
    """Index of the nodes that count."""
    return (ALL, zone_of(node)) if counts(node) else ()


def state(nodes: int, unhealthy: int) -> ZoneState:
    """How a zone is of whose nodes so many are not ready."""
    if nodes and unhealthy >= nodes:
        return ZoneState.FULL_DISRUPTION
    if unhealthy >= UNHEALTHY_COUNT and unhealthy / nodes >= UNHEALTHY_FRACTION:
        return ZoneState.PARTIAL_DISRUPTION
    return ZoneState.NORMAL


def seconds_between(nodes: int, unhealthy: int) -> float | None:
    """How long after one node of a zone the next may be given up; None: none is, the zone being small and most of it silent.

    Of a zone that is all silent they are given up as usual, there being others.
    """
    if state(nodes, unhealthy) is not ZoneState.PARTIAL_DISRUPTION:
        return SECONDS_BETWEEN_EVICTED_NODES
    return SECONDS_BETWEEN_EVICTED_NODES_OF_LARGE_DISRUPTED_ZONE if nodes > LARGE_ZONE_NODES else None

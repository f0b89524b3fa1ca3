"""The scheduler's rules, one file each, and the list of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from navarch.scheduler.framework import Plugin
from navarch.scheduler.plugins.defaultbinder import DefaultBinder
from navarch.scheduler.plugins.defaultpreemption import DefaultPreemption
from navarch.scheduler.plugins.dynamicresources import DynamicResources
from navarch.scheduler.plugins.imagelocality import ImageLocality
from navarch.scheduler.plugins.interpodaffinity import InterPodAffinity
from navarch.scheduler.plugins.nodeaffinity import NodeAffinity
from navarch.scheduler.plugins.nodedeclaredfeatures import NodeDeclaredFeatures
from navarch.scheduler.plugins.nodename import NodeName
from navarch.scheduler.plugins.nodeports import NodePorts
from navarch.scheduler.plugins.noderesourcesbalancedallocation import NodeResourcesBalancedAllocation
from navarch.scheduler.plugins.noderesourcesfit import NodeResourcesFit
from navarch.scheduler.plugins.nodeunschedulable import NodeUnschedulable
from navarch.scheduler.plugins.nodevolumelimits import NodeVolumeLimits
from navarch.scheduler.plugins.podtopologyspread import PodTopologySpread
from navarch.scheduler.plugins.queueing import PrioritySort, SchedulingGates
from navarch.scheduler.plugins.tainttoleration import TaintToleration
from navarch.scheduler.plugins.volumebinding import VolumeBinding
from navarch.scheduler.plugins.volumerestrictions import VolumeRestrictions
from navarch.scheduler.plugins.volumezone import VolumeZone

DEFAULTS: tuple[tuple[type[Plugin], int], ...] = (
    (SchedulingGates, 0),
    (PrioritySort, 0),
    (NodeUnschedulable, 0),
    (NodeName, 0),
    (TaintToleration, 3),
    (NodeAffinity, 2),
    (NodePorts, 0),
    (NodeResourcesFit, 1),
    (VolumeRestrictions, 0),
    (NodeVolumeLimits, 0),
    (VolumeBinding, 0),
    (VolumeZone, 0),
    (PodTopologySpread, 2),
    (InterPodAffinity, 2),
    (DynamicResources, 0),
    (DefaultPreemption, 0),
    (NodeResourcesBalancedAllocation, 1),
    (ImageLocality, 1),
    (DefaultBinder, 0),
    (NodeDeclaredFeatures, 0),
)
"""The default profile: every plugin at all its extension points, in this order; and what its scores weigh (0: 1, if it
scores)."""

IN_TREE: Mapping[str, type[Plugin]] = MappingProxyType({kind.name: kind for kind, _ in DEFAULTS})

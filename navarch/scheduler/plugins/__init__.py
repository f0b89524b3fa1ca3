"""The scheduler's rules, one file each."""

from __future__ import annotations

from collections.abc import Callable

from navarch.apimachinery.selectors import Selector
from navarch.scheduler.framework import Plugin
from navarch.scheduler.plugins.imagelocality import ImageLocality
from navarch.scheduler.plugins.interpodaffinity import InterPodAffinity
from navarch.scheduler.plugins.nodeaffinity import NodeAffinity
from navarch.scheduler.plugins.nodename import NodeName
from navarch.scheduler.plugins.nodeports import NodePorts
from navarch.scheduler.plugins.noderesourcesbalancedallocation import NodeResourcesBalancedAllocation
from navarch.scheduler.plugins.noderesourcesfit import NodeResourcesFit
from navarch.scheduler.plugins.nodeunschedulable import NodeUnschedulable
from navarch.scheduler.plugins.podtopologyspread import PodTopologySpread
from navarch.scheduler.plugins.tainttoleration import TaintToleration
from navarch.scheduler.podinfo import PodInfo


def default_plugins(default_selector: Callable[[PodInfo], Selector | None] = lambda pod: None) -> tuple[Plugin, ...]:
    """The plugins of the default profile, in the order in which they filter."""
    return (
        NodeUnschedulable(),
        NodeName(),
        TaintToleration(),
        NodeAffinity(),
        NodePorts(),
        NodeResourcesFit(),
        PodTopologySpread(default_selector),
        InterPodAffinity(),
        NodeResourcesBalancedAllocation(),
        ImageLocality(),
    )

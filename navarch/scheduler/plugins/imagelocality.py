"""ImageLocality: prefer nodes that have the pod's images already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from navarch.scheduler.events import EventHint
from navarch.scheduler.framework import MAX_NODE_SCORE, SKIP, CycleState, IntArray, Plugin, Reuse, Status
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo

MEGABYTE = 1024 * 1024
MIN_BYTES = 23 * MEGABYTE
"""Smaller images are pulled so quickly that they don't count."""
MAX_BYTES_PER_CONTAINER = 1000 * MEGABYTE


def normalized_name(image: str) -> str:
    """An image name with its tag, as nodes list it."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"


class ImageLocality(Plugin):
    name = "ImageLocality"

    def events_to_register(self) -> Sequence[EventHint]:
        return ()

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NODE

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        snapshot = nodes.snapshot
        images = (*pod.images, *pod.volume_images)
        return None if any(snapshot.image_nodes(normalized_name(image)) for image in images) else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> IntArray:
        total = np.zeros(nodes.size, np.int64)
        for image in (*pod.images, *pod.volume_images):
            sizes = nodes.snapshot.image_nodes(normalized_name(image))
            if sizes:
                # An image that few nodes have counts for less, lest all its pods crowd there.
                share = len(sizes) / nodes.snapshot.count
                total += (nodes.by_row(sizes) * share).astype(np.int64)
        # Images of volumes add to the sum, not to what it is measured by.
        highest = MAX_BYTES_PER_CONTAINER * len(pod.images)
        return MAX_NODE_SCORE * (np.clip(total, MIN_BYTES, highest) - MIN_BYTES) // (highest - MIN_BYTES)

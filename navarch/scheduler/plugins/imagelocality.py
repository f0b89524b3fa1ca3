"""ImageLocality: prefer nodes that have the pod's images already."""

from __future__ import annotations

import numpy as np

from navarch.scheduler.framework import MAX_NODE_SCORE, Plugin
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import BoolArray, FloatArray, Snapshot

MEGABYTE = 1024 * 1024
MIN_BYTES = 23 * MEGABYTE
"""Smaller images are pulled so quickly that they don't count."""
MAX_BYTES_PER_CONTAINER = 1000 * MEGABYTE


def normalized_name(image: str) -> str:
    """An image name with its tag, as nodes list it."""
    return image if "@" in image or image.rfind(":") > image.rfind("/") else f"{image}:latest"


class ImageLocality(Plugin):
    name = "ImageLocality"
    weight = 1

    def score(self, pod: PodInfo, snapshot: Snapshot, feasible: BoolArray) -> FloatArray | None:
        total: FloatArray | None = None
        images = pod.images
        for image in images:
            sizes = snapshot.image_sizes(normalized_name(image))
            if not sizes:
                continue
            if total is None:
                total = np.zeros(snapshot.size)
            # An image that few nodes have counts for less, lest all its pods crowd there.
            share = len(sizes) / max(snapshot.count, 1)
            for row, size in sizes.items():
                total[row] += int(size * share)
        if total is None:
            return None
        highest = MAX_BYTES_PER_CONTAINER * len(images)
        score: FloatArray = np.floor(MAX_NODE_SCORE * (np.clip(total, MIN_BYTES, highest) - MIN_BYTES) / (highest - MIN_BYTES))
        return score

"""What a pod and its reader are told: its PodScheduled condition, its nominated node."""

from __future__ import annotations

import logging

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.component import clock
from navarch.scheduler.podinfo import PodInfo

logger = logging.getLogger(__name__)

UNSCHEDULABLE = "Unschedulable"
SCHEDULER_ERROR = "SchedulerError"
SCHEDULING_GATED = "SchedulingGated"
PATCH_ATTEMPTS = 4
"""How often a status is written that others are writing at the same time."""


def status_change(pod: Object, reason: str, message: str, nominated: str | None, now: str) -> Object:
    """What is to be changed of a pod's status so that it says why it waits; nothing, if it says so already.

    `nominated` None leaves the nominated node as it is, "" takes it away.
    """
    present = meta.condition(pod, "PodScheduled") or {}
    status: Object = {}
    if (present.get("status"), present.get("reason"), present.get("message")) != ("False", reason, message):
        since = present.get("lastTransitionTime") if present.get("status") == "False" else None
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": reason,
                "message": message,
                "lastProbeTime": None,
                "lastTransitionTime": since or now,
                "observedGeneration": pod["metadata"].get("generation"),
            }
        ]
        if status["conditions"][0]["observedGeneration"] is None:
            del status["conditions"][0]["observedGeneration"]
    before = (pod.get("status") or meta.EMPTY).get("nominatedNodeName") or ""
    if nominated is not None and nominated != before:
        status["nominatedNodeName"] = nominated or None
    return status


async def patch_status(client: Client, pod: PodInfo, status: Object) -> Object | None:
    """Write it, if the pod is still there and on no node; a pod that cannot be told is none the worse for it.

    Another scheduler may have bound it meanwhile, or a binding of our own may have had no answer: then it holds no more.
    Gives the pod as it was written.
    """
    version = pod.pod["metadata"].get("resourceVersion")
    try:
        for _ in range(PATCH_ATTEMPTS):
            patch = {"metadata": {"uid": pod.uid, "resourceVersion": version}, "status": status}
            try:
                return await client.patch("pods", pod.name, patch, pod.namespace, patch_type="strategic", subresource="status")
            except StatusError as error:
                if not error.is_conflict:
                    raise
            present = await client.get("pods", pod.name, pod.namespace)
            if meta.uid(present) != pod.uid or present["spec"].get("nodeName"):
                return None
            version = present["metadata"]["resourceVersion"]
    except StatusError as error:
        if not error.is_not_found:
            logger.info("cannot write the status of %s: %s", pod.key, error.message)
    except OSError as error:
        logger.debug("cannot write the status of %s: %s", pod.key, error)
    return None


async def report(client: Client, pod: PodInfo, reason: str, message: str, nominated: str | None = None) -> None:
    status = status_change(pod.pod, reason, message, nominated, clock.timestamp())
    if status:
        await patch_status(client, pod, status)

"""Writes pod statuses to the API: at once, only what changed, each pod's one after the other.

While the API server is away the newest status waits and is sent when it is back.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.kubelet import status as statuses

logger = logging.getLogger(__name__)

PARALLEL_WRITES = 8
RETRY_INITIAL_SECONDS = 0.2
RETRY_MAX_SECONDS = 10.0
SENSELESS = (400, 422)
"""Answers to a status that will never be taken. Who is not allowed to write it now may be later."""


@dataclass(slots=True)
class _Entry:
    pod: Object
    """As the API has it, as far as known: from the informer or the answer to the last write."""
    wanted: Object
    writing: bool = False


class StatusWriter:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._entries: dict[str, _Entry] = {}
        self._tasks = Tasks("status")
        self._slots = asyncio.Semaphore(PARALLEL_WRITES)
        self._settled: dict[str, asyncio.Event] = {}

    def set(self, pod: Object, status: Object) -> None:
        """Make `status` the pod's; returns at once. `pod` is as the informer has it."""
        uid = pod["metadata"]["uid"]
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(pod, status)
        entry.wanted = status
        self._take(entry, pod)

    def observe(self, pod: Object) -> None:
        """The API's pod has changed. Where somebody else wrote what is the kubelet's to say, it is said again."""
        entry = self._entries.get(pod["metadata"]["uid"])
        if entry is not None:
            self._take(entry, pod)

    def _take(self, entry: _Entry, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if meta.resource_version(pod) >= meta.resource_version(entry.pod):
            entry.pod = pod
        if not entry.writing and self._patch(entry) is not None:
            entry.writing = True
            self._settled[uid] = asyncio.Event()
            self._tasks.start(self._write(uid, entry), name=uid)

    async def flush(self, uid: str) -> None:
        """Until this pod's status is written or cannot be."""
        settled = self._settled.get(uid)
        if settled is not None:
            await settled.wait()

    def latest(self, pod: Object) -> Object:
        """The newest form of the pod that is known here, with the wanted status."""
        entry = self._entries.get(pod["metadata"]["uid"])
        if entry is None:
            return pod
        newest = pod if meta.resource_version(pod) >= meta.resource_version(entry.pod) else entry.pod
        return {**newest, "status": _merged(newest.get("status") or {}, entry.wanted)}

    def forget(self, uid: str) -> None:
        self._entries.pop(uid, None)

    async def stop(self) -> None:
        await self._tasks.stop()

    def _patch(self, entry: _Entry) -> Object | None:
        return statuses.patch(entry.pod.get("status") or {}, entry.wanted, entry.pod["metadata"]["uid"])

    async def _write(self, uid: str, entry: _Entry) -> None:
        delay = RETRY_INITIAL_SECONDS
        try:
            while self._entries.get(uid) is entry and (patch := self._patch(entry)) is not None:
                metadata = entry.pod["metadata"]
                try:
                    async with self._slots:
                        answer = await self._client.patch(
                            "pods",
                            metadata["name"],
                            patch,
                            metadata["namespace"],
                            patch_type="strategic",
                            subresource="status",
                        )
                    if meta.resource_version(answer) > meta.resource_version(entry.pod):
                        entry.pod = answer
                    elif patch == self._patch(entry):
                        # The server took it and nothing changed: it sees it differently, and will not be asked for ever.
                        return
                    delay = RETRY_INITIAL_SECONDS
                except StatusError as error:
                    if error.code in (404, 409):
                        # Gone, or another pod of that name by now.
                        return
                    logger.warning("cannot write the status of pod %s: %s", meta.key(entry.pod), error.message)
                    if error.code in SENSELESS:
                        return
                except OSError as error:
                    logger.debug("cannot write the status of pod %s: %s", meta.key(entry.pod), error)
                else:
                    continue
                await clock.sleep(clock.jitter(delay, 0.2))
                delay = min(delay * 2, RETRY_MAX_SECONDS)
        finally:
            entry.writing = False
            self._settled.pop(uid, asyncio.Event()).set()


def _merged(api: Object, wanted: Object) -> Object:
    """The kubelet's own status, with conditions of others from the API."""
    own = {condition["type"] for condition in wanted.get("conditions") or ()}
    others = [condition for condition in api.get("conditions") or () if condition["type"] not in own]
    return {**api, **wanted, "conditions": [*others, *(wanted.get("conditions") or ())]}

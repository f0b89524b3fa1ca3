"""Who in the runtime changed: tells pod workers when a container or sandbox of theirs came, ended or went.

Where the runtime tells of events itself, those are followed and everything is listed only now and then in case one was
missed; else it is listed every second. A worker that acted reports what it saw, so that its own deeds do not wake it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIError, RuntimeService
from navarch.kubelet.runtime_pod import POD_NAME, POD_NAMESPACE, POD_UID, RuntimePod

logger = logging.getLogger(__name__)

# The runtime says a container has ended a moment before it lists it so.
SETTLE_DELAYS_SECONDS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
UNHEALTHY_AFTER_SECONDS = 180.0
EVENTS_RETRY_SECONDS = 1.0
EVENTS_TRUSTED_AFTER_SECONDS = 3.0
EVENTS_UNIMPLEMENTED_RETRY_SECONDS = 60.0

Facts = dict[str, int]
"""Container or sandbox id -> state."""
_SANDBOX_STATES_FROM = 10
_GONE = -1
_ENDED = frozenset({_GONE, int(pb.CONTAINER_EXITED), _SANDBOX_STATES_FROM + int(pb.SANDBOX_NOTREADY)})


def facts_of(sandboxes: Iterable[pb.PodSandbox], containers: Iterable[pb.Container]) -> dict[str, Facts]:
    """By pod uid. Pure."""
    found: dict[str, Facts] = {}
    for sandbox in sandboxes:
        found.setdefault(sandbox.labels.get(POD_UID, ""), {})[sandbox.id] = _SANDBOX_STATES_FROM + int(sandbox.state)
    for container in containers:
        found.setdefault(container.labels.get(POD_UID, ""), {})[container.id] = int(container.state)
    found.pop("", None)
    return found


def changed(old: Mapping[str, Facts], new: Mapping[str, Facts]) -> set[str]:
    """Uids of the pods that differ. Pure."""
    return {uid for uid in old.keys() | new.keys() if old.get(uid) != new.get(uid)}


class Pleg:
    """Pod lifecycle event generator."""

    def __init__(
        self,
        runtime: RuntimeService,
        notify: Callable[[str], None],
        *,
        relist_seconds: float,
        relist_with_events_seconds: float,
    ) -> None:
        """`notify` is called with the uid of each pod that changed."""
        self._runtime = runtime
        self._notify = notify
        self._relist_seconds = relist_seconds
        self._relist_with_events_seconds = relist_with_events_seconds
        self._known: dict[str, Facts] = {}
        self._owners: dict[str, str] = {}
        self.pods: dict[str, RuntimePod] = {}
        """Names of the pods of which something was listed; no more is filled in."""
        self._following_since: float | None = None
        self._look = asyncio.Event()
        self._relisted: float | None = None
        self._listed = asyncio.Event()
        self._settling = Tasks("pleg")

    async def run(self) -> None:
        """List and follow until cancelled."""
        tasks = Tasks("pleg")
        tasks.run_forever(self._follow, name="events")
        failing = False
        try:
            while True:
                self._look.clear()
                try:
                    await self.relist()
                    failing = False
                except CRIError as error:
                    if not failing:
                        logger.warning("cannot list what the runtime runs: %s", error.rpc_text)
                    failing = True
                try:
                    async with asyncio.timeout(self._relist_delay(failing)):
                        await self._look.wait()
                except TimeoutError:
                    continue
        finally:
            await tasks.stop()
            await self._settling.stop()

    def _relist_delay(self, failing: bool) -> float:
        """Events are trusted once their stream has stood for a moment: a refusal comes at once."""
        since = self._following_since
        if failing or since is None:
            return self._relist_seconds
        if clock.monotonic() - since < EVENTS_TRUSTED_AFTER_SECONDS:
            return min(self._relist_seconds, self._relist_with_events_seconds)
        return self._relist_with_events_seconds

    async def relist(self) -> None:
        """Look at everything once. Raises CRIError."""
        sandboxes, containers = await asyncio.gather(self._runtime.list_pod_sandboxes(), self._runtime.list_containers())
        fresh = facts_of(sandboxes, containers)
        names: dict[str, RuntimePod] = {}
        for labels in [*(sandbox.labels for sandbox in sandboxes), *(container.labels for container in containers)]:
            uid = labels.get(POD_UID, "")
            if uid and uid not in names:
                names[uid] = RuntimePod(uid, labels.get(POD_NAME, ""), labels.get(POD_NAMESPACE, ""))
        self.pods = names
        different = changed(self._known, fresh)
        self._known = fresh
        self._owners = {identity: uid for uid, facts in fresh.items() for identity in facts}
        self._relisted = clock.monotonic()
        self._listed.set()
        for uid in different:
            self._notify(uid)

    def saw(self, uid: str, sandboxes: Iterable[pb.PodSandbox], containers: Iterable[pb.Container]) -> None:
        """A worker has just looked at this pod itself."""
        facts = facts_of(sandboxes, containers).get(uid)
        for identity in self._known.get(uid, ()):
            self._owners.pop(identity, None)
        if facts is None:
            self._known.pop(uid, None)
            return
        self._known[uid] = facts
        for identity in facts:
            self._owners[identity] = uid

    async def wait_listed(self) -> None:
        """Until everything has been listed once."""
        await self._listed.wait()

    def unhealthy(self) -> str:
        """ "" or what is wrong, as the node's Ready condition says it."""
        if self._relisted is None:
            return "PLEG is not healthy: pleg has yet to be successful"
        elapsed = clock.monotonic() - self._relisted
        if elapsed > UNHEALTHY_AFTER_SECONDS:
            return f"PLEG is not healthy: pleg was last seen active {int(elapsed)}s ago; threshold is 3m0s"
        return ""

    async def _follow(self) -> None:
        delay = EVENTS_RETRY_SECONDS
        self._following_since = clock.monotonic()
        try:
            async for container_id in self._runtime.container_events():
                self._settling.start(self._settle(container_id), name=container_id[:12])
        except CRIError as error:
            if error.is_unimplemented:
                # This runtime has to be asked, until it is another one.
                delay = EVENTS_UNIMPLEMENTED_RETRY_SECONDS
            logger.debug("the runtime's events broke off: %s", error.rpc_text)
        finally:
            self._following_since = None
        # Something may have been missed.
        self._look.set()
        await clock.sleep(delay)

    async def _settle(self, identity: str) -> None:
        """Wait until the runtime also lists the end it told of, then notify, unless the worker saw it first."""
        uid = ""
        for delay in SETTLE_DELAYS_SECONDS:
            if delay:
                await clock.sleep(delay)
            uid = self._owners.get(identity, uid)
            if not uid:
                # Made and ended before anybody looked.
                await self._relist_quietly()
                continue
            state = await self._state(uid, identity)
            if state in _ENDED:
                if self._known.get(uid, {}).get(identity, _GONE) != state:
                    self._notify(uid)
                return
        if uid:
            self._notify(uid)

    async def _state(self, uid: str, identity: str) -> int | None:
        """What the runtime lists of one container or sandbox now; None if it does not, or does not answer."""
        labels = {POD_UID: uid}
        try:
            found = await asyncio.gather(self._runtime.list_pod_sandboxes(labels), self._runtime.list_containers(labels))
        except CRIError as error:
            logger.debug("cannot look at pod %s: %s", uid, error.rpc_text)
            return None
        return facts_of(*found).get(uid, {}).get(identity, _GONE)

    async def _relist_quietly(self) -> None:
        try:
            await self.relist()
        except CRIError as error:
            logger.debug("cannot list what the runtime runs: %s", error.rpc_text)

"""Leader election by Lease: of several instances of a component one works, the others wait (client-go's tools/leaderelection).

Rules: only the own monotonic clock counts; that another holder is alive is seen by its Lease changing, not by the times in it.
The holder renews every retry period, and stops working if it could not for the renew deadline. The others watch, and take over
when the Lease has not changed for its duration, which is longer, or when it is released. That only one works at a time is as
certain as that no clock runs two fifths faster than another.

The default duration is a second less than Kubernetes': what a dead leader had in hand is gone on with in 15 seconds, in which
the other one also has to notice it, to take over and to begin.

A process that was stopped for a while does not know it: what it was about to write it would write before it is told that it
leads no more. So what leaders write goes through `guard`, which looks at the clock first (client-go leaves that open).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.client.events import EventRecorder
from navarch.client.transport import JSON, Transport, WatchEvent
from navarch.component import clock, metrics

logger = logging.getLogger(__name__)

LEASES = "leases.coordination.k8s.io"
# A first retry comes after one to this many more retry periods.
JITTER = 1.2
RELEASE_TIMEOUT_SECONDS = 2.0

_STATUS = metrics.default.gauge(
    "leader_election_master_status",
    "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. 'name' is the "
    "string used to identify the lease. Please make sure to group by name.",
    "name",
)


class LeaseLostError(ConnectionError):
    """Somebody else may lead by now."""


@dataclass(frozen=True, kw_only=True)
class LeaderElectionConfig:
    """Which Lease is competed for, by whom, and how. Raises ValueError for times that do not fit together."""

    name: str
    identity: str
    """Different for every instance that ever competes."""
    namespace: str = "kube-system"
    lease_duration_seconds: float = 14.0
    renew_deadline_seconds: float = 10.0
    retry_period_seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.lease_duration_seconds <= self.renew_deadline_seconds:
            raise ValueError("leaseDuration must be greater than renewDeadline")
        if self.renew_deadline_seconds <= JITTER * self.retry_period_seconds:
            raise ValueError("renewDeadline must be greater than retryPeriod*JitterFactor")


class LeaderElector:
    """One instance's part in an election."""

    def __init__(self, client: Client, config: LeaderElectionConfig, recorder: EventRecorder | None = None) -> None:
        self._client = client
        self._config = config
        self._recorder = recorder
        self._lease: Object | None = None
        """As it was last seen."""
        self._seen_seconds = 0.0
        """When it was first seen as it is."""
        _STATUS.set(0, config.name)

    @property
    def leader(self) -> str:
        """Who holds the Lease, as far as is known."""
        return str(_spec(self._lease).get("holderIdentity") or "")

    @property
    def is_leader(self) -> bool:
        return self.leader == self._config.identity

    def guard(self, transport: Transport) -> Transport:
        """A transport for the work of the leader: what could come too late is not sent, and raises LeaseLostError."""
        return _Guarded(self, transport)

    @property
    def is_certain(self) -> bool:
        """Whether the Lease is held, and was renewed within the renew deadline: nobody else can have taken over."""
        return self.is_leader and clock.monotonic() < self._seen_seconds + self._config.renew_deadline_seconds

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Compete until cancelled. Whenever the Lease is held, `work` runs; it is cancelled when the Lease is lost.

        When cancelled, the Lease is given up after `work` has ended.
        """
        try:
            while True:
                await self._acquire()
                await self._lead(work)
        finally:
            if self.is_leader:
                await self._release()

    async def _lead(self, work: Callable[[], Awaitable[None]]) -> None:
        logger.info("%s: %s became leader", self._config.name, self._config.identity)
        self._note("became leader")
        _STATUS.set(1, self._config.name)
        working = asyncio.ensure_future(work())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (renewing, working):
                task.cancel()
            # It may have to clean up.
            await asyncio.wait((working, renewing))
            _STATUS.set(0, self._config.name)
            logger.info("%s: %s stopped leading", self._config.name, self._config.identity)
            self._note("stopped leading")
        if not working.cancelled() and working.exception() is not None:
            logger.error("%s: the work of the leader failed", self._config.name, exc_info=working.exception())
        if self.is_leader:
            # Somebody else may do better; we wait for our turn like everybody.
            await self._release()
            await clock.sleep(clock.jitter(self._config.retry_period_seconds, JITTER))

    async def _acquire(self) -> None:
        """Wait until the Lease is ours."""
        while not await self._try():
            await self._changed()

    async def _changed(self) -> None:
        """Wait until it is worth while to try again: the Lease has changed, or is not renewed in time."""
        retry_seconds = clock.jitter(self._config.retry_period_seconds, JITTER)
        left_seconds = self._seen_seconds + _duration(self._lease) - clock.monotonic()
        if self._lease is None or not self.leader or left_seconds <= 0:
            await clock.sleep(retry_seconds)
            return
        try:
            async with asyncio.timeout(left_seconds), aclosing(self._watch(self._lease)) as events:
                async for event in events:
                    if event.type != "BOOKMARK":
                        self._see(None if event.type == "DELETED" else event.object)
                        return
        except TimeoutError:
            return
        except (StatusError, OSError) as error:
            logger.debug("%s: watching the lease: %s", self._config.name, error)
        # The watch has ended by itself, or never stood.
        await clock.sleep(min(retry_seconds, left_seconds))

    def _watch(self, lease: Object) -> Any:
        metadata = lease["metadata"]
        return self._client.watch(
            LEASES,
            self._config.namespace,
            field_selector=f"metadata.name={self._config.name}",
            resourceVersion=metadata["resourceVersion"],
        )

    async def _renew(self) -> None:
        """Renew until that was not possible for too long, or somebody else holds the Lease."""
        config = self._config
        renewed = self._seen_seconds
        while True:
            await clock.sleep(config.retry_period_seconds)
            with suppress(TimeoutError):
                async with asyncio.timeout(renewed + config.renew_deadline_seconds - clock.monotonic()):
                    if await self._try():
                        renewed = self._seen_seconds
            if not self.is_leader:
                logger.warning("%s: the lease is held by %s", config.name, self.leader or "nobody")
                return
            if clock.monotonic() >= renewed + config.renew_deadline_seconds:
                logger.warning("%s: the lease could not be renewed in time", config.name)
                # Whoever takes over may already do so: it is not ours to give back.
                self._lease = None
                return

    async def _try(self) -> bool:
        """Acquire or renew the Lease; whether it is held now."""
        try:
            try:
                return await self._try_or_fail()
            except StatusError as error:
                if not (error.is_conflict or error.is_already_exists):
                    raise
                # Somebody was faster: from now on counts whether they renew it.
                self._see(await self._client.get(LEASES, self._config.name, self._config.namespace))
                return False
        except (StatusError, OSError) as error:
            logger.warning("%s: the lease was not acquired: %s", self._config.name, error)
            return False

    async def _try_or_fail(self) -> bool:
        config = self._config
        started = clock.monotonic()
        if self.is_leader and started < self._seen_seconds + config.lease_duration_seconds:
            assert self._lease is not None
            try:
                await self._write(self._lease, started)
                return True
            except StatusError as error:
                if not (error.is_conflict or error.is_not_found):
                    raise
        try:
            found = await self._client.get(LEASES, config.name, config.namespace)
        except StatusError as error:
            if not error.is_not_found:
                raise
            metadata = {"name": config.name, "namespace": config.namespace}
            await self._write({"metadata": metadata}, started)
            return True
        self._see(found)
        if self.leader and not self.is_leader and clock.monotonic() < self._seen_seconds + _duration(found):
            return False
        await self._write(found, started)
        return True

    async def _write(self, lease: Object, started: float) -> None:
        """Make the Lease ours, in the place of `lease`. Raises StatusError, Conflict if that is not what there is."""
        before, now = _spec(lease), clock.micro_timestamp()
        is_renewal = before.get("holderIdentity") == self._config.identity
        is_new = "resourceVersion" not in lease["metadata"]
        spec = {
            "holderIdentity": self._config.identity,
            "leaseDurationSeconds": max(1, int(self._config.lease_duration_seconds)),
            "acquireTime": before["acquireTime"] if is_renewal else now,
            "renewTime": now,
            "leaseTransitions": before.get("leaseTransitions", 0) + (0 if is_renewal or is_new else 1),
        }
        wanted = {**lease, "spec": spec}
        if is_new:
            written = await self._client.create(LEASES, wanted)
        else:
            written = await self._client.update(LEASES, wanted)
        self._lease, self._seen_seconds = written, started

    async def _release(self) -> None:
        """Give the Lease up, so that others need not wait for its end."""
        config, now = self._config, clock.micro_timestamp()
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_SECONDS):
                # A renewal may have been broken off after it was done.
                found = await self._client.get(LEASES, config.name, config.namespace)
                if _spec(found).get("holderIdentity") == config.identity:
                    spec = {
                        **_spec(found),
                        "holderIdentity": "",
                        "leaseDurationSeconds": 1,
                        "renewTime": now,
                        "acquireTime": now,
                    }
                    await self._client.update(LEASES, {**found, "spec": spec})
        except (StatusError, OSError) as error:
            logger.warning("%s: the lease was not released and will expire: %r", config.name, error)
        self._lease = None

    def _see(self, lease: Object | None) -> None:
        if lease is None or self._lease is None or _spec(lease) != _spec(self._lease):
            self._seen_seconds = clock.monotonic()
        self._lease = lease

    def _note(self, what: str) -> None:
        if self._recorder is not None and self._lease is not None:
            subject = {**self._lease, "kind": "Lease", "apiVersion": "coordination.k8s.io/v1"}
            self._recorder.event(subject, "Normal", "LeaderElection", f"{self._config.identity} {what}")


class _Guarded(Transport):
    """Reads at any time, writes while it is certain who leads."""

    def __init__(self, elector: LeaderElector, transport: Transport) -> None:
        self._elector = elector
        self._transport = transport

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = JSON
    ) -> Object:
        if method != "GET" and not self._elector.is_certain:
            raise LeaseLostError("the lease was not renewed in time: nothing is written any more")
        return await self._transport.request(method, path, query=query, body=body, content_type=content_type)

    def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
        return self._transport.watch(path, query)

    async def close(self) -> None:
        await self._transport.close()


def _spec(lease: Object | None) -> Object:
    found: Object = (lease or {}).get("spec") or {}
    return found


def _duration(lease: Object | None) -> float:
    return float(_spec(lease).get("leaseDurationSeconds") or 0)

"""The controllers of a cluster, and the one that starts and stops them together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from navarch.api import registry
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.component.tasks import Tasks
from navarch.controllers import (
    bootstrap,
    certificates,
    clusterdns,
    cronjob,
    daemonset,
    deployment,
    disruption,
    endpoints,
    endpointslice,
    endpointslicemirroring,
    flowcontrol,
    job,
    legacytokencleaner,
    namespace,
    nodeipam,
    nodelifecycle,
    nodettl,
    podgc,
    replicaset,
    replicationcontroller,
    resourceclaim,
    resourcequota,
    rootca,
    serviceaccount,
    serviceaccounttokens,
    servicecidr,
    statefulset,
    storageprotection,
    tainteviction,
    ttlafterfinished,
    validatingadmissionpolicystatus,
)
from navarch.controllers.config import ControllerConfig
from navarch.controllers.controller import Controller, Runner
from navarch.controllers.garbagecollector import GarbageCollector


def controllers(config: ControllerConfig) -> tuple[Controller, ...]:
    """Every controller that works key by key; those that a first pod waits for come first."""
    return (
        bootstrap.NAMESPACES,
        bootstrap.PRIORITIES,
        serviceaccount.CONTROLLER,
        rootca.controller(config),
        nodeipam.controller(config),
        clusterdns.controller(config),
        replicaset.CONTROLLER,
        replicationcontroller.CONTROLLER,
        deployment.CONTROLLER,
        daemonset.CONTROLLER,
        statefulset.CONTROLLER,
        job.CONTROLLER,
        job.ORPHANS,
        cronjob.CONTROLLER,
        ttlafterfinished.CONTROLLER,
        disruption.CONTROLLER,
        disruption.STALE_CONDITIONS,
        endpointslice.CONTROLLER,
        endpoints.CONTROLLER,
        endpointslicemirroring.CONTROLLER,
        servicecidr.CONTROLLER,
        flowcontrol.PRIORITY_LEVELS,
        flowcontrol.FLOW_SCHEMAS,
        *certificates.controllers(config),
        *serviceaccounttokens.controllers(config),
        legacytokencleaner.controller(config),
        nodelifecycle.controller(config),
        nodettl.controller(),
        tainteviction.controller(),
        podgc.controller(config),
        resourceclaim.PODS_CONTROLLER,
        resourceclaim.CLAIMS_CONTROLLER,
        resourcequota.controller(),
        storageprotection.CLAIM_PROTECTION,
        storageprotection.VOLUME_PROTECTION,
        storageprotection.CLASS_PROTECTION,
        validatingadmissionpolicystatus.CONTROLLER,
        namespace.CONTROLLER,
    )


class Runnable(Protocol):
    """Something that is started, and stopped by its owner."""

    name: str

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class ControllerManager:
    """Runs all controllers in this process."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        config: ControllerConfig,
        adjust: Callable[[Controller], Controller | None] = lambda controller: controller,
    ) -> None:
        """`adjust` makes of each controller what is run; None: it is left out."""
        # Of kinds that this cluster does not serve there is nothing to look after.
        served = {kind.resource for kind in registry.kinds()}
        adjusted = [adjust(controller) for controller in controllers(config) if controller.resource in served]
        wanted = [controller for controller in adjusted if controller is not None]
        runners = [Runner(controller, client, informers) for controller in wanted]
        self._running: Sequence[Runnable] = [*runners, GarbageCollector(client, informers)]
        self._tasks = Tasks("controllers")
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Start every controller and go on until `stop`."""
        # Each waits only for its own caches: a kind that cannot be listed holds up nobody else.
        for runnable in self._running:
            self._tasks.start(runnable.start(), name=runnable.name)
        await self._stopped.wait()

    async def stop(self) -> None:
        self._stopped.set()
        await self._tasks.stop()
        await asyncio.gather(*(runnable.stop() for runnable in self._running))

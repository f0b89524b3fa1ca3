"""Whether somebody answers for an APIService: its condition Available, by its Service, the endpoints, and a look at discovery.

Looked at whenever one of these changes, and every half minute since a network may fail without anything changing
(kube-aggregator/pkg/controllers/status).
"""

from __future__ import annotations

import asyncio
import logging

from navarch.api import registry
from navarch.api.apiregistration import apiservice
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.aggregation import proxying, services
from navarch.apiserver.aggregation.proxying import Aggregator
from navarch.apiserver.aggregation.services import KIND, SERVICE_LABEL, SLICES, Remote, UnresolvedError
from navarch.apiserver.resources import Resources
from navarch.client.workqueue import WorkQueue
from navarch.component import clock
from navarch.component.httpclient import HTTPClient
from navarch.component.metrics import Registry
from navarch.component.tasks import Tasks
from navarch.storage.backend import StorageError
from navarch.storage.changes import Change
from navarch.storage.mvcc import ConflictError

logger = logging.getLogger(__name__)

RESYNC_SECONDS = 30.0
ATTEMPTS = 5
WORKERS = 4
PROBE_TIMEOUT_SECONDS = 5.0
PROBE_LIMIT_BYTES = 8 * 1024 * 1024
_LOCAL = ("True", "Local", "Local APIServices are always available")
_PASSED = ("True", "Passed", "all checks passed")

Finding = tuple[str, str, str]
"""Status, reason and message of the condition."""


class Availability:
    """Keeps the conditions of all APIServices."""

    def __init__(self, resources: Resources, aggregator: Aggregator, metrics: Registry) -> None:
        self._resources = resources
        self._store = resources.store
        self._aggregator = aggregator
        self._queue = WorkQueue("RemoteAvailabilityController")
        self._tasks = Tasks("availability")
        self._unavailable = metrics.gauge(
            "aggregator_unavailable_apiservice",
            "Gauge of APIServices which are marked as unavailable broken down by APIService name.",
            "name",
        )

    def start(self) -> None:
        """Look at all that is there, and at whatever changes."""
        prefix = KIND.key_prefix
        for record in self._store.collection(prefix).range(prefix):
            self._look_at(record.object())
        for resource, changed in (
            (KIND.resource, self._service_changed),
            ("services", self._backend_changed),
            (SLICES, self._slice_changed),
        ):
            prefix = registry.resource(resource).key_prefix
            self._store.watch(prefix, prefix, self._store.revision, changed)
        for number in range(WORKERS):
            self._tasks.run_forever(self._work, name=f"availability-{number}")

    async def stop(self) -> None:
        self._queue.close()
        await self._tasks.stop()

    def _look_at(self, obj: Object) -> None:
        if obj["spec"].get("service") is not None or not meta.is_condition_true(obj, apiservice.AVAILABLE):
            self._queue.add(meta.name(obj))

    def _service_changed(self, changes: list[Change]) -> None:
        for change in changes:
            if change.deleted:
                # What bears the name next has not failed yet.
                self._queue.forget(meta.name(change.object))
                self._unavailable.values.pop((meta.name(change.object),), None)
            elif change.previous is None or change.previous.object()["spec"] != change.object["spec"]:
                self._queue.add(meta.name(change.object))

    def _backend_changed(self, changes: list[Change]) -> None:
        for change in changes:
            self._behind(meta.namespace(change.object), meta.name(change.object))

    def _slice_changed(self, changes: list[Change]) -> None:
        for change in changes:
            self._behind(meta.namespace(change.object), meta.labels(change.object).get(SERVICE_LABEL, ""))

    def _behind(self, namespace: str, service: str) -> None:
        for remote in self._aggregator.remotes:
            if (remote.namespace, remote.service) == (namespace, service):
                self._queue.add(remote.name)

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            try:
                after_seconds = await self._check(name)
            except (StatusError, StorageError, ConflictError) as error:
                logger.info("%s: %s", name, error)
                self._queue.add_rate_limited(name)
            except Exception:
                logger.exception("%s: whether it is available could not be found out", name)
                self._queue.add_rate_limited(name)
            else:
                if after_seconds:
                    self._queue.forget(name)
                    self._queue.add_after(name, after_seconds)
                elif after_seconds is None:
                    self._queue.forget(name)
                else:
                    self._queue.add_rate_limited(name)
            finally:
                self._queue.done(name)

    async def _check(self, name: str) -> float | None:
        """After how many seconds to look again: 0: soon, after a back-off; None: not before something changes."""
        key = KIND.key("", name)
        base = self._store.latest(KIND.key_prefix, key)
        if base is None:
            return None
        obj = base.object()
        remote = Remote.of(obj)
        found = _LOCAL if remote is None else await self._found(remote)
        self._unavailable.set(float(found[0] != "True"), name)
        # What was found out is about what was looked at: whatever is there now may be something else.
        if self._store.latest(KIND.key_prefix, key) is not base:
            return 0.0
        await self._tell(obj, found)
        if remote is None:
            return None
        return RESYNC_SECONDS if found[1] != "FailedDiscoveryCheck" else 0.0

    async def _tell(self, obj: Object, found: Finding) -> None:
        status, reason, message = found
        before = meta.condition(obj, apiservice.AVAILABLE) or {}
        if (before.get("status"), before.get("reason"), before.get("message")) == found:
            return
        since = clock.timestamp() if before.get("status") != status else before.get("lastTransitionTime", clock.timestamp())
        condition = {
            "type": apiservice.AVAILABLE,
            "status": status,
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        }
        conditions = (obj.get("status") or {}).get("conditions") or ()
        others = [each for each in conditions if each["type"] != apiservice.AVAILABLE]
        told = {
            **obj,
            "metadata": dict(obj["metadata"]),
            "status": {**(obj.get("status") or {}), "conditions": [*others, condition]},
        }
        base = self._store.latest(KIND.key_prefix, KIND.key("", meta.name(obj)))
        if base is not None:
            await self._resources.put(KIND, base.key, told, base)

    async def _found(self, remote: Remote) -> Finding:
        """What is to be said of one."""
        problem = self._backend_problem(remote)
        if problem is not None:
            return problem
        probes = [asyncio.ensure_future(self._probe(remote)) for _ in range(ATTEMPTS)]
        last = ""
        try:
            for probe in asyncio.as_completed(probes):
                last = await probe
                if not last:
                    return _PASSED
        finally:
            for task in probes:
                task.cancel()
            await asyncio.gather(*probes, return_exceptions=True)
        return "False", "FailedDiscoveryCheck", last

    def _backend_problem(self, remote: Remote) -> Finding | None:
        """What is wrong with the Service, as far as the store knows."""
        kind = registry.resource("services")
        record = self._store.get(kind.key_prefix, kind.key(remote.namespace, remote.service))
        where = f'service/{remote.service} in "{remote.namespace}"'
        if record is None:
            return "False", "ServiceNotFound", f"{where} is not present"
        service = record.object()
        if service["spec"].get("type", "ClusterIP") != "ClusterIP":
            return None
        port = services.service_port(service, remote.port)
        if port is None:
            return "False", "ServicePortError", f"{where} is not listening on port {remote.port}"
        slices = services.slices(self._store, remote.namespace, remote.service)
        if not slices:
            return "False", "EndpointsNotFound", f"cannot find endpointslices for {where}"
        name = port.get("name") or ""
        if not services.addresses(slices, name):
            text = f'endpointslices for {where} have no addresses with port name "{name}"'
            return "False", "MissingEndpoints", text
        return None

    async def _probe(self, remote: Remote) -> str:
        """What is wrong with the answer to a question for discovery, or ""."""
        url = remote.path
        try:
            client = self._aggregator.client(remote, is_insecure=True)
            shown = f"[{client.host}]" if ":" in client.host else client.host
            url = f"https://{shown}:{client.port}{remote.path}"
            try:
                answer = await client.request(
                    "GET",
                    remote.path,
                    headers=proxying.identity(proxying.AGGREGATOR),
                    timeout_seconds=PROBE_TIMEOUT_SECONDS,
                    limit_bytes=PROBE_LIMIT_BYTES,
                )
            except OSError as error:
                return f'failing or missing response from {url}: Get "{url}": {_said(client, error)}'
            finally:
                client.close()
        except (ValueError, UnresolvedError) as error:
            return str(error)
        if not 200 <= answer.status < 300:
            return f"failing or missing response from {url}: bad status from {url}: {answer.status}"
        return ""


def _said(client: HTTPClient, error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "context deadline exceeded"
    return proxying.reason(client, error)

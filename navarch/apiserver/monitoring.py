"""What an API server counts about its requests, under kube-apiserver's names (k8s.io/apiserver/pkg/endpoints/metrics).

Labels come from what is served, never from what a client makes up: a path or a resource that does not exist is counted without
its name.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping

from navarch import __version__
from navarch.api.kind import Kind
from navarch.apiserver.inflight import InFlight
from navarch.apiserver.requestinfo import RequestInfo
from navarch.component.metrics import Distribution, Histogram, Labels, Registry
from navarch.storage.store import Store

DURATION_BUCKETS_SECONDS = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5),
    *(2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60),
)
SIZE_BUCKETS_BYTES = tuple(10.0**power for power in range(3, 10))
COMPONENT = "apiserver"
COUNTED_TOGETHER = 128
CONNECTING = frozenset({"exec", "attach", "portforward", "proxy"})
_REQUEST_LABELS = ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component")
_VERBS = {"HEAD": "GET"}
_LONG_RUNNING = ("WATCH", "CONNECT")
# The smallest of the others are one here.
_FINER = 2
SLI_BUCKETS_SECONDS = DURATION_BUCKETS_SECONDS[_FINER:]


class _Waits:
    """What of the requests' durations was not the server's own: it is so little that it is kept as a correction."""

    def __init__(self, durations: Histogram) -> None:
        self._durations = durations
        self._moved: dict[Labels, list[int]] = {}
        self._seconds: dict[Labels, float] = {}

    def add(self, labels: Labels, seconds: float, waited_seconds: float) -> None:
        """Of a request that took `seconds`."""
        moved = self._moved.setdefault(labels, [0] * (len(SLI_BUCKETS_SECONDS) + 1))
        moved[bisect_left(SLI_BUCKETS_SECONDS, seconds)] -= 1
        moved[bisect_left(SLI_BUCKETS_SECONDS, seconds - waited_seconds)] += 1
        self._seconds[labels] = self._seconds.get(labels, 0.0) + waited_seconds

    def without(self) -> dict[Labels, Distribution]:
        """How the durations are distributed without them."""
        found: dict[Labels, Distribution] = {}
        for labels, (counts, seconds) in self._durations.distributions().items():
            coarse = [sum(counts[: _FINER + 1]), *counts[_FINER + 1 :]]
            moved = self._moved.get(labels)
            shown = coarse if moved is None else [count + change for count, change in zip(coarse, moved, strict=True)]
            found[labels] = (shown, seconds - self._seconds.get(labels, 0.0))
        return found


class RequestMetrics:
    """The counters of one server."""

    def __init__(self, kinds: Collection[Kind], store: Store, version: Mapping[str, str], in_flight: InFlight) -> None:
        self.registry = registry = Registry(self._count_all)
        self._store = store
        self.serve(kinds)
        self._requests = registry.counter(
            "apiserver_request_total",
            "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, "
            "component, and HTTP response code.",
            *_REQUEST_LABELS,
            "code",
        )
        self._durations = registry.histogram(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, "
            "scope and component.",
            *_REQUEST_LABELS,
            buckets=DURATION_BUCKETS_SECONDS,
        )
        self._sizes = registry.histogram(
            "apiserver_response_sizes",
            "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
            *_REQUEST_LABELS,
            buckets=SIZE_BUCKETS_BYTES,
        )
        self._waits = _Waits(self._durations)
        registry.histogram(
            "apiserver_request_sli_duration_seconds",
            "Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in seconds "
            "for each verb, group, version, resource, subresource, scope and component.",
            *_REQUEST_LABELS,
            buckets=SLI_BUCKETS_SECONDS,
            collect=self._waits.without,
        )
        registry.gauge(
            "apiserver_requested_deprecated_apis",
            "Gauge of deprecated APIs that have been requested, broken out by API group, version, resource, subresource, and "
            "removed_release.",
            *("group", "version", "resource", "subresource", "removed_release"),
            collect=self._deprecated,
        )
        self._uncounted: list[tuple[Labels, int, float, int | None]] = []
        self.in_flight = in_flight
        registry.gauge(
            "apiserver_current_inflight_requests",
            "Currently used inflight request limit of this apiserver per request kind.",
            "request_kind",
            collect=lambda: {(kind,): float(count) for kind, count in in_flight.counts.items()},
        )
        registry.gauge(
            "apiserver_longrunning_requests",
            "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and "
            "component. Not all requests are tracked this way.",
            *("verb", "group", "version", "resource", "component"),
            collect=self._watches,
        )
        registry.gauge(
            "apiserver_storage_objects",
            "Number of stored objects at the time of last check split by kind.",
            "resource",
            collect=lambda: self._objects(lambda kind: (kind.resource,)),
        )
        registry.gauge(
            "apiserver_resource_objects",
            "Number of stored objects at the time of last check split by kind.",
            *("group", "resource"),
            collect=lambda: self._objects(lambda kind: (kind.group, kind.plural)),
        )
        registry.gauge(
            "apiserver_storage_size_bytes",
            "Size of the storage database file physically allocated in bytes.",
            "storage_cluster_id",
            collect=lambda: {("etcd-0",): float(size)} if (size := store.size_bytes) else {},
        )
        names = {"gitVersion": "git_version", "major": "major", "minor": "minor", "platform": "platform"}
        build = registry.gauge("kubernetes_build_info", "The Kubernetes version that is spoken.", *names.values())
        build.set(1, *(version[name] for name in names))
        registry.gauge("navarch_build_info", "The version of navarch.", "version").set(1, __version__)

    def serve(self, kinds: Collection[Kind]) -> None:
        """Count requests of these kinds by their names from now on."""
        self._served = {(kind.group, kind.version, kind.plural) for kind in kinds}
        self._kinds = tuple(kinds)

    def observe(
        self,
        method: str,
        info: RequestInfo,
        code: int,
        seconds: float,
        size_bytes: int | None,
        *,
        dry_run: bool,
        apply: bool,
        waited_seconds: float = 0.0,
    ) -> None:
        """Count an answered request; `size_bytes` is None for one whose body is a stream."""
        labels = self._labels(method, info, code, dry_run=dry_run, apply=apply)
        self._count(labels, code, seconds, size_bytes)
        if waited_seconds and labels[0] not in _LONG_RUNNING:
            self._waits.add(labels, seconds, waited_seconds)

    def labels_of_get(self, info: RequestInfo) -> Labels:
        """For `observe_get`, of objects like the one that `info` names."""
        return self._labels("GET", info, 200, dry_run=False, apply=False)

    def observe_get(self, labels: Labels, seconds: float, size_bytes: int) -> None:
        """Count a GET of one object that was there."""
        self._count(labels, 200, seconds, size_bytes)

    def _count(self, labels: Labels, code: int, seconds: float, size_bytes: int | None) -> None:
        # Many together cost a fraction of one by one.
        self._uncounted.append((labels, code, seconds, size_bytes))
        if len(self._uncounted) >= COUNTED_TOGETHER:
            self._count_all()

    def _count_all(self) -> None:
        for labels, code, seconds, size_bytes in self._uncounted:
            self._requests.add(1, *labels, str(code))
            if labels[0] in _LONG_RUNNING:
                continue
            self._durations.observe(seconds, *labels)
            if size_bytes is not None and labels[0] in ("GET", "LIST"):
                self._sizes.observe(size_bytes, *labels)
        self._uncounted.clear()

    def _labels(self, method: str, info: RequestInfo, code: int, *, dry_run: bool, apply: bool) -> Labels:
        dry = "All" if dry_run else ""
        verb = _VERBS.get(method, method)
        if not info.is_resource:
            return (verb, dry, "", "", "", info.path if code < 400 else "", "", COMPONENT)
        if (info.group, info.version, info.resource) not in self._served:
            return (verb, dry, "", "", "", "", "", COMPONENT)
        if info.subresource in CONNECTING:
            verb = "CONNECT"
        elif info.verb in ("list", "watch", "deletecollection"):
            verb = info.verb.upper()
        elif apply:
            verb = "APPLY"
        scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
        subresource = info.subresource if code != 404 else ""
        return (verb, dry, info.group, info.version, info.resource, subresource, scope, COMPONENT)

    def _deprecated(self) -> dict[Labels, float]:
        deprecated = {(kind.group, kind.version, kind.plural) for kind in self._kinds if kind.deprecation}
        return {
            (*place, subresource, ""): 1.0
            for _, _, group, version, resource, subresource, *_ in self._requests.values
            if (place := (group, version, resource)) in deprecated
        }

    def _watches(self) -> dict[Labels, float]:
        found: dict[Labels, float] = {}
        for kind in self._kinds:
            count = len(self._store.collection(kind.key_prefix).watchers) if kind.stored_as is None else 0
            if count:
                found["WATCH", kind.group, kind.version, kind.plural, COMPONENT] = count
        return found

    def _objects(self, labels: Callable[[Kind], Labels]) -> dict[Labels, float]:
        return {
            labels(kind): float(len(self._store.collection(kind.key_prefix).records))
            for kind in self._kinds
            if kind.stored_as is None and "list" in kind.verbs
        }

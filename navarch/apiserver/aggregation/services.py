"""The APIServices whose group versions are served elsewhere, and where that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from navarch.api import registry
from navarch.api.apiregistration import apiservice
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.storage.changes import Change
from navarch.storage.store import Store

KIND = apiservice.KIND
SLICES = "endpointslices.discovery.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"
PORT = 443

Place = tuple[str, str]
"""(group, version)."""


@dataclass(frozen=True, slots=True)
class Remote:
    """One group version that is served elsewhere."""

    name: str
    group: str
    version: str
    group_priority: int
    version_priority: int
    namespace: str
    service: str
    port: int
    ca_bundle: str | None
    """PEM in base64."""
    is_insecure: bool
    is_available: bool

    @classmethod
    def of(cls, obj: Object) -> Remote | None:
        """None of an APIService that is served here."""
        spec = obj["spec"]
        service = spec.get("service")
        if service is None:
            return None
        return cls(
            meta.name(obj),
            spec.get("group") or "",
            spec.get("version") or "",
            spec.get("groupPriorityMinimum") or 0,
            spec.get("versionPriority") or 0,
            service.get("namespace") or "",
            service.get("name") or "",
            service.get("port") or PORT,
            spec.get("caBundle") or None,
            bool(spec.get("insecureSkipTLSVerify")),
            meta.is_condition_true(obj, apiservice.AVAILABLE),
        )

    @property
    def path(self) -> str:
        """Where its discovery document is."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def server_name(self) -> str:
        """Whose certificate it shows."""
        return f"{self.service}.{self.namespace}.svc"


class APIServices:
    """Those in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: list[Callable[[], None]] = []
        self.remote: dict[Place, Remote] = {}

    def begin(self) -> None:
        """Know what is there, and follow it from now on."""
        prefix = KIND.key_prefix
        for record in self._store.collection(prefix).range(prefix):
            self._take(record.object())
        self._store.watch(prefix, prefix, self._store.revision, self._changed)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever something else is served elsewhere than before, or in another way."""
        self._listeners.append(listener)

    def find(self, path: str) -> Remote | None:
        """Who answers for a decoded path of a group version or something below it; None: this server."""
        parts = path.split("/", 4)
        if len(parts) >= 4 and parts[1] == "apis":
            return self.remote.get((parts[2], parts[3]))
        return self.remote.get(("", parts[2])) if len(parts) >= 3 and parts[1] == "api" else None

    def _take(self, obj: Object) -> None:
        found = Remote.of(obj)
        spec = obj["spec"]
        place = spec.get("group") or "", spec.get("version") or ""
        if found is not None:
            self.remote[place] = found
        else:
            self.remote.pop(place, None)

    def _changed(self, changes: list[Change]) -> None:
        before = dict(self.remote)
        for change in changes:
            if change.deleted:
                spec = change.object["spec"]
                self.remote.pop((spec.get("group") or "", spec.get("version") or ""), None)
            else:
                self._take(change.object)
        if self.remote != before:
            for listener in self._listeners:
                listener()


def slices(store: Store, namespace: str, service: str) -> list[Object]:
    """The EndpointSlices of a Service."""
    kind = registry.resource(SLICES)
    records = store.collection(kind.key_prefix).range(f"{kind.key_prefix}{namespace}/")
    found = (record.object() for record in records if service.encode() in record.data)
    return [obj for obj in found if meta.labels(obj).get(SERVICE_LABEL) == service]


def service_port(service: Object, number: int) -> Object | None:
    """The port of a Service that has a number."""
    return next((port for port in service["spec"].get("ports") or () if port["port"] == number), None)


def addresses(found: list[Object], port_name: str) -> list[tuple[str, int]]:
    """Where those endpoints are that are ready."""
    return [
        (address, port["port"])
        for each in found
        for port in each.get("ports") or ()
        if (port.get("name") or "") == port_name and port.get("port")
        for endpoint in each.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint.get("addresses", ())[:1]
    ]


class UnresolvedError(Exception):
    """Nobody is there behind a Service."""


def resolve(store: Store, remote: Remote) -> tuple[str, int]:
    """An endpoint of the Service. Raises UnresolvedError."""
    kind = registry.resource("services")
    record = store.get(kind.key_prefix, kind.key(remote.namespace, remote.service))
    if record is None:
        raise UnresolvedError(f'service "{remote.service}" not found')
    port = service_port(record.object(), remote.port)
    if port is None:
        raise UnresolvedError(f'no service port {remote.port} found for service "{remote.service}"')
    found = addresses(slices(store, remote.namespace, remote.service), port.get("name") or "")
    if not found:
        raise UnresolvedError(f'no endpoints available for service "{remote.service}"')
    return found[clock.random_below(len(found))]

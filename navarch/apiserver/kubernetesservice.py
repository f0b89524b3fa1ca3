"""The ``kubernetes`` Service in the default namespace: how pods find the API server. The server itself keeps it."""

from __future__ import annotations

from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.component import clock

NAME, NAMESPACE = "kubernetes", "default"
LABELS = {"component": "apiserver", "provider": "kubernetes"}
RECONCILE_SECONDS = 10.0


class KubernetesService:
    """Creates and mends the Service, its Endpoints and its EndpointSlice."""

    def __init__(self, client: Client, cluster_ip: str, address: str, port: int) -> None:
        self._client = client
        self._cluster_ip = cluster_ip
        self._address = address
        self._port = port

    async def run(self) -> None:
        """Keep them as they should be, until cancelled."""
        while True:
            await self.reconcile()
            await clock.sleep(RECONCILE_SECONDS)

    async def reconcile(self) -> None:
        """Make what is missing, mend what differs. Waits for the namespace that bootstrap makes."""
        await self._ensure("namespaces", {"metadata": {"name": NAMESPACE}}, ())
        await self._ensure("services", self._service(), ())
        await self._ensure("endpoints", self._endpoints(), ("subsets",))
        await self._ensure("endpointslices.discovery.k8s.io", self._slice(), ("endpoints", "ports"))

    async def _ensure(self, resource: str, wanted: Object, mended: tuple[str, ...]) -> None:
        metadata = wanted["metadata"]
        try:
            present = await self._client.get(resource, metadata["name"], metadata.get("namespace", ""))
        except StatusError as error:
            if not error.is_not_found:
                raise
            try:
                await self._client.create(resource, wanted)
            except StatusError as race:
                if not race.is_already_exists:
                    raise
            return
        if any(present.get(field) != wanted[field] for field in mended):
            await self._client.update(resource, {**present, **{field: wanted[field] for field in mended}})

    def _service(self) -> Object:
        return {
            "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": LABELS},
            "spec": {
                "clusterIP": self._cluster_ip,
                "type": "ClusterIP",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": self._port}],
            },
        }

    def _endpoints(self) -> Object:
        ports = [{"name": "https", "port": self._port, "protocol": "TCP"}]
        return {
            "metadata": {
                "name": NAME,
                "namespace": NAMESPACE,
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
            },
            "subsets": [{"addresses": [{"ip": self._address}], "ports": ports}],
        }

    def _slice(self) -> Object:
        return {
            "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [self._address], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": self._port, "protocol": "TCP"}],
        }

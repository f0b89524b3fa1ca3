"""The ``kubernetes`` Service in the default namespace, how pods find the API server, and the network it is in.

The server itself keeps them.
"""

from __future__ import annotations

import ipaddress
import logging

from navarch.api.networking import servicecidr
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.masterleases import MasterLeases
from navarch.client.client import Client
from navarch.client.events import EventRecorder
from navarch.component import clock
from navarch.storage.backend import StorageError

logger = logging.getLogger(__name__)

NAME, NAMESPACE = "kubernetes", "default"
LABELS = {"component": "apiserver", "provider": "kubernetes"}
RECONCILE_SECONDS = 10.0


class KubernetesService:
    """Creates and mends the Service, its Endpoints and its EndpointSlice; makes the default ServiceCIDR again if it went."""

    def __init__(
        self, client: Client, recorder: EventRecorder, cidr: str, address: str, port: int, leases: MasterLeases | None = None
    ) -> None:
        """`leases` tell of other servers beside this one; None: there are none."""
        self._client = client
        self._recorder = recorder
        self._cidr = cidr
        self._cluster_ip = str(ipaddress.ip_network(cidr)[1])
        self._told_of_other_cidr = False
        self._addresses = [address]
        self._port = port
        self._leases = leases

    async def run(self) -> None:
        """Keep them as they should be, until cancelled."""
        while True:
            await self.reconcile()
            await clock.sleep(RECONCILE_SECONDS)

    async def reconcile(self) -> None:
        """Make what is missing, mend what differs. What cannot be made is made no worse by serving without it."""
        try:
            await self._reconcile()
        except StatusError as error:
            logger.error("the Service %s/%s is not as it should be: %s", NAMESPACE, NAME, error.message)
        except StorageError as error:
            logger.error("other API servers may not know that this one is alive: %s", error)

    async def _reconcile(self) -> None:
        if self._leases is not None:
            await self._leases.renew()
            self._addresses = self._leases.addresses() or self._addresses
        # Nobody else would reach a server there.
        self._addresses = [address for address in self._addresses if not ipaddress.ip_address(address).is_loopback]
        # Leases are competed for in the second one before there is a controller that would make it.
        for name in (NAMESPACE, "kube-system"):
            await self._ensure("namespaces", {"metadata": {"name": name}}, ())
        await self._ensure_cidr()
        await self._ensure("services", self._service(), ())
        if not self._addresses:
            return
        await self._ensure("endpoints", self._endpoints(), ("subsets",))
        await self._ensure("endpointslices.discovery.k8s.io", self._slice(), ("endpoints", "ports"))

    async def _ensure(self, resource: str, wanted: Object, mended: tuple[str, ...]) -> Object | None:
        """Returns the object that is there already, if there is one."""
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
            return None
        if any(present.get(field) != wanted[field] for field in mended):
            await self._client.update(resource, {**present, **{field: wanted[field] for field in mended}})
        return present

    async def _ensure_cidr(self) -> None:
        wanted: Object = {"metadata": {"name": servicecidr.DEFAULT_NAME}, "spec": {"cidrs": [self._cidr]}}
        present = await self._ensure("servicecidrs.networking.k8s.io", wanted, ())
        if present is not None and present["spec"] != wanted["spec"] and not self._told_of_other_cidr:
            self._told_of_other_cidr = True
            found = " ".join(present["spec"]["cidrs"])
            text = f"The default ServiceCIDR [{found}] does not match the controller flag configurations [{self._cidr}]"
            self._recorder.event(present, "Warning", "KubernetesDefaultServiceCIDRInconsistent", text)

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
            "subsets": [{"addresses": [{"ip": address} for address in self._addresses], "ports": ports}],
        }

    def _slice(self) -> Object:
        return {
            "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in self._addresses],
            "ports": [{"name": "https", "port": self._port, "protocol": "TCP"}],
        }

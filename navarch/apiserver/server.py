"""The API server's shell: builds the pipeline over a store, listens with TLS, and keeps the ``kubernetes`` Service."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from navarch.api import registry
from navarch.api.apiextensions import customresourcedefinition
from navarch.api.core import service as services
from navarch.api.resource import resourceclaim, resourceclaimtemplate
from navarch.apimachinery import errors
from navarch.apimachinery.errors import StatusError
from navarch.apiserver import addressrepair, bootstrap, respond
from navarch.apiserver.addressrepair import AddressRepair
from navarch.apiserver.admission.certificates import Certificates
from navarch.apiserver.admission.chain import AdmissionChain
from navarch.apiserver.admission.claimresize import PersistentVolumeClaimResize
from navarch.apiserver.admission.declaredfeatures import NodeDeclaredFeatureValidator
from navarch.apiserver.admission.defaultingressclass import DefaultIngressClass
from navarch.apiserver.admission.defaultstorageclass import DefaultStorageClass
from navarch.apiserver.admission.devicetaints import DeviceTaints
from navarch.apiserver.admission.limitranger import LimitRanger
from navarch.apiserver.admission.mutatingpolicy import MutatingAdmissionPolicy
from navarch.apiserver.admission.namespacelifecycle import NamespaceLifecycle
from navarch.apiserver.admission.nodetaint import TaintNodesByCondition
from navarch.apiserver.admission.podresize import PodResizeValidator
from navarch.apiserver.admission.podsecurity.configuration import PodSecurityConfiguration
from navarch.apiserver.admission.podsecurity.plugin import PodSecurity
from navarch.apiserver.admission.podtolerations import DefaultTolerationSeconds
from navarch.apiserver.admission.podtopologylabels import PodTopologyLabels
from navarch.apiserver.admission.priority import Priority
from navarch.apiserver.admission.resourcequota import ResourceQuota
from navarch.apiserver.admission.runtimeclass import RuntimeClass
from navarch.apiserver.admission.serviceaccount import ServiceAccount
from navarch.apiserver.admission.storageprotection import StorageObjectInUseProtection
from navarch.apiserver.admission.timing import AdmissionTimes
from navarch.apiserver.admission.validatingpolicy import ValidatingAdmissionPolicy
from navarch.apiserver.admission.webhooks import MutatingAdmissionWebhook, ValidatingAdmissionWebhook
from navarch.apiserver.aggregation.aggregation import Aggregation
from navarch.apiserver.aggregation.trust import Trust
from navarch.apiserver.allocation import ServiceAllocator
from navarch.apiserver.authentication import ANONYMOUS_USER
from navarch.apiserver.authorization import Authenticated, AuthorizerChain, PublicPaths, SystemMasters
from navarch.apiserver.componentstatuses import ComponentStatuses
from navarch.apiserver.customresources import CustomResources, all_kinds
from navarch.apiserver.definitions import Definitions, Names
from navarch.apiserver.deviceaccess import DeviceAccess
from navarch.apiserver.health import Check, Health, version
from navarch.apiserver.inflight import MUTATING_LIMIT, READ_ONLY_LIMIT, InFlight
from navarch.apiserver.inprocess import InProcessTransport
from navarch.apiserver.kubernetesservice import KubernetesService
from navarch.apiserver.legacytokens import Tracking
from navarch.apiserver.masterleases import MasterLeases
from navarch.apiserver.monitoring import RequestMetrics
from navarch.apiserver.pipeline import Pipeline
from navarch.apiserver.replication import ReadReplica, Replicas
from navarch.apiserver.request import AUTHENTICATED_GROUP, MASTERS_GROUP, APIRequest, User
from navarch.apiserver.requestinfo import parse, parse_query
from navarch.apiserver.resources import Resources
from navarch.apiserver.subresources import forwarding
from navarch.apiserver.subresources.forwarding import Forward
from navarch.apiserver.subresources.nodetunnel import NodeTunnel
from navarch.apiserver.tokens import TokenAuthority
from navarch.apiserver.webhookclient import Connect, WebhookClient
from navarch.client.client import Client
from navarch.client.events import EventRecorder
from navarch.component import httpserver
from navarch.component.httpclient import HTTPClient
from navarch.component.tasks import Tasks
from navarch.component.tls import server_context
from navarch.storage.backend import StorageError
from navarch.storage.changes import Write
from navarch.storage.mvcc import ConflictError
from navarch.storage.store import LocalStore, Store

logger = logging.getLogger(__name__)

CIDR_COMPONENT = "kubernetes-service-cidr-controller"
LOOPBACK_USER = User("system:apiserver", (MASTERS_GROUP, AUTHENTICATED_GROUP))


@dataclass(frozen=True, kw_only=True)
class APIServerConfig:
    """How to serve the API. Files are PEM."""

    service_account_key_file: Path
    """Private key (EC P-256) that signs service-account tokens."""
    certificate_file: Path | None = None
    """Serving certificate; None serves plain HTTP, for tests only."""
    key_file: Path | None = None
    client_ca_file: Path | None = None
    """CA of client certificates, also of the kubelets' serving certificates."""
    kubelet_client_certificate_file: Path | None = None
    kubelet_client_key_file: Path | None = None
    front_proxy_ca_file: Path | None = None
    """Whose client certificates other API servers are to trust when this one hands requests on to them."""
    proxy_client_certificate_file: Path | None = None
    proxy_client_key_file: Path | None = None
    bind_address: str = "0.0.0.0"
    port: int = 6443
    advertise_address: str = "127.0.0.1"
    """Where pods and nodes reach this server."""
    service_cidr: str = "10.96.0.0/16"
    disable_admission_plugins: tuple[str, ...] = ()
    """By name, such as ``ServiceAccount``, without which pods need no account."""
    pod_security: PodSecurityConfiguration = field(default_factory=PodSecurityConfiguration)
    requests_in_flight_limit: int = READ_ONLY_LIMIT
    """So many requests that only read may be under way at once."""
    mutating_requests_in_flight_limit: int = MUTATING_LIMIT
    shares_port: bool = False
    """Whether other processes of the same user listen on the same port too."""
    leader: Path | None = None
    """Where the sockets of the server that writes are; this one is a read replica of it then."""


class APIServer:
    """An API server over one store. `start`, then `listen`; `stop` closes the store too."""

    def __init__(
        self, config: APIServerConfig, store: Store, forward: Forward = forwarding.forward, connect: Connect = HTTPClient
    ) -> None:
        """`forward`: how requests get to nodes and pods; `connect`: how webhooks are called."""
        self.config = config
        self._forward = forward
        self._connect = connect
        self.store = store
        self.pipeline: Pipeline = None  # type: ignore[assignment]
        """There after `start`."""
        in_flight = InFlight(config.requests_in_flight_limit, config.mutating_requests_in_flight_limit)
        self._metrics = RequestMetrics(registry.kinds(), store, version(), in_flight)
        self.health = Health(
            {"ping": lambda: "", "log": lambda: ""},
            {
                "etcd": lambda: self.store.problem,
                "etcd-readiness": lambda: self.store.problem,
                "poststarthook/bootstrap-controller": lambda: "" if self._hooks_done else "not finished",
            },
            (self._metrics.registry,),
            {"etcd": lambda: self.store.problem},
        )
        self.components: dict[str, Check] = {"etcd-0": lambda: self.store.problem}
        """Of the control plane's parts that run in this process, what is wrong with each."""
        self._tokens = TokenAuthority(store, config.service_account_key_file, self._metrics.registry)
        self._is_started = False
        self._hooks_done = False
        self._server: httpserver.Server | None = None
        self._repair = AddressRepair(self.store)
        self._recorders: tuple[EventRecorder, ...] = ()
        self._leases: MasterLeases | None = None
        self._definitions: Definitions | None = None
        self._aggregation: Aggregation | None = None
        self._webhooks: WebhookClient | None = None
        self._replica: ReadReplica | None = None
        self._replicas: Replicas | None = None
        self._tasks = Tasks("apiserver")

    async def start(self) -> None:
        """Load the store and build the pipeline: from here on in-process clients work. Raises StorageError."""
        store, config = self.store, self.config
        await store.load()
        if config.leader is None:
            await self._make_consistent()
        store.start()
        custom = CustomResources(store)
        authorizer = AuthorizerChain((SystemMasters(), PublicPaths(), Authenticated()))
        webhooks = self._webhooks = WebhookClient(store, self._connect)
        asking = (lambda: all_kinds(registry.kinds(), custom.kinds), webhooks, authorizer, self._metrics.registry)
        # Who changes before who refuses; among each, expressions before webhooks.
        asking_others = (
            mutating_policies := MutatingAdmissionPolicy(store, *asking),
            mutating_webhooks := MutatingAdmissionWebhook(store, *asking),
            validating_policies := ValidatingAdmissionPolicy(store, *asking),
            validating_webhooks := ValidatingAdmissionWebhook(store, *asking),
        )
        for follows in (
            mutating_policies.policies,
            mutating_webhooks.hooks,
            validating_policies.policies,
            validating_webhooks.hooks,
        ):
            custom.on_change(follows.forget)
        plugins = (
            NamespaceLifecycle(store),
            LimitRanger(store),
            ServiceAccount(store),
            TaintNodesByCondition(),
            PodSecurity(store, self._metrics.registry, config.pod_security),
            Priority(store),
            DefaultTolerationSeconds(),
            DefaultStorageClass(store),
            StorageObjectInUseProtection(),
            PersistentVolumeClaimResize(store),
            RuntimeClass(store),
            Certificates(authorizer),
            DefaultIngressClass(store),
            DeviceTaints(),
            PodTopologyLabels(store),
            NodeDeclaredFeatureValidator(store),
            PodResizeValidator(store),
            *asking_others,
            ResourceQuota(store, custom.find),
        )
        asked = [plugin for plugin in plugins if type(plugin).__name__ not in config.disable_admission_plugins]
        resources = Resources(store, AdmissionChain(asked, AdmissionTimes(self._metrics.registry)), webhooks)
        names = Names(store)
        resources.allocators[customresourcedefinition.KIND] = names
        allocator = ServiceAllocator(store)
        resources.allocators[services.KIND] = allocator
        for kind in (resourceclaim.KIND, resourceclaimtemplate.KIND):
            resources.guards[kind] = DeviceAccess(store, authorizer)
        if config.leader is None:
            self._repair.follow(allocator)
        proxy_client = (config.proxy_client_certificate_file, config.proxy_client_key_file)
        aggregation = self._aggregation = Aggregation(resources, *proxy_client, self._forward, self._metrics.registry)
        self.pipeline = Pipeline(
            registry.kinds(),
            resources,
            custom,
            aggregation,
            self._tokens,
            authorizer,
            NodeTunnel(resources, self._kubelet_tls, self._forward),
            self.health,
            ComponentStatuses(self.components),
            self._metrics,
            lambda: self.external_address,
        )
        aggregation.begin()
        custom.begin()
        if config.leader is not None:
            self._replica = ReadReplica(self.pipeline, store, config.leader)
            self._is_started = True
            return
        self._definitions = Definitions(resources, names, custom, LOOPBACK_USER)
        self._definitions.begin()
        self._definitions.start()
        self._is_started = True

    async def _make_consistent(self) -> None:
        """Before anything is served: make what every cluster has, mend what contradicts itself."""
        wanted = [*bootstrap.system(), bootstrap.default_service_cidr(self.config.service_cidr), *bootstrap.flow_control()]
        kinds = registry.kinds()
        needs: tuple[Callable[[], list[Write]], ...] = (
            lambda: [*bootstrap.missing(self.store, wanted), *bootstrap.api_services(self.store, kinds)],
            self._repair.begin,
        )
        for needed in needs:
            while writes := needed():
                try:
                    await self.store.write_first(writes)
                    break
                except ConflictError:
                    # Another server starts, and was faster: what it has left to do is looked at anew.
                    await self.store.fresh()

    async def listen(self) -> None:
        """Serve HTTPS; `start` if that has not been done, being not ready meanwhile. Raises OSError, StorageError."""
        config = self.config
        tls = self._serving_tls() if config.certificate_file is not None else None
        if config.leader is not None:
            # Until it can answer, others do.
            await self.start()
        shared = self._shared_socket() if config.shares_port else None
        self._server = await httpserver.serve(
            self._handle, config.bind_address, config.port, sock=shared, tls=tls, at_once=self._answer_at_once
        )
        if config.leader is not None:
            self._hooks_done = True
            return
        if not self._is_started:
            await self.start()
        client = Client(self.transport())
        repairs, cidrs = EventRecorder(client, addressrepair.COMPONENT), EventRecorder(client, CIDR_COMPONENT)
        self._recorders = (repairs, cidrs)
        if self.store.is_shared:
            self._leases = MasterLeases(self.store, config.advertise_address, self.port)
        service = KubernetesService(client, cidrs, config.service_cidr, config.advertise_address, self.port, self._leases)
        await service.reconcile()
        self._hooks_done = True
        assert self._aggregation is not None
        self._aggregation.start()
        self._tasks.run_forever(service.run, name="kubernetes-service")
        self._tasks.run_forever(lambda: self._tokens.legacy.run(client), name="token-uses")
        self._tasks.run_forever(Tracking(client).run, name="token-tracking")
        trust = Trust(client, config.client_ca_file, config.front_proxy_ca_file)
        self._tasks.run_forever(trust.run, name="authentication-trust")
        self._tasks.run_forever(lambda: self._repair.run(repairs), name="address-repair")

    def _handle(self, request: httpserver.Request) -> Awaitable[httpserver.Response]:
        if self._replica is not None:
            return self._replica.handle(request)
        return self.pipeline.handle(request) if self._is_started else self._not_ready(request)

    def _answer_at_once(self, request: httpserver.Request) -> bytes | None:
        is_alone = self._is_started and self._replica is None
        return self.pipeline.answer_at_once(request) if is_alone else None

    def _shared_socket(self) -> socket.socket:
        """Connections come to any of the processes that listen so. Raises OSError."""
        config = self.config
        family = socket.AF_INET6 if ":" in config.bind_address else socket.AF_INET
        return socket.create_server((config.bind_address, config.port), family=family, reuse_port=True)

    async def serve_replicas(self, directory: Path) -> Replicas:
        """Let read replicas follow, and take what they cannot answer, over sockets in a directory. Raises OSError."""
        assert isinstance(self.store, LocalStore), "where several servers share a store, each follows that"
        self._replicas = Replicas(self.store.index, self.pipeline.handle, directory)
        await self._replicas.listen()
        return self._replicas

    async def _not_ready(self, request: httpserver.Request) -> httpserver.Response:
        """What is answered while the store is being read."""
        try:
            query = parse_query(request.query)
            info = parse(request.method, request.path, query)
            if info.path.split("/")[1] in ("healthz", "livez", "readyz"):
                found = self.health.answer(APIRequest(info, request.method, query, ANONYMOUS_USER))
                if found is not None:
                    return found
            raise errors.status_error(
                503, "ServiceUnavailable", "the API server is starting", {"retryAfterSeconds": 1}, {"Retry-After": "1"}
            )
        except StatusError as error:
            return respond.failure(error)

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "listen() comes first"
        return self._server.port

    @property
    def external_address(self) -> str:
        """Where pods and nodes reach this server, ``host:port``."""
        host, port = self.config.advertise_address, self._server.port if self._server is not None else self.config.port
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def transport(self, user: User = LOOPBACK_USER) -> InProcessTransport:
        """A way to this server for a component in the same process."""
        return InProcessTransport(self.pipeline, user)

    async def stop(self) -> None:
        """Stop serving, finish writes, close the store."""
        await self._tasks.stop()
        if self._definitions is not None:
            await self._definitions.stop()
        if self._aggregation is not None:
            await self._aggregation.stop()
        if self._webhooks is not None:
            self._webhooks.close()
        for recorder in self._recorders:
            await recorder.stop()
        if self._replicas is not None:
            await self._replicas.close()
        if self._replica is not None:
            self._replica.close()
        if self._server is not None:
            await self._server.close()
        if self._leases is not None:
            with suppress(StorageError):
                await self._leases.release()
        await self.store.stop()

    def _serving_tls(self) -> ssl.SSLContext:
        config = self.config
        assert config.certificate_file is not None and config.key_file is not None
        return server_context(config.certificate_file, config.key_file, config.client_ca_file)

    def _kubelet_tls(self) -> ssl.SSLContext:
        config = self.config
        tls = ssl.create_default_context(cafile=str(config.client_ca_file) if config.client_ca_file else None)
        if config.kubelet_client_certificate_file is not None and config.kubelet_client_key_file is not None:
            tls.load_cert_chain(config.kubelet_client_certificate_file, config.kubelet_client_key_file)
        return tls

"""What a cluster on this machine is made of: its nodes, and where everything of it lies.

`up` decides it once and writes it down; every other command, and every process, reads it. So a cluster comes back the same
after a crash or a restart of the machine, whatever options `up` is given then.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from navarch.cli.storesettings import DEFAULTS, StoreSettings, from_rest
from navarch.storage.etcd.config import EtcdConfig

DATA_DIR = Path("/var/lib/navarch")
RUN_DIR = Path("/run/navarch")
MACHINE_LOCK = Path("/run")
PORT = 6443
KUBELET_PORT = 10250
DNS_PORT = 10053
POD_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
DNS_SERVICE_IP = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
NODES_LIMIT = 100
REPLICAS_LIMIT = 16

# The network that joins nodes which are network namespaces.
BRIDGE = "navarch0"
BRIDGE_ADDRESS = "10.89.0.1"
NODE_NETWORK = "10.89.0.0/24"
FIRST_NODE_HOST = 11

STATE_FILE = "cluster.json"
FORMAT = 1
# A unix socket's path has at most 107 characters; the longest below the run directory is containerd's.
RUN_DIR_LIMIT_CHARACTERS = 50


class CommandError(Exception):
    """What a command cannot do: what, why, and how to mend it. The message is for people."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a cluster on this machine."""

    name: str
    address: str
    """InternalIP."""
    namespace: str = ""
    """Its network namespace; "" for a node that is the machine itself."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster on this machine."""

    data_dir: Path = DATA_DIR
    run_dir: Path = RUN_DIR
    port: int = PORT
    nodes: tuple[Node, ...] = ()
    snapshotter: str = "overlayfs"
    datastore: EtcdConfig | None = None
    """Where the API's objects are; None: in a file of the data directory."""
    leader_elect: bool = False
    """Whether controllers and scheduler compete with those of other servers, also without an etcd."""
    store: StoreSettings = DEFAULTS
    """How the API's objects are kept."""
    read_replicas: int = 0
    """How many processes answer reads beside the server."""
    scheduler_config: Path | None = None
    """The scheduler's configuration file."""
    scheduler_plugins: tuple[Path, ...] = ()
    """Python files with plugins of the user's for the scheduler."""
    admission_config: Path | None = None
    """The configuration file of admission plugins."""

    # Where things are

    @property
    def state_file(self) -> Path:
        return self.data_dir / STATE_FILE

    @property
    def pki_dir(self) -> Path:
        return self.data_dir / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "kubeconfig"

    @property
    def database(self) -> Path:
        return self.data_dir / "navarch.db"

    @property
    def images_dir(self) -> Path:
        return self.data_dir / "images"

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "log"

    @property
    def host_sysctls(self) -> Path:
        return self.data_dir / "host-sysctls.json"

    @property
    def merged_kubeconfigs(self) -> Path:
        """Which users' kubeconfigs the cluster was merged into: one path a line."""
        return self.data_dir / "merged-kubeconfigs"

    @property
    def boot_file(self) -> Path:
        """Of which boot of the machine the run directory is."""
        return self.run_dir / "boot"

    @property
    def replicas_dir(self) -> Path:
        """Sockets by which read replicas reach the server."""
        return self.run_dir / "replicas"

    @property
    def server_pid_file(self) -> Path:
        return self.run_dir / "server.pid"

    def node_dir(self, node: Node) -> Path:
        return self.data_dir / "nodes" / node.name

    def node_run_dir(self, node: Node) -> Path:
        return self.run_dir / "nodes" / node.name

    def node_pid_file(self, node: Node) -> Path:
        return self.node_run_dir(node) / "node.pid"

    def cgroup(self, node: Node) -> str:
        """Below which the node's pods have theirs."""
        return f"/navarch/{node.name}"

    # Who is where

    @property
    def on_host(self) -> bool:
        """Whether the one node is the machine itself."""
        return all(not node.namespace for node in self.nodes)

    @property
    def elects_leader(self) -> bool:
        """Whether other servers may run controllers and a scheduler too."""
        return self.leader_elect or self.datastore is not None

    @property
    def advertise_address(self) -> str:
        """Where pods and nodes reach the API server."""
        return self.nodes[0].address if self.on_host else BRIDGE_ADDRESS

    @property
    def server_url(self) -> str:
        """Where people and the host's processes reach it."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def node_server_url(self) -> str:
        return self.server_url if self.on_host else f"https://{BRIDGE_ADDRESS}:{self.port}"

    def node(self, name: str) -> Node:
        """Raises CommandError for a name that is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise CommandError(f"there is no node {name!r}; there are: {', '.join(node.name for node in self.nodes)}")

    # At rest

    def save(self) -> None:
        """Write it down."""
        content = {
            "format": FORMAT,
            "runDir": str(self.run_dir),
            "port": self.port,
            "snapshotter": self.snapshotter,
            "nodes": [asdict(node) for node in self.nodes],
            "leaderElect": self.leader_elect,
            "schedulerConfig": str(self.scheduler_config) if self.scheduler_config else None,
            "schedulerPlugins": [str(path) for path in self.scheduler_plugins],
            "admissionConfig": str(self.admission_config) if self.admission_config else None,
            "datastore": _datastore_at_rest(self.datastore),
            "store": self.store.at_rest(),
            "readReplicas": self.read_replicas,
        }
        temporary = self.state_file.with_suffix(".new")
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        temporary.replace(self.state_file)


def load(data_dir: Path) -> Cluster | None:
    """The cluster under a data directory; None if there is none. Raises CommandError if it cannot be read."""
    file = data_dir / STATE_FILE
    try:
        content = json.loads(file.read_bytes())
        if content["format"] != FORMAT:
            raise CommandError(f"{file} was written by another version of navarch (format {content['format']}, not {FORMAT})")
        return Cluster(
            data_dir=data_dir,
            run_dir=Path(content["runDir"]),
            port=int(content["port"]),
            snapshotter=content["snapshotter"],
            nodes=tuple(Node(**node) for node in content["nodes"]),
            datastore=_datastore(content.get("datastore")),
            leader_elect=bool(content.get("leaderElect", False)),
            store=from_rest(content.get("store", {})),
            read_replicas=int(content.get("readReplicas", 0)),
            scheduler_config=Path(content["schedulerConfig"]) if content.get("schedulerConfig") else None,
            scheduler_plugins=tuple(Path(path) for path in content.get("schedulerPlugins") or ()),
            admission_config=Path(content["admissionConfig"]) if content.get("admissionConfig") else None,
        )
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}; navarch needs root (sudo)") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{file} is damaged ({error}); mend it, or begin anew with: navarch reset") from error


def _datastore_at_rest(config: EtcdConfig | None) -> dict[str, object] | None:
    if config is None:
        return None
    files = {"caFile": config.ca_file, "certFile": config.certificate_file, "keyFile": config.key_file}
    named = {name: str(file) for name, file in files.items() if file is not None}
    return {"endpoints": list(config.endpoints), "tls": config.tls, **named}


def _datastore(content: dict[str, Any] | None) -> EtcdConfig | None:
    # Not looked at here: a cluster whose certificate for etcd is gone can be stopped all the same.
    if content is None:
        return None
    ca_file, certificate_file, key_file = (
        Path(content[name]) if name in content else None for name in ("caFile", "certFile", "keyFile")
    )
    return EtcdConfig(tuple(content["endpoints"]), bool(content["tls"]), ca_file, certificate_file, key_file)


def require(data_dir: Path) -> Cluster:
    """The cluster under a data directory. Raises CommandError if there is none."""
    cluster = load(data_dir)
    if cluster is None:
        raise CommandError(f"there is no cluster in {data_dir}; make one with: navarch up")
    return cluster


def with_store(cluster: Cluster, said: StoreSettings) -> Cluster:
    """With what is said of how its objects are kept. Raises CommandError for what does not go together."""
    try:
        return replace(cluster, store=said.over(cluster.store))
    except ValueError as error:
        raise CommandError(str(error)) from error


def with_replicas(cluster: Cluster, count: int | None) -> Cluster:
    """With so many read replicas (None: as many as it had). Raises CommandError where there can be none."""
    found = cluster if count is None else replace(cluster, read_replicas=count)
    if found.read_replicas and found.datastore is not None:
        raise CommandError(
            "read replicas follow the file's server; with etcd every server answers reads: run another one there "
            "(navarch up --datastore URL), or say --read-replicas 0"
        )
    return found


def plan_nodes(count: int, host_name: str, host_address: str) -> tuple[Node, ...]:
    """The nodes of a new cluster: the machine itself, or `count` network namespaces."""
    if not 1 <= count <= NODES_LIMIT:
        raise CommandError(f"--nodes must be from 1 to {NODES_LIMIT}, not {count}")
    if count == 1:
        return (Node(node_name(host_name), host_address),)
    prefix = NODE_NETWORK.rsplit(".", 1)[0]
    return tuple(
        Node(f"node-{i}", f"{prefix}.{FIRST_NODE_HOST + i - 1}", namespace=f"navarch-node-{i}") for i in range(1, count + 1)
    )


def resize(nodes: tuple[Node, ...], count: int) -> tuple[Node, ...]:
    """The nodes of a cluster that is asked to have `count`. It may grow where its nodes are namespaces; else CommandError."""
    if count == len(nodes):
        return nodes
    if len(nodes) == 1 or count < len(nodes):
        raise CommandError(
            f"this cluster has {len(nodes)} node{'s' if len(nodes) > 1 else ''} and cannot have {count} instead; "
            f"to begin anew: navarch reset, then navarch up --nodes {count}"
        )
    return nodes + plan_nodes(count, "", "")[len(nodes) :]


def node_name(host_name: str) -> str:
    """A host name as the name of a Node: an RFC 1123 subdomain."""
    name = re.sub(r"[^a-z0-9.-]+", "-", host_name.lower()).strip("-.")
    return name[:63].strip("-.") or "node-1"


@contextlib.contextmanager
def machine_locked() -> Iterator[None]:
    """Nobody else starts a cluster on this machine meanwhile; waits for who does. Leaves no file: a directory is locked."""
    descriptor = os.open(MACHINE_LOCK, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Nobody else changes the cluster meanwhile. Raises CommandError if somebody does."""
    data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    descriptor = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CommandError(f"another navarch command is changing {data_dir}; try again when it is done") from error
        yield
    finally:
        os.close(descriptor)

"""`navarch up`: from nothing, or from whatever a crash left, to a cluster that is ready.

1. preflight    look, change nothing
2. certificates make what is missing
3. processes    start those that do not run, all at once; each starts what it needs itself
4. wait         until each has told that it is ready, or one has ended

If a process that was started here fails, everything that was started here is stopped again.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from navarch import __version__
from navarch.cli import cleanup, down, kubeconfig, preflight, topology
from navarch.cli.cluster import (
    API_SERVICE_IP,
    BRIDGE_ADDRESS,
    CLUSTER_DOMAIN,
    DNS_PORT,
    KUBELET_PORT,
    RUN_DIR_LIMIT_CHARACTERS,
    Cluster,
    CommandError,
    Node,
    load,
    locked,
    machine_locked,
    plan_nodes,
    resize,
    with_replicas,
    with_store,
)
from navarch.cli.progress import Listener, Told, since_start_seconds
from navarch.cli.runtime import containerd_config
from navarch.cli.storesettings import DEFAULTS, OWN_FILE, StoreSettings
from navarch.component import processes
from navarch.component.pki import PKI, PKIError, cluster_leaves, node_leaves
from navarch.component.processes import Process
from navarch.cri.containerd import Containerd
from navarch.cri.images import demo
from navarch.storage.etcd.config import EtcdConfig

READY_TIMEOUT_SECONDS = 120.0
LOG_LINES = 15
SERVER = "server"
# An address no host has (RFC 5737): connecting a datagram socket to it sends nothing, but chooses the way out.
ELSEWHERE = ("203.0.113.1", 9)


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for; None stands for what the cluster has, or the default."""

    data_dir: Path
    run_dir: Path | None = None
    port: int | None = None
    nodes: int | None = None
    merge_kubeconfig: bool = False
    verbosity: int = 0
    datastore: EtcdConfig | None = None
    leader_elect: bool = False
    store: StoreSettings = DEFAULTS
    read_replicas: int | None = None
    scheduler_config: Path | None = None
    scheduler_plugins: tuple[Path, ...] = ()
    admission_config: Path | None = None


class Steps:
    """Shows each step as it is done, with the time since the command was given."""

    def __init__(self) -> None:
        self._width = 12

    def widen(self, names: Iterable[str]) -> None:
        self._width = max(self._width, *(len(name) for name in names))

    def done(self, name: str, detail: str = "") -> None:
        print(f"{since_start_seconds():7.2f} s  {name:<{self._width}}  {detail}".rstrip(), flush=True)


def up(options: Options) -> int:
    """Bring the cluster up. Raises CommandError."""
    problem = preflight.not_root()
    if problem:
        raise CommandError(problem)
    with locked(options.data_dir), machine_locked():
        cluster = _decide(options)
        others = down.others(cluster.data_dir)
        if others:
            raise CommandError(
                f"another cluster runs on this machine, from {others[0]}; stop it first: navarch down --data-dir {others[0]}"
            )
        if _all_running(cluster):
            print(f"The cluster runs already. Its kubeconfig: {cluster.kubeconfig}")
            _merge(cluster, options)
            return 0
        return _bring_up(cluster, options)


def _decide(options: Options) -> Cluster:
    """The cluster as it was, or a new one as the options say."""
    known = load(options.data_dir)
    if known is None:
        name = socket.gethostname()
        nodes = plan_nodes(options.nodes or 1, name, host_address() if (options.nodes or 1) == 1 else "")
        cluster = Cluster(data_dir=options.data_dir, nodes=nodes)
    else:
        cluster = known
        if options.datastore is not None and known.datastore is None:
            raise CommandError(
                f"the objects of this cluster are in {known.database}, not in etcd; to begin anew there: navarch reset, then "
                "navarch up --datastore URL"
            )
        if options.nodes is not None:
            cluster = replace(cluster, nodes=resize(cluster.nodes, options.nodes))
        if cluster.on_host:
            # The machine may have moved to another network since.
            cluster = replace(cluster, nodes=(replace(cluster.nodes[0], address=host_address()),))
    cluster = replace(cluster, run_dir=options.run_dir or cluster.run_dir, port=options.port or cluster.port)
    cluster = replace(
        cluster,
        datastore=options.datastore or cluster.datastore,
        leader_elect=options.leader_elect or cluster.leader_elect,
        scheduler_config=options.scheduler_config or cluster.scheduler_config,
        scheduler_plugins=options.scheduler_plugins or cluster.scheduler_plugins,
        admission_config=options.admission_config or cluster.admission_config,
    )
    cluster = with_replicas(with_store(cluster, options.store), options.read_replicas)
    if known is not None and _process_settings(known) != _process_settings(cluster) and down.running(known):
        raise CommandError(
            "the cluster runs with another port, run directory, datastore, encryption, history, scheduler or admission "
            "configuration or number of read replicas: navarch down first"
        )
    if len(str(cluster.run_dir)) > RUN_DIR_LIMIT_CHARACTERS:
        raise CommandError(
            f"--run-dir {cluster.run_dir} is too long: sockets below it must have short paths; "
            f"use at most {RUN_DIR_LIMIT_CHARACTERS} characters"
        )
    return cluster


def _process_settings(cluster: Cluster) -> tuple[object, ...]:
    """What takes effect when processes start."""
    files = cluster.scheduler_config, cluster.scheduler_plugins, cluster.admission_config
    store = cluster.datastore, cluster.store, cluster.read_replicas
    return cluster.run_dir, cluster.port, cluster.leader_elect, store, files


def host_address() -> str:
    """The address by which this machine reaches others, which is its node's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
            return str(probe.getsockname()[0])
        except OSError:
            pass
    for addresses in topology.host_addresses().values():
        return addresses[0]
    raise CommandError(
        "this machine has no IPv4 address besides loopback, so a node on it has none. Give it one, for instance: "
        "ip link add dummy0 type dummy && ip address add 10.90.0.1/32 dev dummy0 && ip link set dummy0 up; "
        "or make nodes with networks of their own: navarch up --nodes 2"
    )


def _all_running(cluster: Cluster) -> bool:
    files = [cluster.server_pid_file, *(cluster.node_pid_file(node) for node in cluster.nodes)]
    return all(processes.read(file) is not None for file in files)


def _bring_up(cluster: Cluster, options: Options) -> int:
    steps = Steps()
    steps.widen([f"{node.name}: runtime" for node in cluster.nodes])
    fresh = not cluster.state_file.exists()
    print(f"navarch {__version__} in {cluster.data_dir}", flush=True)
    machine = _preflight(cluster, steps)
    if fresh:
        cluster = replace(cluster, snapshotter=machine.snapshotter)
    cluster.save()
    _forget_last_boot(cluster)
    for directory in (cluster.run_dir / "nodes", cluster.log_dir, *map(cluster.node_dir, cluster.nodes)):
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    cluster.boot_file.write_text(processes.boot_id())
    _certificates(cluster, steps)
    _encryption(cluster, steps)
    launcher = Launcher(cluster, options.verbosity)
    try:
        _images(cluster, steps)
        launcher.start_server()
        if not cluster.on_host:
            from navarch.network import sysctls

            sysctls.set_needed(cluster.host_sysctls)
            topology.make_switch()
        for node in cluster.nodes:
            launcher.start_node(node)
        launcher.wait(steps)
        broken = preflight.runc_problem(machine)
        if broken:
            raise CommandError(broken)
    except BaseException:
        launcher.undo()
        raise
    _say_ready(cluster, options)
    return 0


def _forget_last_boot(cluster: Cluster) -> None:
    """Sockets and bundles of processes that a restart of the machine has ended; where /run is a tmpfs they are gone anyway."""
    file = cluster.boot_file
    if file.exists() and file.read_text() != processes.boot_id():
        cleanup.remove_tree(cluster.run_dir)


def _preflight(cluster: Cluster, steps: Steps) -> preflight.Machine:
    machine = preflight.examine(cluster.data_dir, _listeners(cluster))
    if machine.problems:
        if machine.runc is not None:
            machine.runc.kill()
            machine.runc.communicate()
        raise CommandError("this machine cannot run the cluster:\n" + "\n".join(f"  - {text}" for text in machine.problems))
    steps.done("preflight", f"cgroup {machine.cgroups}, {machine.snapshotter}")
    for warning in machine.warnings:
        print(f"           warning: {warning}")
    if demo.find_busybox() is None:
        print("           warning: no static busybox, so no demo image (apt-get install busybox-static)")
    return machine


def _listeners(cluster: Cluster) -> list[preflight.Listener]:
    listeners = []
    if processes.read(cluster.server_pid_file) is None:
        listeners.append(preflight.Listener("0.0.0.0", cluster.port, "API server", "--port"))
    node = cluster.nodes[0]
    if cluster.on_host and processes.read(cluster.node_pid_file(node)) is None:
        listeners.append(preflight.Listener("0.0.0.0", KUBELET_PORT, "kubelet"))
        listeners.append(preflight.Listener(node.address, DNS_PORT, "cluster DNS"))
        listeners.append(preflight.Listener(node.address, DNS_PORT, "cluster DNS", datagram=True))
    return listeners


def _certificates(cluster: Cluster, steps: Steps) -> None:
    addresses = [API_SERVICE_IP, *(address for found in topology.host_addresses().values() for address in found)]
    if not cluster.on_host:
        addresses.append(BRIDGE_ADDRESS)
    leaves = cluster_leaves(addresses=addresses, host_names=[socket.gethostname()], cluster_domain=CLUSTER_DOMAIN)
    for node in cluster.nodes:
        leaves += node_leaves(node.name, [node.address])
    try:
        made = PKI(cluster.pki_dir).ensure(leaves)
    except PKIError as error:
        raise CommandError(str(error)) from error
    kubeconfig.write(cluster)
    steps.done("certificates", f"{len(made)} made" if made else "all there and valid")


def _encryption(cluster: Cluster, steps: Steps) -> None:
    if cluster.store.encryption_file != OWN_FILE:
        return
    from navarch.cli import encryption

    if encryption.ensure_file(cluster.data_dir):
        steps.done("encryption", f"made {cluster.data_dir / OWN_FILE}; keep a copy elsewhere: no backup holds it")


def _images(cluster: Cluster, steps: Steps) -> None:
    from navarch.cri.images.library import Library

    made = Library(cluster.images_dir).ensure_builtin()
    if made:
        steps.done("images", f"made {', '.join(made)}")


class Launcher:
    """Starts the processes that do not run, listens to them, and can undo what it did."""

    def __init__(self, cluster: Cluster, verbosity: int = 0) -> None:
        self._cluster = cluster
        self._verbosity = verbosity
        self._listener = Listener()
        self._started: dict[str, Process] = {}
        self._nodes: list[Node] = []
        self._adopting: set[str] = set()
        self._logs: dict[str, tuple[Path, int]] = {}

    def start_server(self) -> None:
        if processes.read(self._cluster.server_pid_file) is None:
            self._start(SERVER, [], ["server"], self._cluster.server_pid_file, "server.log")

    def start_node(self, node: Node) -> None:
        """Its network, if it has one of its own, and its process."""
        file = self._cluster.node_pid_file(node)
        if processes.read(file) is not None:
            return
        self._cluster.node_run_dir(node).mkdir(mode=0o711, parents=True, exist_ok=True)
        if node.namespace:
            topology.make_node(node)
        if Containerd(containerd_config(self._cluster, node)).running() is not None:
            self._adopting.add(node.name)
        self._nodes.append(node)
        self._start(node.name, topology.enter(node), ["node", "run", node.name], file, f"node-{node.name}.log")

    def wait(self, steps: Steps) -> None:
        """Until all that were started are ready. Raises CommandError if one ends before, or takes too long."""
        waiting = set(self._started)
        for told in self._listener.listen(READY_TIMEOUT_SECONDS):
            if told.error or (told.ended and not self._has_ended_well(told, waiting)):
                raise CommandError(self._failure(told))
            if told.ended:
                waiting.discard(told.process)
            else:
                steps.done(told.step if told.process == SERVER else f"{told.process}: {told.step}", told.detail)
        self._listener.close()
        if waiting:
            logs = ", ".join(str(self._logs[name][0]) for name in sorted(waiting))
            raise CommandError(
                f"not ready after {READY_TIMEOUT_SECONDS:.0f} s: {', '.join(sorted(waiting))}. Their logs: {logs}"
            )

    def undo(self) -> None:
        """Stop what was started here. Containers that ran before go on."""
        self._listener.close()
        for node in self._nodes:
            if node.name in self._adopting:
                down.stop_node_process(self._cluster, node)
            else:
                down.stop_node(self._cluster, node)
        if SERVER in self._started:
            down.stop_server(self._cluster)
        if self._nodes and len(self._nodes) == len(self._cluster.nodes) and not self._adopting:
            down.remove_machine_state(self._cluster)

    def _start(self, name: str, prefix: list[str], words: list[str], pid_file: Path, log_name: str) -> None:
        log = self._cluster.log_dir / log_name
        self._logs[name] = (log, log.stat().st_size if log.exists() else 0)
        descriptor = self._listener.pipe(name)
        command = [*prefix, *program(), *words, "--data-dir", str(self._cluster.data_dir), "--progress-fd", str(descriptor)]
        command += ["--verbose"] * self._verbosity
        try:
            self._started[name] = processes.start(command, pid_file=pid_file, log_file=log, pass_descriptors=[descriptor])
        finally:
            self._listener.handed_over(descriptor)

    def _has_ended_well(self, told: Told, waiting: set[str]) -> bool:
        """Whether a process that tells no more is one that runs on."""
        process = self._started[told.process]
        processes.reap(process.pid)
        return told.process in waiting and process.alive

    def _failure(self, told: Told) -> str:
        log, start = self._logs[told.process]
        with log.open("rb") as stream:
            stream.seek(start)
            lines = stream.read().decode(errors="replace").splitlines()[-LOG_LINES:]
        said = "\n".join(f"  {line}" for line in lines)
        what = "the server" if told.process == SERVER else f"node {told.process}"
        return f"{what} could not start{f': {told.error}' if told.error else ''}. The end of {log}:\n{said}"


def program() -> list[str]:
    """The command that runs this same navarch."""
    return [sys.executable, "-m", down.MODULE]


def _merge(cluster: Cluster, options: Options) -> bool:
    if not options.merge_kubeconfig:
        return False
    target = kubeconfig.users_file(dict(os.environ), Path.home())
    kubeconfig.merge(cluster, target)
    file = cluster.merged_kubeconfigs
    lines = file.read_text().splitlines() if file.exists() else []
    file.write_text("".join(f"{line}\n" for line in dict.fromkeys([*lines, str(target.absolute())])))
    print(f"Merged into {target} as context navarch, which is now the current one.")
    return True


def _say_ready(cluster: Cluster, options: Options) -> None:
    print(f"\nReady in {since_start_seconds():.2f} s.")
    merged = _merge(cluster, options)
    kubectl = "kubectl"
    if not merged:
        kubectl = f"kubectl --kubeconfig {cluster.kubeconfig}"
        print(f"kubeconfig: {cluster.kubeconfig} (navarch up --merge-kubeconfig puts it into your own)")
    if shutil.which("kubectl") is None:
        print("kubectl is not installed; Debian has it as: apt-get install kubernetes-client")
    print("Try:")
    print(f"  {kubectl} get nodes -o wide")
    print(f"  {kubectl} create deployment hello --image={demo.REFERENCE} -- httpd -f -p 8080")
    print(f"  {kubectl} get pods -o wide --watch")

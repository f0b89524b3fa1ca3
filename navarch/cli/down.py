"""`navarch down` and `navarch reset`: nothing of navarch runs any more; nothing of it is left.

`down` leaves the machine as a restart would: no process, mount, namespace, interface, nftables table or cgroup of ours, but all
files below the data directory. `reset` deletes those too. Both look at the machine, not at what should be there, so they also
work after any crash, twice, and with half of the files gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from navarch.cli import cleanup, kubeconfig, topology
from navarch.cli.cluster import DATA_DIR, RUN_DIR, STATE_FILE, Cluster, CommandError, Node, load, locked
from navarch.cli.runtime import containerd_config
from navarch.cli.storesettings import OWN_FILE
from navarch.component import processes
from navarch.component.processes import Process
from navarch.cri.containerd import Containerd

# A control plane commits what waits; a node tells nobody that it goes.
STOP_TIMEOUT_SECONDS = 5.0
# How long containers may take to end by themselves at `down`, all together.
CONTAINER_GRACE_SECONDS = 2.0
# What a data directory holds: nothing else is ever deleted from it.
OWN_ENTRIES = (
    "pki",
    "kubeconfig",
    "images",
    "log",
    "nodes",
    "host-sysctls.json",
    "certs.d",
    "merged-kubeconfigs",
    OWN_FILE,
    STATE_FILE,
)
DATABASE = "navarch.db"
# What stands in the command line of every process of navarch.
MODULE = "navarch.cli.main"


def down(data_dir: Path) -> int:
    """Stop the cluster under `data_dir`."""
    with locked(data_dir):
        cluster = load(data_dir) or Cluster(data_dir=data_dir)
        ran = running(cluster)
        _stop_all(cluster)
        print("Stopped. Its state is kept; navarch up brings it back." if ran else "Nothing was running.")
    return 0


def reset(data_dir: Path) -> int:
    """Stop the cluster under `data_dir` and delete everything of it."""
    if not data_dir.exists():
        print(f"There is nothing in {data_dir}.")
        _remove_leftovers(Cluster(data_dir=data_dir))
        return 0
    with locked(data_dir):
        try:
            cluster = load(data_dir) or Cluster(data_dir=data_dir)
        except CommandError:
            # A damaged file is no reason to keep it.
            cluster = Cluster(data_dir=data_dir)
        _stop_all(cluster)
        _unmerge_kubeconfigs(cluster)
        for name in OWN_ENTRIES:
            path = data_dir / name
            if path.is_dir() and not path.is_symlink():
                cleanup.remove_tree(path)
            else:
                path.unlink(missing_ok=True)
        for path in data_dir.glob(f"{DATABASE}*"):
            path.unlink()
        with contextlib.suppress(OSError):
            # Somebody else's files in it stay, and so does the directory.
            data_dir.rmdir()
    print("Everything is removed.")
    return 0


def running(cluster: Cluster) -> list[Process]:
    """Processes of this cluster that are alive, found by their command lines: also without pid files."""
    return [process for data_dir, process in _processes() if data_dir == cluster.data_dir]


def others(data_dir: Path) -> list[Path]:
    """Data directories of other clusters that run on this machine."""
    return sorted({found for found, _ in _processes()} - {data_dir})


def belongs_to(words: Sequence[str]) -> Path | None:
    """The data directory of a service of navarch or a node's containerd, from its command line; None for any other process.

    Commands such as this one are no services.
    """
    if MODULE in words:
        after = list(words[words.index(MODULE) + 1 :])
        if after[:1] != ["server"] and after[:2] != ["node", "run"]:
            return None
        value = after[after.index("--data-dir") + 1 :][:1] if "--data-dir" in after else [str(DATA_DIR)]
        return Path(value[0]) if value else None
    if len(words) > 2 and Path(words[0]).name == "containerd" and words[1] == "--config":
        config = Path(words[2])
        if config.match("nodes/*/containerd/config.toml"):
            return config.parents[3]
    return None


def stop_server(cluster: Cluster) -> None:
    """Stop the control plane; nodes and containers go on."""
    process = processes.read(cluster.server_pid_file)
    if process is not None:
        processes.stop(process, STOP_TIMEOUT_SECONDS)
    cluster.server_pid_file.unlink(missing_ok=True)


def stop_node_process(cluster: Cluster, node: Node) -> None:
    """Stop a node's kubelet, proxy and DNS; its containers go on."""
    process = processes.read(cluster.node_pid_file(node))
    if process is not None:
        processes.stop(process, STOP_TIMEOUT_SECONDS)
    cluster.node_pid_file(node).unlink(missing_ok=True)


def stop_node(cluster: Cluster, node: Node) -> None:
    """Stop a node with all its containers at once, as when it loses power."""
    process = processes.read(cluster.node_pid_file(node))
    if process is not None:
        processes.end_trees([process])
    cluster.node_pid_file(node).unlink(missing_ok=True)
    Containerd(containerd_config(cluster, node)).stop_everything()
    remove_node_state(cluster, node)


def remove_node_state(cluster: Cluster, node: Node) -> None:
    """Undo what a restart of the machine would undo for a node that no longer runs."""
    cleanup.unmount_below(cluster.node_dir(node))
    cleanup.remove_tree(cluster.node_run_dir(node))
    if node.namespace:
        topology.remove_node(node)
    else:
        _remove_host_network(cluster.node_dir(node))
    cleanup.remove_cgroups(cluster.cgroup(node))
    cleanup.remove_cni_results(cluster.node_run_dir(node))


def remove_machine_state(cluster: Cluster) -> None:
    """Undo what navarch changed on the machine for all nodes together."""
    _remove_leftovers(cluster)
    if cluster.run_dir.exists():
        cleanup.remove_tree(cluster.run_dir)


def _stop_all(cluster: Cluster) -> None:
    # First those that would start things again.
    found = running(cluster)
    with_runtime = {p.pid for p in found if Path(processes.command_line(p.pid)[0] or "-").name == "containerd"}
    ours = [process for process in found if process.pid not in with_runtime]
    for process in ours:
        process.send(15)
    for process in ours:
        processes.stop(process, STOP_TIMEOUT_SECONDS)
    nodes = cluster.nodes or _nodes_by_directory(cluster)
    runtimes = [Containerd(containerd_config(cluster, node)) for node in nodes]
    for runtime in runtimes:
        runtime.stop()
    shims = [shim for runtime in runtimes for shim in runtime.shims()]
    processes.end_trees(shims, grace_seconds=CONTAINER_GRACE_SECONDS)
    for node in nodes:
        stop_node(cluster, node)
    for process in running(cluster):
        processes.end_trees([process])
    remove_machine_state(cluster)


def _unmerge_kubeconfigs(cluster: Cluster) -> None:
    if not cluster.merged_kubeconfigs.exists():
        return
    for line in cluster.merged_kubeconfigs.read_text().splitlines():
        try:
            if kubeconfig.remove(Path(line)):
                print(f"Took the context navarch out of {line}.")
        except (OSError, CommandError) as error:
            # Somebody else's file: whatever is wrong with it keeps nothing else here.
            print(f"The context navarch is still in {line}: {error}")


def _nodes_by_directory(cluster: Cluster) -> list[Node]:
    """Nodes as their directories tell, where nothing else does."""
    names = {path.name for top in (cluster.data_dir, cluster.run_dir) for path in (top / "nodes").glob("*")}
    return [Node(name, "", f"navarch-{name}" if name.startswith("node-") else "") for name in sorted(names)]


def _remove_host_network(node_dir: Path) -> None:
    from navarch.network import node as network

    asyncio.run(network.remove(sysctls_record=node_dir / network.SYSCTLS_RECORD))


def _remove_leftovers(cluster: Cluster) -> None:
    from navarch.network import overlay, sysctls

    if others(cluster.data_dir):
        # What has a name but no cluster's in it may be theirs.
        return
    topology.remove_leftovers()
    overlay.remove()
    sysctls.restore(cluster.host_sysctls)
    cleanup.remove_cgroups(f"/{cleanup.CGROUP}")
    cleanup.remove_cni_results(cluster.run_dir)
    if cluster.run_dir == RUN_DIR and not (cluster.run_dir / "nodes").exists():
        shutil.rmtree(RUN_DIR, ignore_errors=True)


def _processes() -> Iterator[tuple[Path, Process]]:
    for pid in processes.all_pids():
        data_dir = belongs_to(processes.command_line(pid))
        process = processes.find(pid) if data_dir is not None else None
        if data_dir is not None and process is not None and process.alive:
            yield data_dir, process

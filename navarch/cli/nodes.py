"""`navarch node`: what happens to single machines of a real cluster, done to a node on purpose."""

from __future__ import annotations

from pathlib import Path

from navarch.cli import down, topology
from navarch.cli.cluster import Cluster, CommandError, Node, locked, require
from navarch.cli.up import Launcher, Steps
from navarch.component import processes
from navarch.component.processes import Process


def stop(data_dir: Path, name: str) -> int:
    """Stop a node with its runtime and all its containers at once, as when it loses power."""
    with locked(data_dir):
        cluster = require(data_dir)
        node = cluster.node(name)
        if running(cluster, node) is None and not cluster.node_run_dir(node).exists():
            print(f"{name} is not running.")
            return 0
        down.stop_node(cluster, node)
    print(f"{name} is off. Bring it back with: navarch node start {name}")
    return 0


def start(data_dir: Path, name: str) -> int:
    """Start a node that was stopped, and wait until it is ready."""
    with locked(data_dir):
        cluster = require(data_dir)
        node = cluster.node(name)
        if running(cluster, node) is not None:
            print(f"{name} runs already.")
            return 0
        if processes.read(cluster.server_pid_file) is None:
            raise CommandError("the cluster is not running; start all of it with: navarch up")
        launcher = Launcher(cluster)
        try:
            launcher.start_node(node)
            launcher.wait(Steps())
        except BaseException:
            launcher.undo()
            raise
    return 0


def cut(data_dir: Path, name: str) -> int:
    """Take the node's cable out: it runs on, and nobody reaches it."""
    node = require(data_dir).node(name)
    topology.set_cable(node, plugged=False)
    print(f"{name} is cut off. Heal it with: navarch node heal {name}")
    return 0


def heal(data_dir: Path, name: str) -> int:
    """Put the node's cable in again."""
    node = require(data_dir).node(name)
    topology.set_cable(node, plugged=True)
    print(f"{name} is connected again.")
    return 0


def running(cluster: Cluster, node: Node) -> Process | None:
    """The node's process, if it runs."""
    return processes.read(cluster.node_pid_file(node))

"""Which containerd a node of a cluster has, and where."""

from __future__ import annotations

from pathlib import Path

from navarch.cli.cluster import Cluster, Node
from navarch.cri.containerd import ContainerdConfig, find_cni_plugins, find_program, needs_restricted_oom_score
from navarch.cri.images.pause import REFERENCE

CNI_PLUGINS_FALLBACK = Path("/opt/cni/bin")


def containerd_config(cluster: Cluster, node: Node) -> ContainerdConfig:
    """The runtime of a node."""
    return ContainerdConfig(
        root=cluster.node_dir(node) / "containerd",
        state=cluster.node_run_dir(node),
        log_file=cluster.log_dir / f"containerd-{node.name}.log",
        cni_bin_dir=find_cni_plugins() or CNI_PLUGINS_FALLBACK,
        cni_conf_dir=cluster.node_dir(node) / "cni" / "net.d",
        sandbox_image=REFERENCE,
        snapshotter=cluster.snapshotter,
        restrict_oom_score_adj=needs_restricted_oom_score(Path("/proc/self/status").read_text()),
        program=find_program("containerd") or "containerd",
    )

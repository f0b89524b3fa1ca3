"""What a kubelet is told when it starts. Defaults are Kubernetes' (kubelet.config.k8s.io/v1beta1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletConfig:
    """One node's settings; times in seconds."""

    node_name: str
    node_ip: str
    """The InternalIP that the node reports, and that its host-network pods have."""
    root_directory: Path
    """Holds ``pods/<uid>``; survives restarts."""
    log_directory: Path
    """Holds ``<namespace>_<name>_<uid>/<container>/<n>.log``."""
    port: int = 10250
    cluster_dns: tuple[str, ...] = ("10.96.0.10",)
    cluster_domain: str = "cluster.local"
    host_resolv_conf: Path = Path("/etc/resolv.conf")
    cgroup_root: str = "/kubepods"
    """Cgroup of all pods, as the runtime is told it; every node on one machine needs its own."""
    manage_cgroups: bool = True
    """False: pods get no cgroups of their own; for runtimes that only pretend."""
    memory_volumes: bool = True
    """Secrets and tokens are kept in memory file systems; False: in plain directories, which takes no privileges."""
    node_labels: dict[str, str] = field(default_factory=dict)
    """Beside those that every node gets."""
    node_taints: tuple[dict[str, str], ...] = ()
    max_pods: int = 110
    kube_reserved_cpu: str = "0"
    kube_reserved_memory: str = "0"
    eviction_hard_memory: str = "100Mi"
    capacity_cpu: str = ""
    """"" means what the machine has; so for memory."""
    capacity_memory: str = ""
    lease_duration_seconds: int = 40
    lease_renew_seconds: float = 10.0
    status_report_seconds: float = 300.0
    status_check_seconds: float = 10.0
    """How often the node looks at itself; it writes only what changed."""
    resync_seconds: float = 60.0
    """How often each pod is gone over without a cause; volumes are brought up to date then."""
    relist_seconds: float = 1.0
    """How often the runtime is asked what runs, where it does not tell by itself."""
    relist_with_events_seconds: float = 30.0
    parallel_starts: int = 0
    """Pods that are started at once; 0 means one more than the machine has cores."""
    parallel_image_pulls: int = 3
    max_container_log_bytes: int = 10 * 1024 * 1024
    max_container_log_files: int = 5
    allowed_unsafe_sysctls: tuple[str, ...] = ()

    @property
    def pods_directory(self) -> Path:
        return self.root_directory / "pods"

"""What the controllers are told about the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """Settings of all controllers; the defaults are those of a cluster made by ``navarch up``."""

    root_ca_pem: str = ""
    """The certificate by which pods know the API server; published as kube-root-ca.crt in every namespace."""
    signing_certificate_file: Path | None = None
    """The authority under which certificate signing requests are issued (PEM); without it and its key none are."""
    signing_key_file: Path | None = None
    service_account_key_file: Path | None = None
    """The private key (PEM, EC P-256) that signs the tokens in Secrets; without it they get none."""
    legacy_token_clean_up_seconds: float = 8760 * 3600.0
    """So long unused, tokens in Secrets that were made for their accounts are refused, and once more as long, they go."""
    cluster_cidr: str = "10.244.0.0/16"
    """Where nodes' pod networks are cut from."""
    node_cidr_mask_size: int = 24
    """Prefix length of one node's pod network."""
    cluster_dns_ip: str = "10.96.0.10"
    """Cluster IP of the kube-dns Service."""
    node_dns_port: int = 10053
    """Where every node answers DNS on its InternalIP."""
    node_monitor_grace_seconds: float = 50.0
    """How long a node may be silent before it counts as Unknown."""
    node_startup_grace_seconds: float = 60.0
    """How long one may be that has not told its status yet."""
    terminated_pod_threshold: int = 12500
    """How many terminated pods are kept before the oldest are deleted."""

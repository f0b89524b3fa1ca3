"""What the runtime is told to make: the configuration of a pod's sandbox and of one container. Pure.

Labels and annotations are those of Kubernetes: from them alone a restarted kubelet, or crictl, knows what is whose.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from navarch.apimachinery.errors import Object
from navarch.cri import runtime_pb2 as pb
from navarch.kubelet import dns, env, resources, security
from navarch.kubelet import runtime_pod as record
from navarch.kubelet.dns import Resolver

TERMINATION_LOG = "/dev/termination-log"

_PROTOCOLS = {"TCP": pb.TCP, "UDP": pb.UDP, "SCTP": pb.SCTP}
_PROPAGATION = {
    "HostToContainer": pb.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": pb.PROPAGATION_BIDIRECTIONAL,
}


def log_directory_name(pod: Object) -> str:
    metadata = pod["metadata"]
    return f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"


def pod_labels(pod: Object) -> dict[str, str]:
    metadata = pod["metadata"]
    return {
        record.POD_NAME: metadata["name"],
        record.POD_NAMESPACE: metadata["namespace"],
        record.POD_UID: metadata["uid"],
    }


def sandbox_config(
    pod: Object, *, attempt: int, log_directory: str, cgroup_parent: str, resolver: Resolver, cluster_domain: str
) -> pb.PodSandboxConfig:
    metadata, spec = pod["metadata"], pod["spec"]
    host_network = bool(spec.get("hostNetwork"))
    context = spec.get("securityContext") or {}
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(
            name=metadata["name"], uid=metadata["uid"], namespace=metadata["namespace"], attempt=attempt
        ),
        hostname="" if host_network else dns.sandbox_hostname(pod, cluster_domain),
        log_directory=log_directory,
        dns_config=pb.DNSConfig(servers=resolver.servers, searches=resolver.searches, options=resolver.options),
        port_mappings=[] if host_network else port_mappings(pod),
        labels={**(metadata.get("labels") or {}), **pod_labels(pod)},
        annotations=metadata.get("annotations") or {},
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent,
            security_context=security.sandbox_context(pod),
            sysctls={entry["name"].replace("/", "."): entry["value"] for entry in context.get("sysctls") or ()},
        ),
    )


def port_mappings(pod: Object) -> list[pb.PortMapping]:
    """Host ports of all containers, each once."""
    found: dict[tuple[int, str, str], pb.PortMapping] = {}
    for container in resources.all_containers(pod):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                protocol, address = port.get("protocol", "TCP"), port.get("hostIP", "")
                found[(port["hostPort"], protocol, address)] = pb.PortMapping(
                    protocol=_PROTOCOLS[protocol],
                    container_port=port["containerPort"],
                    host_port=port["hostPort"],
                    host_ip=address,
                )
    return list(found.values())


def container_hash(container: Object) -> str:
    """Changes with what cannot be changed in a running container: its name and image."""
    picked = {key: container.get(key) for key in ("name", "image")}
    return hashlib.sha256(json.dumps(picked, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What stands ready for a container outside the runtime."""

    image: pb.Image
    environment: Mapping[str, str]
    mounts: Sequence[pb.Mount]
    memory_capacity_bytes: int
    seccomp_root: str = ""
    target_id: str = ""
    """The container whose processes an ephemeral one sees."""


def container_config(pod: Object, container: Object, attempt: int, prepared: Prepared) -> pb.ContainerConfig:
    """Raises ConfigError."""
    environment = dict(prepared.environment)
    name = container["name"]
    return pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=name, attempt=attempt),
        image=pb.ImageSpec(image=prepared.image.id, user_specified_image=container["image"]),
        command=[env.expand(word, environment) for word in container.get("command") or ()],
        args=[env.expand(word, environment) for word in container.get("args") or ()],
        working_dir=container.get("workingDir") or "",
        envs=[pb.KeyValue(key=key, value=_clean(value)) for key, value in environment.items()],
        mounts=prepared.mounts,
        labels={record.CONTAINER_NAME: name, **pod_labels(pod)},
        annotations=container_annotations(pod, container, attempt),
        log_path=f"{name}/{attempt}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        linux=pb.LinuxContainerConfig(
            resources=resources.container_resources(pod, container, prepared.memory_capacity_bytes),
            security_context=security.container_context(
                pod, container, prepared.image, prepared.seccomp_root, prepared.target_id
            ),
        ),
    )


def _clean(value: str) -> str:
    """Protobuf strings are UTF-8; what a Secret holds may not be."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def container_annotations(pod: Object, container: Object, attempt: int) -> dict[str, str]:
    """What a later kubelet must know of this container without its pod."""
    metadata, spec = pod["metadata"], pod["spec"]
    found = {
        record.HASH: container_hash(container),
        record.RESTART_COUNT: str(attempt),
        record.TERMINATION_MESSAGE_PATH: container.get("terminationMessagePath") or TERMINATION_LOG,
        record.TERMINATION_MESSAGE_POLICY: container.get("terminationMessagePolicy") or "File",
    }
    if metadata.get("deletionGracePeriodSeconds") is not None:
        found[record.POD_DELETION_GRACE] = str(metadata["deletionGracePeriodSeconds"])
    if spec.get("terminationGracePeriodSeconds") is not None:
        found[record.POD_TERMINATION_GRACE] = str(spec["terminationGracePeriodSeconds"])
    pre_stop = (container.get("lifecycle") or {}).get("preStop")
    if pre_stop:
        found[record.PRE_STOP_HANDLER] = json.dumps(pre_stop)
    if container.get("ports"):
        found[record.PORTS] = json.dumps(container["ports"])
    return found


def is_recursive_read_only(mount: Object, supported: bool) -> bool:
    """Whether what is mounted below a volumeMount is to be read-only too. Raises ConfigError where it must and cannot be."""
    mode = mount.get("recursiveReadOnly")
    if mode == "Enabled" and not supported:
        text = f'volume "{mount["name"]}" requested recursive read-only mode, but it is not supported by the runtime'
        raise env.ConfigError(f"failed to resolve recursive read-only mode: {text}")
    return supported and mode in ("Enabled", "IfPossible")


def mount(
    container_path: str, host_path: str, spec: Object | None = None, *, read_only: bool = False, recursive: bool = False
) -> pb.Mount:
    """One mount; `spec` is the container's volumeMount."""
    path = container_path if container_path.startswith("/") else f"/{container_path}"
    return pb.Mount(
        container_path=path,
        host_path=host_path,
        readonly=read_only,
        recursive_read_only=recursive,
        propagation=_PROPAGATION.get((spec or {}).get("mountPropagation") or "", pb.PROPAGATION_PRIVATE),
    )

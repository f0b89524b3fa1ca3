"""Security contexts: what the pod and the container ask for, merged, as the runtime is told it. Pure."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from navarch.cri import runtime_pb2 as pb
from navarch.kubelet.env import ConfigError
from navarch.kubelet.resources import all_containers

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# Sysctls that are namespaced and cannot harm others (kubernetes.io/docs "Using sysctls in a Kubernetes Cluster").
SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    }
)

_POD_FIELDS = ("runAsUser", "runAsGroup", "runAsNonRoot", "seLinuxOptions", "seccompProfile", "appArmorProfile")


def effective(pod: Object, container: Object) -> Object:
    """The container's security context, with the pod's where it says nothing."""
    of_pod = pod["spec"].get("securityContext") or {}
    merged = {key: of_pod[key] for key in _POD_FIELDS if of_pod.get(key) is not None}
    merged.update({key: value for key, value in (container.get("securityContext") or {}).items() if value is not None})
    return merged


def is_privileged(container: Object) -> bool:
    return bool((container.get("securityContext") or {}).get("privileged"))


def any_privileged(pod: Object) -> bool:
    return any(is_privileged(container) for container in all_containers(pod))


def namespaces(pod: Object, target_id: str = "") -> pb.NamespaceOption:
    """Which namespaces a container shares; `target_id` is whose processes an ephemeral container looks at."""
    spec = pod["spec"]
    pid = pb.CONTAINER
    if target_id:
        pid = pb.TARGET
    elif spec.get("hostPID"):
        pid = pb.NODE
    elif spec.get("shareProcessNamespace"):
        pid = pb.POD
    return pb.NamespaceOption(
        network=pb.NODE if spec.get("hostNetwork") else pb.POD,
        pid=pid,
        ipc=pb.NODE if spec.get("hostIPC") else pb.POD,
        target_id=target_id,
    )


def groups(pod: Object) -> list[int]:
    """Supplemental groups: fsGroup and those the pod lists."""
    context = pod["spec"].get("securityContext") or {}
    found = [] if context.get("fsGroup") is None else [int(context["fsGroup"])]
    return found + [int(group) for group in context.get("supplementalGroups") or ()]


def sandbox_context(pod: Object) -> pb.LinuxSandboxSecurityContext:
    context = pod["spec"].get("securityContext") or {}
    result = pb.LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        privileged=any_privileged(pod),
        supplemental_groups=groups(pod),
        seccomp=pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault),
        supplemental_groups_policy=_groups_policy(context),
    )
    _set_user(result, context)
    if context.get("seLinuxOptions"):
        result.selinux_options.CopyFrom(_selinux(context["seLinuxOptions"]))
    return result


def container_context(
    pod: Object, container: Object, image: pb.Image, seccomp_root: str, target_id: str = ""
) -> pb.LinuxContainerSecurityContext:
    """Raises ConfigError where the pod forbids root and root it would be."""
    wanted = effective(pod, container)
    _check_non_root(pod, container, wanted, image)
    privileged = bool(wanted.get("privileged"))
    result = pb.LinuxContainerSecurityContext(
        privileged=privileged,
        namespace_options=namespaces(pod, target_id),
        readonly_rootfs=bool(wanted.get("readOnlyRootFilesystem")),
        supplemental_groups=groups(pod),
        supplemental_groups_policy=_groups_policy(pod["spec"].get("securityContext") or {}),
        no_new_privs=_no_new_privileges(wanted),
        seccomp=_profile(wanted.get("seccompProfile"), seccomp_root, privileged),
    )
    _set_user(result, wanted)
    if wanted.get("runAsUser") is None:
        _set_image_user(result, image)
    if wanted.get("seLinuxOptions"):
        result.selinux_options.CopyFrom(_selinux(wanted["seLinuxOptions"]))
    capabilities = wanted.get("capabilities") or {}
    if capabilities:
        result.capabilities.add_capabilities.extend(capabilities.get("add") or ())
        result.capabilities.drop_capabilities.extend(capabilities.get("drop") or ())
    if wanted.get("appArmorProfile"):
        result.apparmor.CopyFrom(_profile(wanted["appArmorProfile"], "", privileged))
    if not privileged and wanted.get("procMount") != "Unmasked":
        result.masked_paths.extend(MASKED_PATHS)
        result.readonly_paths.extend(READONLY_PATHS)
    return result


def _set_user(result: Any, context: Object) -> None:
    if context.get("runAsUser") is not None:
        result.run_as_user.value = int(context["runAsUser"])
    if context.get("runAsGroup") is not None:
        result.run_as_group.value = int(context["runAsGroup"])


def _set_image_user(result: pb.LinuxContainerSecurityContext, image: pb.Image) -> None:
    """The user the image names; the runtime refuses a group without a user."""
    if image.HasField("uid"):
        result.run_as_user.value = image.uid.value
    elif image.username:
        result.run_as_username = image.username
    elif result.HasField("run_as_group"):
        result.run_as_user.value = 0


def _no_new_privileges(wanted: Object) -> bool:
    return wanted.get("allowPrivilegeEscalation") is False


def _groups_policy(context: Object) -> pb.SupplementalGroupsPolicy:
    return pb.Strict if context.get("supplementalGroupsPolicy") == "Strict" else pb.Merge


def _selinux(options: Object) -> pb.SELinuxOption:
    return pb.SELinuxOption(**{key: options[key] for key in ("user", "role", "type", "level") if options.get(key)})


def _profile(profile: Object | None, root: str, privileged: bool) -> pb.SecurityProfile:
    kind = (profile or {}).get("type") or "Unconfined"
    if kind == "RuntimeDefault" and not privileged:
        return pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault)
    if kind == "Localhost":
        name = str((profile or {}).get("localhostProfile") or "")
        reference = f"{root}/{name}" if root else name
        return pb.SecurityProfile(profile_type=pb.SecurityProfile.Localhost, localhost_ref=reference)
    return pb.SecurityProfile(profile_type=pb.SecurityProfile.Unconfined)


def _check_non_root(pod: Object, container: Object, wanted: Object, image: pb.Image) -> None:
    if not wanted.get("runAsNonRoot"):
        return
    metadata = pod["metadata"]
    where = f'(pod: "{metadata["name"]}_{metadata["namespace"]}({metadata["uid"]})", container: {container["name"]})'
    user = wanted.get("runAsUser")
    if user is not None:
        if int(user) == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if image.HasField("uid"):
        if image.uid.value == 0:
            raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
        return
    if image.username:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {where}"
        )
    raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")


def forbidden_sysctls(pod: Object, allowed_unsafe: tuple[str, ...]) -> list[str]:
    """Sysctls of the pod that this node does not allow."""
    wanted = [entry["name"] for entry in (pod["spec"].get("securityContext") or {}).get("sysctls") or ()]

    def allowed(name: str) -> bool:
        normal = name.replace("/", ".")
        return normal in SAFE_SYSCTLS or any(
            normal == pattern or (pattern.endswith("*") and normal.startswith(pattern[:-1])) for pattern in allowed_unsafe
        )

    return [name for name in wanted if not allowed(name)]

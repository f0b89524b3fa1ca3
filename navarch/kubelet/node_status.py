"""What a node says of itself: labels, addresses, capacity, conditions, software. Pure; facts about the machine are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.kubelet.config import KubeletConfig

if TYPE_CHECKING:
    from navarch.cri import runtime_pb2 as pb

KUBELET_VERSION = "v1.36.0"
IMAGES_LIMIT = 50
IMAGE_NAMES_LIMIT = 5
# Of the node's disk, what must stay free (kubelet: evictionHard nodefs.available).
DISK_RESERVE_PERCENT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Facts that do not change while the machine runs."""

    cpus: int
    memory_bytes: int
    disk_bytes: int
    hugepages: Mapping[str, int]
    """Size such as ``2Mi`` -> bytes set aside."""
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel_version: str
    os_image: str
    architecture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the node is right now."""

    problem: str
    """"" or why it is not ready."""
    memory_available_bytes: int
    disk_available_bytes: int
    memory_reserve_bytes: int
    disk_bytes: int
    pids_free: bool = True


def labels(config: KubeletConfig, machine: Machine) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
        **config.node_labels,
    }


def capacity(config: KubeletConfig, machine: Machine) -> dict[str, str]:
    memory = quantity.value(config.capacity_memory) if config.capacity_memory else machine.memory_bytes
    found = {
        "cpu": config.capacity_cpu or str(machine.cpus),
        "ephemeral-storage": f"{machine.disk_bytes // 1024}Ki",
        "memory": f"{memory // 1024}Ki",
        "pods": str(config.max_pods),
    }
    for size, total in sorted(machine.hugepages.items()):
        found[f"hugepages-{size}"] = quantity.canonical(f"{total // 1024}Ki") if total else "0"
    return found


def allocatable(config: KubeletConfig, total: Mapping[str, str]) -> dict[str, str]:
    """What is left for pods: less what is reserved, and what must stay free."""
    reserved_memory = quantity.value(config.kube_reserved_memory) + quantity.value(config.eviction_hard_memory)
    huge = sum(quantity.value(value) for name, value in total.items() if name.startswith("hugepages-"))
    memory = max(0, quantity.value(total["memory"]) - reserved_memory - huge)
    cpu = max(0, quantity.milli(total["cpu"]) - quantity.milli(config.kube_reserved_cpu))
    disk = quantity.value(total["ephemeral-storage"]) * (100 - DISK_RESERVE_PERCENT) // 100
    return {
        **total,
        "cpu": quantity.canonical(f"{cpu}m"),
        "memory": f"{memory // 1024}Ki",
        "ephemeral-storage": str(disk),
    }


def addresses(config: KubeletConfig) -> list[Object]:
    return [
        {"type": "InternalIP", "address": config.node_ip},
        {"type": "Hostname", "address": config.node_name},
    ]


def node_info(machine: Machine, runtime_version: str) -> Object:
    return {
        "machineID": machine.machine_id,
        "systemUUID": machine.system_uuid,
        "bootID": machine.boot_id,
        "kernelVersion": machine.kernel_version,
        "osImage": machine.os_image,
        "containerRuntimeVersion": runtime_version,
        "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": machine.architecture,
    }


def images(found: Iterable[pb.Image]) -> list[Object]:
    """The largest ones, as the node lists them."""
    shown: list[Object] = []
    for image in sorted(found, key=lambda one: one.size, reverse=True)[:IMAGES_LIMIT]:
        names = [*image.repo_digests, *image.repo_tags][:IMAGE_NAMES_LIMIT]
        if names:
            shown.append({"names": names, "sizeBytes": image.size})
    return shown


def conditions(health: Health, old: Sequence[Object], now: datetime) -> list[Object]:
    """Heartbeat times are `now`; transition times change with the status only."""
    low_memory = health.memory_available_bytes < health.memory_reserve_bytes
    low_disk = health.disk_available_bytes * 100 < health.disk_bytes * DISK_RESERVE_PERCENT
    fresh = [
        _pressure(
            "MemoryPressure", low_memory, "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory", "memory available"
        ),
        _pressure("DiskPressure", low_disk, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure", "disk pressure"),
        _pressure("PIDPressure", not health.pids_free, "KubeletHasInsufficientPID", "KubeletHasSufficientPID", "PID available"),
        {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
        if not health.problem
        else {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": health.problem},
    ]
    stamp = meta.format_time(now)
    result: list[Object] = []
    for condition in fresh:
        present = meta.find(old, "type", condition["type"])
        since = stamp
        if present is not None and present.get("status") == condition["status"]:
            since = present.get("lastTransitionTime", stamp)
        result.append({**condition, "lastHeartbeatTime": stamp, "lastTransitionTime": since})
    return result


def _pressure(type_: str, bad: bool, bad_reason: str, good_reason: str, what: str) -> Object:
    if type_ == "DiskPressure":
        message = f"kubelet has {what}" if bad else f"kubelet has no {what}"
    else:
        message = f"kubelet has {'insufficient' if bad else 'sufficient'} {what}"
    return {
        "type": type_,
        "status": "True" if bad else "False",
        "reason": bad_reason if bad else good_reason,
        "message": message,
    }


def runtime_problem(status: pb.StatusResponse) -> tuple[str, str]:
    """("" or what is wrong with the runtime, the same for its network)."""
    found = {condition.type: condition for condition in status.status.conditions}
    texts = []
    for type_, title in (
        ("RuntimeReady", "container runtime not ready"),
        ("NetworkReady", "container runtime network not ready"),
    ):
        condition = found.get(type_)
        if condition is None:
            texts.append(f"{title}: condition {type_} is missing")
        elif not condition.status:
            texts.append(f"{title}: {type_}=false reason:{condition.reason} message:{condition.message}")
        else:
            texts.append("")
    return texts[0], texts[1]


def runtime_handlers(status: pb.StatusResponse) -> list[Object]:
    """What each of the runtime's handlers can do."""
    return [
        {
            "name": handler.name,
            "features": {
                "recursiveReadOnlyMounts": handler.features.recursive_read_only_mounts,
                "userNamespaces": handler.features.user_namespaces,
            },
        }
        for handler in status.runtime_handlers
    ]


def runtime_features(status: pb.StatusResponse) -> Object | None:
    """What the runtime itself can do; None if it does not tell."""
    if not status.HasField("features"):
        return None
    return {"supplementalGroupsPolicy": status.features.supplemental_groups_policy}


def recursive_read_only(handlers: Iterable[Object]) -> bool:
    """Whether the default one of these handlers can make what is below a read-only mount read-only too."""
    return any(handler["name"] == "" and handler["features"]["recursiveReadOnlyMounts"] for handler in handlers)


_TOLD = {
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory",
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "True"): "NodeHasDiskPressure",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "True"): "NodeHasInsufficientPID",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
}


def news(old: Sequence[Object], new: Sequence[Object]) -> list[str]:
    """Reasons of the events that tell which conditions have changed. That a node is not ready yet, as it comes, is none."""
    changed = []
    for condition in new:
        before = meta.find(old, "type", condition["type"])
        if before is None and (condition["type"], condition["status"]) == ("Ready", "False"):
            continue
        if before is None or before.get("status") != condition["status"]:
            changed.append(_TOLD[condition["type"], condition["status"]])
    return changed


def differs(old: Object, new: Object) -> bool:
    """Whether a status says something new; heartbeats alone don't."""
    return _without_heartbeats(old, new) != _without_heartbeats(new, new)


def _without_heartbeats(status: Object, like: Object) -> dict[str, Any]:
    """The fields that `like` has; conditions without their heartbeat."""
    picked = {key: status.get(key) for key in like if key != "conditions"}
    wanted = {condition["type"] for condition in like.get("conditions") or ()}
    picked["conditions"] = {
        condition["type"]: {key: value for key, value in condition.items() if key != "lastHeartbeatTime"}
        for condition in status.get("conditions") or ()
        if condition["type"] in wanted
    }
    return picked

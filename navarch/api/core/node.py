"""Node: a machine that runs pods."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, duplicate, forbidden_field, not_supported, required

ROLE_LABEL_PREFIX = "node-role.kubernetes.io/"
TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")


def default(node: Object) -> Object:
    status = node.setdefault("status", {})
    if "capacity" in status and "allocatable" not in status:
        status["allocatable"] = dict(status["capacity"])
    node.setdefault("spec", {})
    return node


def validate(node: Object) -> Iterator[FieldError]:
    seen = set()
    for index, taint in enumerate(node.get("spec", {}).get("taints") or ()):
        path = f"metadata.taints[{index}]"
        if not taint.get("key"):
            yield required(f"{path}.key")
        if taint.get("effect") not in TAINT_EFFECTS:
            yield not_supported(f"{path}.effect", taint.get("effect", ""), TAINT_EFFECTS)
        identity = (taint.get("key"), taint.get("effect"))
        if identity in seen:
            yield duplicate(path, taint)
        seen.add(identity)
    cidrs = node.get("spec", {}).get("podCIDRs") or ()
    if cidrs and node["spec"].get("podCIDR", cidrs[0]) != cidrs[0]:
        yield forbidden_field("spec.podCIDRs", "primary must match podCIDR")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    before, now = old.get("spec", {}).get("podCIDRs"), new.get("spec", {}).get("podCIDRs")
    if before and before != now:
        yield forbidden_field("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if old.get("spec", {}).get("providerID") and old["spec"]["providerID"] != new.get("spec", {}).get("providerID"):
        yield forbidden_field("spec.providerID", 'node updates may not change providerID except from "" to valid')


def roles(node: Object) -> list[str]:
    return sorted(key.removeprefix(ROLE_LABEL_PREFIX) for key in meta.labels(node) if key.startswith(ROLE_LABEL_PREFIX))


def address(node: Object, type_: str) -> str:
    """The node's first address of a type (InternalIP, ExternalIP, Hostname), or ""."""
    found = meta.find(node.get("status", {}).get("addresses") or (), "type", type_)
    return str(found["address"]) if found else ""


def row(node: Object, now: datetime) -> list[Any]:
    ready = meta.condition(node, "Ready")
    states = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if node.get("spec", {}).get("unschedulable"):
        states.append("SchedulingDisabled")
    info = node.get("status", {}).get("nodeInfo", {})
    return [
        node["metadata"]["name"],
        ",".join(states),
        printing.joined(roles(node)),
        printing.age(node, now),
        info.get("kubeletVersion", ""),
        address(node, "InternalIP") or printing.NONE,
        address(node, "ExternalIP") or printing.NONE,
        info.get("osImage") or printing.UNKNOWN,
        info.get("kernelVersion") or printing.UNKNOWN,
        info.get("containerRuntimeVersion") or printing.UNKNOWN,
    ]


KIND = Kind(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    namespaced=False,
    short_names=("no",),
    subresources=("status", "proxy"),
    keeps_status_on_create=True,
    default=default,
    validate=validate,
    validate_update=validate_update,
    selectable_fields={"spec.unschedulable": lambda obj: str(bool(obj.get("spec", {}).get("unschedulable"))).lower()},
    columns=(
        NAME,
        Column("Status"),
        Column("Roles"),
        AGE,
        Column("Version"),
        Column("Internal-IP", priority=1),
        Column("External-IP", priority=1),
        Column("OS-Image", priority=1),
        Column("Kernel-Version", priority=1),
        Column("Container-Runtime", priority=1),
    ),
    row=row,
)

"""Node: a machine that runs pods."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core import containerresources, podscheduling, resourcenames
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import FieldError, Object, duplicate, forbidden_field, invalid_value

ROLE_LABEL_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"


def default(node: Object) -> Object:
    status = node.setdefault("status", {})
    if "capacity" in status and "allocatable" not in status:
        status["allocatable"] = dict(status["capacity"])
    node.setdefault("spec", {})
    for field in ("capacity", "allocatable"):
        containerresources.round_amounts(status.get(field))
    return node


def validate(node: Object) -> Iterator[FieldError]:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    yield from _taints(spec.get("taints") or (), "metadata.taints")
    for field in ("capacity", "allocatable"):
        for name, amount in sorted((status.get(field) or {}).items()):
            yield from resourcenames.validate_amount(name, amount, f"status.{field}.{name}")
    cidrs = spec.get("podCIDRs") or ()
    if cidrs and spec.get("podCIDR", cidrs[0]) != cidrs[0]:
        yield forbidden_field("spec.podCIDRs", "primary must match podCIDR")
    versions: list[int] = []
    for index, network in enumerate(cidrs):
        problems = list(names.cidr(network))
        for text in problems:
            yield invalid_value(f"spec.podCIDRs[{index}]", network, text)
        if not problems:
            versions.append(ipaddress.ip_network(network).version)
    if len(cidrs) > 1 and len(versions) == len(cidrs) and (len(cidrs) > 2 or len(set(versions)) < len(versions)):
        yield invalid_value("spec.podCIDRs", cidrs, "may specify no more than one CIDR for each IP family")


def _taints(taints: Iterable[Object], path: str) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        where, key, value, effect = f"{path}[{index}]", taint.get("key", ""), taint.get("value", ""), taint.get("effect", "")
        for text in names.qualified_name(key):
            yield invalid_value(f"{where}.key", key, text)
        problems = names.label_value(value)
        if problems:
            yield invalid_value(f"{where}.value", value, ";".join(problems))
        yield from podscheduling.validate_effect(effect, f"{where}.effect", may_be_empty=False)
        if (key, effect) in seen:
            yield duplicate(where, taint, "taints must be unique by key and effect pair")
        seen.add((key, effect))


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    addresses: list[Object] = []
    for index, entry in enumerate((new.get("status") or {}).get("addresses") or ()):
        if entry in addresses:
            yield duplicate(f"status.addresses[{index}]", entry)
        addresses.append(entry)
    before, now = old.get("spec", {}).get("podCIDRs"), new.get("spec", {}).get("podCIDRs")
    if before and before != now:
        yield forbidden_field("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if old.get("spec", {}).get("providerID") and old["spec"]["providerID"] != new.get("spec", {}).get("providerID"):
        yield forbidden_field("spec.providerID", 'node updates may not change providerID except from "" to valid')


def roles(node: Object) -> list[str]:
    """What labels say the node is for: ``node-role.kubernetes.io/<role>`` and ``kubernetes.io/role: <role>``."""
    labels = meta.labels(node)
    found = {key.removeprefix(ROLE_LABEL_PREFIX) for key in labels if key.startswith(ROLE_LABEL_PREFIX)}
    return sorted((found | {labels.get(ROLE_LABEL, "")}) - {""})


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


def warnings(node: Object, old: Object | None) -> Iterator[str]:
    spec = node.get("spec") or meta.EMPTY
    if spec.get("configSource") is not None:
        yield "spec.configSource: the feature is removed"
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"


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
    warnings=warnings,
    validate_update=validate_update,
    validate_status_update=lambda new, old: (*validate(new), *validate_update(new, old)),
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

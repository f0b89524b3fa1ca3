"""Service: one address for a set of pods."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core import servicefamilies, servicerules, servicewarnings
from navarch.api.core.servicerules import is_checked, is_external
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import Object

AFFINITY_TIMEOUT_SECONDS = 10800


def has_cluster_ip(spec: Object) -> bool:
    """Whether the Service is to have an address of its own."""
    return spec.get("type", "ClusterIP") != "ExternalName" and spec.get("clusterIP") != "None"


def may_have_node_ports(spec: Object) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer")


def wants_node_ports(spec: Object) -> bool:
    """Whether ports that ask for no node port get one."""
    return may_have_node_ports(spec) and (spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts", True))


def is_balanced(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer"


def default(service: Object) -> Object:
    spec = service.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client.setdefault("timeoutSeconds", AFFINITY_TIMEOUT_SECONDS)
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port")
    if is_external(spec):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    return service


def prepare_create(service: Object) -> Object:
    spec = dict(service["spec"])
    servicefamilies.settle(spec, None)
    return {**service, "spec": _without_internal_policy(spec), "status": {"loadBalancer": {}}}


def _without_internal_policy(spec: Object) -> Object:
    """Of another name, nothing is ever seen of such a policy."""
    if spec["type"] == "ExternalName" and spec.get("internalTrafficPolicy") in servicerules.POLICIES:
        return {field: value for field, value in spec.items() if field != "internalTrafficPolicy"}
    return spec


def prepare_update(new: Object, old: Object) -> Object:
    """Addresses and node ports that an update leaves out are kept, unless its type no longer has them."""
    spec, before = dict(new["spec"]), old["spec"]
    servicefamilies.settle(spec, before)
    if is_checked(spec) and is_checked(before) and not spec.get("healthCheckNodePort") and before.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = before["healthCheckNodePort"]
    _drop_dependent(spec, before)
    if may_have_node_ports(before) and spec.get("ports"):
        spec["ports"] = _with_former_node_ports(spec, before)
    result = {**new, "spec": _without_internal_policy(spec)}
    if not is_balanced(spec) and "status" in new:
        result["status"] = {**new["status"], "loadBalancer": {}}
    return result


def _with_former_node_ports(spec: Object, before: Object) -> list[Object]:
    """Ports with the node ports that they had under their names, or without any where there may be none."""
    now, former = node_ports(spec), node_ports(before)
    if may_have_node_ports(spec):
        known = {port.get("name", ""): port.get("nodePort") for port in before.get("ports") or ()}
        ports = []
        for port in spec["ports"]:
            kept = known.get(port.get("name", ""))
            fits = not port.get("nodePort") and kept and kept not in now
            ports.append({**port, "nodePort": kept} if fits else port)
        return ports
    if set(now) <= set(former):
        return [{key: value for key, value in port.items() if key != "nodePort"} for port in spec["ports"]]
    return list(spec["ports"])


def node_ports(spec: Object) -> list[int]:
    """The node ports that its ports have."""
    return [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]


# Fields that only some Services have: an update to another one that leaves them as they were drops them. Those on one line
# stay or go together.
_DEPENDENT: tuple[tuple[Callable[[Object], bool], tuple[tuple[str, ...], ...]], ...] = (
    (lambda spec: spec["type"] != "ExternalName", (("clusterIP", "clusterIPs"), ("ipFamilies",), ("ipFamilyPolicy",))),
    (is_checked, (("healthCheckNodePort",),)),
    (is_balanced, (("allocateLoadBalancerNodePorts",), ("loadBalancerClass",))),
    (is_external, (("externalTrafficPolicy",),)),
)


def _drop_dependent(spec: Object, before: Object) -> None:
    for applies, together in _DEPENDENT:
        if applies(before) and not applies(spec):
            for fields in together:
                if all(spec.get(field) == before.get(field) for field in fields):
                    for field in fields:
                        spec.pop(field, None)


def default_status(service: Object) -> None:
    """Addresses of load balancers are virtual ones, unless they say something else. Changes `service`."""
    for entry in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        if entry.get("ip") and entry.get("ipMode") is None:
            entry["ipMode"] = "VIP"


def prepare_status_update(new: Object, old: Object) -> Object:
    new = {**new, "status": copy.deepcopy(new.get("status") or {})}
    default_status(new)
    return new


def external_ips(service: Object) -> str:
    """The EXTERNAL-IP column."""
    spec = service["spec"]
    extra = spec.get("externalIPs") or []
    if spec["type"] == "ExternalName":
        return str(spec.get("externalName", ""))
    if spec["type"] == "LoadBalancer":
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        found = {item.get("ip") or item.get("hostname", "") for item in ingress} - {""}
        return ",".join(sorted(found) + extra) or "<pending>"
    return ",".join(extra) or printing.NONE


def row(service: Object, now: datetime) -> list[Any]:
    spec = service["spec"]
    ports = [
        f"{port['port']}:{port['nodePort']}/{port.get('protocol', 'TCP')}"
        if port.get("nodePort")
        else f"{port['port']}/{port.get('protocol', 'TCP')}"
        for port in spec.get("ports") or ()
    ]
    return [
        service["metadata"]["name"],
        spec["type"],
        spec.get("clusterIP") or printing.NONE,
        external_ips(service),
        printing.joined(ports),
        printing.age(service, now),
        printing.labels(spec.get("selector")),
    ]


KIND = Kind(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    short_names=("svc",),
    categories=("all",),
    subresources=("proxy", "status"),
    storage_prefix="services/specs",
    validate_name=names.dns1123_label,
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    prepare_status_update=prepare_status_update,
    validate=servicerules.validate,
    warnings=servicewarnings.of_service,
    validate_update=servicerules.validate_update,
    validate_status_update=servicerules.validate_status_update,
    selectable_fields={
        "spec.clusterIP": lambda obj: obj["spec"].get("clusterIP", ""),
        "spec.type": lambda obj: obj["spec"].get("type", ""),
    },
    allow_create_on_update=True,
    returns_deleted=True,
    columns=(
        NAME,
        Column("Type"),
        Column("Cluster-IP"),
        Column("External-IP"),
        Column("Port(s)"),
        AGE,
        Column("Selector", priority=1),
    ),
    row=row,
)

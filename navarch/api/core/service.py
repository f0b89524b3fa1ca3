"""Service: one address for a set of pods."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core import servicerules, servicewarnings
from navarch.api.core.servicerules import is_external
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import Object

AFFINITY_TIMEOUT_SECONDS = 10800


def has_cluster_ip(spec: Object) -> bool:
    """Whether the Service is to have an address of its own."""
    return spec.get("type", "ClusterIP") != "ExternalName" and spec.get("clusterIP") != "None"


def wants_node_ports(spec: Object) -> bool:
    type_ = spec.get("type", "ClusterIP")
    return bool(type_ == "NodePort" or (type_ == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)))


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
    return {**service, "spec": _with_families(service["spec"]), "status": {"loadBalancer": {}}}


def _with_families(spec: Object) -> Object:
    """With one list of addresses and the families they are of. These are no defaults: whoever wrote the Service does not
    manage them."""
    spec = dict(spec)
    if spec["type"] != "ExternalName":
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        elif spec.get("clusterIPs") and not spec.get("clusterIP"):
            spec["clusterIP"] = spec["clusterIPs"][0]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
    return spec


def prepare_update(new: Object, old: Object) -> Object:
    """Addresses and node ports that an update leaves out are kept, unless its type no longer has them."""
    spec, before = _with_families(new["spec"]), old["spec"]
    if has_cluster_ip(spec) and has_cluster_ip(before) and not spec.get("clusterIP"):
        spec["clusterIP"], spec["clusterIPs"] = before.get("clusterIP", ""), before.get("clusterIPs", [])
    _drop_dependent(spec, before)
    known = {(port.get("protocol"), port["port"]): port.get("nodePort") for port in before.get("ports") or ()}
    ports = []
    for port in spec.get("ports") or ():
        if not wants_node_ports(spec):
            if wants_node_ports(before) and port.get("nodePort") == known.get((port.get("protocol"), port["port"])):
                port = {key: value for key, value in port.items() if key != "nodePort"}
        elif not port.get("nodePort"):
            kept = known.get((port.get("protocol"), port["port"]))
            if kept and wants_node_ports(before):
                port = {**port, "nodePort": kept}
        ports.append(port)
    if ports:
        spec["ports"] = ports
    return {**new, "spec": spec}


# Fields that only some types of Service have: an update that changes the type, but leaves them as they were, drops them.
_DEPENDENT: tuple[tuple[Callable[[Object], bool], tuple[str, ...]], ...] = (
    (has_cluster_ip, ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")),
    (is_external, ("externalTrafficPolicy",)),
    (is_balanced, ("allocateLoadBalancerNodePorts", "loadBalancerClass", "loadBalancerIP")),
)


def _drop_dependent(spec: Object, before: Object) -> None:
    for applies, fields in _DEPENDENT:
        if applies(before) and not applies(spec) and spec["type"] != before["type"]:
            for field in fields:
                if spec.get(field) == before.get(field):
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
        found = [item.get("ip") or item.get("hostname", "") for item in ingress] + extra
        return ",".join(found) or "<pending>"
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

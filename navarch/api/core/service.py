"""Service: one address for a set of pods."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.objectmeta import validate_labels
from navarch.apimachinery import names
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
POLICIES = ("Cluster", "Local")
AFFINITIES = ("ClientIP", "None")
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
AFFINITY_TIMEOUT_SECONDS = 10800
AFFINITY_TIMEOUT_LIMIT_SECONDS = 86400


def has_cluster_ip(spec: Object) -> bool:
    """Whether the Service is to have an address of its own."""
    return spec.get("type", "ClusterIP") != "ExternalName" and spec.get("clusterIP") != "None"


def wants_node_ports(spec: Object) -> bool:
    type_ = spec.get("type", "ClusterIP")
    return bool(type_ == "NodePort" or (type_ == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)))


def is_external(spec: Object) -> bool:
    """Whether it may be reached from outside."""
    return spec.get("type") in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))


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
    if spec["type"] in ("NodePort", "LoadBalancer"):
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


def validate(service: Object) -> Iterator[FieldError]:
    spec = service["spec"]
    if spec["type"] not in TYPES:
        yield not_supported("spec.type", spec["type"], TYPES)
    yield from _ports(spec)
    yield from validate_labels(spec.get("selector") or {}, "spec.selector")
    if spec["sessionAffinity"] not in AFFINITIES:
        yield not_supported("spec.sessionAffinity", spec["sessionAffinity"], AFFINITIES)
    elif spec["sessionAffinity"] == "ClientIP":
        seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
        if not 0 < seconds <= AFFINITY_TIMEOUT_LIMIT_SECONDS:
            text = f"must be greater than 0 and less than {AFFINITY_TIMEOUT_LIMIT_SECONDS}"
            yield invalid_value("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, text)
    yield from _addresses(spec)
    for field in ("internalTrafficPolicy", "externalTrafficPolicy"):
        if spec.get(field) is not None and spec[field] not in POLICIES:
            yield not_supported(f"spec.{field}", spec[field], POLICIES)
    if spec.get("externalTrafficPolicy") and not is_external(spec):
        yield invalid_value(
            "spec.externalTrafficPolicy",
            spec["externalTrafficPolicy"],
            "may only be set for externally-accessible services",
        )


def _ports(spec: Object) -> Iterator[FieldError]:
    ports = spec.get("ports") or ()
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and spec["type"] != "ExternalName":
        yield required("spec.ports")
    seen_names: set[str] = set()
    seen_ports: set[tuple[str, int]] = set()
    seen_node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name", "")
        if not name and len(ports) > 1:
            yield required(f"{path}.name")
        elif name:
            yield from (invalid_value(f"{path}.name", name, text) for text in names.dns1123_label(name))
            if name in seen_names:
                yield duplicate(f"{path}.name", name)
            seen_names.add(name)
        yield from (invalid_value(f"{path}.port", port["port"], text) for text in names.port_number(port["port"]))
        if port["protocol"] not in PROTOCOLS:
            yield not_supported(f"{path}.protocol", port["protocol"], PROTOCOLS)
        target = port.get("targetPort")
        if isinstance(target, int):
            yield from (invalid_value(f"{path}.targetPort", target, text) for text in names.port_number(target))
        elif isinstance(target, str):
            yield from (invalid_value(f"{path}.targetPort", target, text) for text in names.port_name(target))
        identity = (port["protocol"], port["port"])
        if identity in seen_ports:
            yield duplicate(path, {"port": port["port"], "protocol": port["protocol"]})
        seen_ports.add(identity)
        node_port = port.get("nodePort")
        if node_port:
            if spec["type"] not in ("NodePort", "LoadBalancer"):
                yield forbidden_field(f"{path}.nodePort", "may not be used when `type` is 'ClusterIP'")
            if (port["protocol"], node_port) in seen_node_ports:
                yield duplicate(f"{path}.nodePort", node_port)
            seen_node_ports.add((port["protocol"], node_port))


def _addresses(spec: Object) -> Iterator[FieldError]:
    cluster_ip = spec.get("clusterIP", "")
    if spec["type"] == "ExternalName":
        if cluster_ip:
            yield forbidden_field("spec.clusterIPs", "may not be set for ExternalName services")
        name = spec.get("externalName", "").rstrip(".")
        if not name:
            yield required("spec.externalName")
        else:
            yield from (invalid_value("spec.externalName", name, text) for text in names.dns1123_subdomain(name))
    elif cluster_ip == "None":
        if spec["type"] in ("NodePort", "LoadBalancer"):
            yield invalid_value("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {spec['type']} services")
    elif cluster_ip:
        yield from (invalid_value("spec.clusterIPs[0]", cluster_ip, text) for text in names.ip_address(cluster_ip))
    if cluster_ip and (spec.get("clusterIPs") or [cluster_ip])[0] != cluster_ip:
        yield invalid_value("spec.clusterIPs", spec["clusterIPs"], "first value must match `clusterIP`")
    yield from _families(spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        path = f"spec.externalIPs[{index}]"
        yield from (invalid_value(path, address, text) for text in names.ip_address(address))
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            continue
        if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified:
            yield invalid_value(path, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)")


def _families(spec: Object) -> Iterator[FieldError]:
    """This cluster has IPv4 addresses for Services, and no others."""
    if spec["type"] == "ExternalName":
        return
    for index, family in enumerate(spec["ipFamilies"]):
        if family not in FAMILIES:
            yield not_supported(f"spec.ipFamilies[{index}]", family, FAMILIES)
        elif family != "IPv4":
            yield invalid_value(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
    policy = spec["ipFamilyPolicy"]
    if policy not in FAMILY_POLICIES:
        yield not_supported("spec.ipFamilyPolicy", policy, FAMILY_POLICIES)
    elif policy == "RequireDualStack":
        yield invalid_value("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")
    for index, address in enumerate((spec.get("clusterIPs") or ())[1:], 1):
        problems = list(names.ip_address(address)) or ["may specify no more than one IP for each IP family"]
        yield from (invalid_value(f"spec.clusterIPs[{index}]", address, text) for text in problems)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = new["spec"], old["spec"]
    external = "ExternalName" in (now["type"], before["type"])
    if not external and before.get("clusterIP") and now.get("clusterIP") != before["clusterIP"]:
        yield invalid_value("spec.clusterIPs[0]", now.get("clusterIPs") or [], "may not change once set")


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
    validate_name=names.dns1035_label,
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
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

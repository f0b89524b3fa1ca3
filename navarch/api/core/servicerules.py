"""What Services must keep to (k8s.io/kubernetes/pkg/apis/core/validation)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from navarch.api.core import endpointaddress, servicefamilies
from navarch.api.objectmeta import validate_labels
from navarch.apimachinery import meta, names
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
DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
AFFINITY_TIMEOUT_LIMIT_SECONDS = 86400
KUBELET_PORT = 10250
TOPOLOGY_AWARE_HINTS, TOPOLOGY_MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"
NOT_EXTERNAL_NAME = "may not be set for ExternalName services"
SET_ONCE = "may not change once set"


def is_external(spec: Object) -> bool:
    """Whether a Service may be reached from outside."""
    type_ = spec.get("type")
    return type_ in ("NodePort", "LoadBalancer") or (type_ == "ClusterIP" and bool(spec.get("externalIPs")))


def is_checked(spec: Object) -> bool:
    """Whether load balancers ask nodes whether they have endpoints."""
    return spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def validate(service: Object) -> Iterator[FieldError]:
    spec, annotations = service["spec"], meta.annotations(service)
    mode, hints = annotations.get(TOPOLOGY_MODE), annotations.get(TOPOLOGY_AWARE_HINTS)
    if mode is not None and hints is not None and mode != hints:
        text = f"must match annotations[{TOPOLOGY_AWARE_HINTS}] when both are specified"
        yield invalid_value(f"metadata.annotations[{TOPOLOGY_MODE}]", mode, text)
    headless = servicefamilies.is_headless(spec)
    if not spec.get("ports") and not headless and spec["type"] != "ExternalName":
        yield required("spec.ports")
    yield from _of_type(spec, headless)
    yield from _ports(spec.get("ports") or ())
    if spec.get("selector"):
        yield from validate_labels(spec["selector"], "spec.selector")
    yield from _affinity(spec)
    if spec["type"] != "ExternalName":
        yield from _cluster_ips(spec, headless)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        problems = list(names.ip_address(address))
        for text in problems:
            yield invalid_value(f"spec.externalIPs[{index}]", address, text)
        if not problems:
            yield from endpointaddress.validate(address, f"spec.externalIPs[{index}]")
    if spec["type"] not in TYPES:
        yield not_supported("spec.type", spec["type"], TYPES)
    yield from _ports_together(spec)
    yield from _balancing(service, spec)
    yield from _traffic(spec)


def _of_type(spec: Object, headless: bool) -> Iterator[FieldError]:
    if spec["type"] in ("LoadBalancer", "NodePort"):
        for index, port in enumerate(spec.get("ports") or () if spec["type"] == "LoadBalancer" else ()):
            if port["port"] == KUBELET_PORT:
                text = f"may not expose port {KUBELET_PORT} externally since it is used by kubelet"
                yield invalid_value(f"spec.ports[{index}]", port["port"], text)
        if headless:
            yield invalid_value("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {spec['type']} services")
    elif spec["type"] == "ExternalName":
        for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(field):
                yield forbidden_field(f"spec.{field}", NOT_EXTERNAL_NAME)
        name = spec.get("externalName", "").removesuffix(".")
        if not name:
            yield required("spec.externalName")
        else:
            for text in names.dns1123_subdomain(name):
                yield invalid_value("spec.externalName", name, text)


def _ports(ports: Iterable[Object]) -> Iterator[FieldError]:
    ports = tuple(ports)
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"spec.ports[{index}]", port.get("name", "")
        if not name:
            if len(ports) > 1:
                yield required(f"{path}.name")
        else:
            for text in names.dns1123_label(name):
                yield invalid_value(f"{path}.name", name, text)
            if name in seen:
                yield duplicate(f"{path}.name", name)
            seen.add(name)
        for text in names.port_number(port["port"]):
            yield invalid_value(f"{path}.port", port["port"], text)
        if port["protocol"] not in PROTOCOLS:
            yield not_supported(f"{path}.protocol", port["protocol"], PROTOCOLS)
        target = port.get("targetPort", 0)
        for text in names.port_number(target) if isinstance(target, int) else names.port_name(target):
            yield invalid_value(f"{path}.targetPort", target, text)
        if port.get("appProtocol") is not None:
            for text in names.qualified_name(port["appProtocol"]):
                yield invalid_value(f"{path}.appProtocol", port["appProtocol"], text)


def _affinity(spec: Object) -> Iterator[FieldError]:
    affinity = spec["sessionAffinity"]
    if affinity not in AFFINITIES:
        yield not_supported("spec.sessionAffinity", affinity, AFFINITIES)
    if affinity == "ClientIP":
        seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
        if not 0 < seconds <= AFFINITY_TIMEOUT_LIMIT_SECONDS:
            text = f"must be greater than 0 and less than {AFFINITY_TIMEOUT_LIMIT_SECONDS}"
            yield invalid_value("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, text)
    elif affinity == "None" and spec.get("sessionAffinityConfig") is not None:
        yield forbidden_field("spec.sessionAffinityConfig", "must not be set when session affinity is None")


def _cluster_ips(spec: Object, headless: bool) -> Iterator[FieldError]:
    problems = list(_cluster_ips_alone(spec, headless))
    yield from problems or servicefamilies.validate(spec)


def _cluster_ips_alone(spec: Object, headless: bool) -> Iterator[FieldError]:
    """What makes no sense in any cluster."""
    path, first, addresses = "spec.clusterIPs", spec.get("clusterIP", ""), spec.get("clusterIPs") or []
    if first:
        if not addresses:
            yield required(path)
        elif first != addresses[0]:
            yield invalid_value(path, addresses, "first value must match `clusterIP`")
    elif addresses:
        yield invalid_value(path, addresses, "must be empty when `clusterIP` is not specified")
    families = spec.get("ipFamilies") or []
    seen: set[str] = set()
    for index, family in enumerate(families):
        if family not in FAMILIES:
            yield not_supported(f"spec.ipFamilies[{index}]", family, FAMILIES)
        if family in seen:
            yield duplicate(f"spec.ipFamilies[{index}]", family)
        seen.add(family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in FAMILY_POLICIES:
        yield not_supported("spec.ipFamilyPolicy", policy, FAMILY_POLICIES)
    broken = False
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                broken = True
                yield invalid_value(path, addresses, "'None' must be the first and only value")
            continue
        for text in names.ip_address(address):
            broken = True
            yield invalid_value(f"{path}[{index}]", address, text)
    if len(addresses) > 2:
        yield invalid_value(path, addresses, "may only hold up to 2 values")
    if broken or headless:
        return
    versions = [ipaddress.ip_address(address).version for address in addresses]
    if len(versions) > 1 and len(set(versions)) < 2:
        yield invalid_value(path, addresses, "may specify no more than one IP for each IP family")
    for index, (version, family) in enumerate(zip(versions, families, strict=False)):
        if family in FAMILIES and family != f"IPv{version}":
            text = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield invalid_value(f"{path}[{index}]", addresses[index], text)


def _ports_together(spec: Object) -> Iterator[FieldError]:
    ports = spec.get("ports") or ()
    if spec["type"] == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                yield forbidden_field(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")
    node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        if port.get("nodePort"):
            if (port["protocol"], port["nodePort"]) in node_ports:
                yield duplicate(f"spec.ports[{index}].nodePort", port["nodePort"])
            node_ports.add((port["protocol"], port["nodePort"]))
    taken: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        if (port["protocol"], port["port"]) in taken:
            yield duplicate(f"spec.ports[{index}]", {"port": port["port"], "protocol": port["protocol"]})
        taken.add((port["protocol"], port["port"]))


def _balancing(service: Object, spec: Object) -> Iterator[FieldError]:
    """What only load balancers have."""
    balanced = spec["type"] == "LoadBalancer"
    annotation = meta.annotations(service).get(SOURCE_RANGES)
    if spec.get("loadBalancerSourceRanges"):
        path, ranges = "spec.LoadBalancerSourceRanges", [(i, r) for i, r in enumerate(spec["loadBalancerSourceRanges"])]
        if not balanced:
            yield forbidden_field(path, ONLY_BALANCED)
        for index, network in ranges:
            for text in names.cidr(network.strip()):
                yield invalid_value(f"{path}[{index}]", network.strip(), text)
    elif annotation is not None:
        path = f"metadata.annotations[{SOURCE_RANGES}]"
        if not balanced:
            yield forbidden_field(path, ONLY_BALANCED)
        for network in annotation.strip().split(",") if annotation.strip() else ():
            for text in names.cidr(network.strip()):
                yield invalid_value(path, network.strip(), text)
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balanced:
        yield forbidden_field("spec.allocateLoadBalancerNodePorts", ONLY_BALANCED)
    class_name = spec.get("loadBalancerClass")
    if class_name is not None:
        if not balanced:
            yield forbidden_field("spec.loadBalancerClass", ONLY_BALANCED)
        else:
            for text in names.qualified_name(class_name):
                yield invalid_value("spec.loadBalancerClass", class_name, text)


def _traffic(spec: Object) -> Iterator[FieldError]:
    policy = spec.get("externalTrafficPolicy", "")
    if not is_external(spec):
        if policy:
            text = "may only be set for externally-accessible services"
            yield invalid_value("spec.externalTrafficPolicy", policy, text)
    elif not policy:
        yield required("spec.externalTrafficPolicy")
    elif policy not in POLICIES:
        yield not_supported("spec.externalTrafficPolicy", policy, POLICIES)
    health = spec.get("healthCheckNodePort")
    if health:
        if not is_checked(spec):
            text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            yield invalid_value("spec.healthCheckNodePort", health, text)
        else:
            for text in names.port_number(health):
                yield invalid_value("spec.healthCheckNodePort", health, text)
    internal = spec.get("internalTrafficPolicy")
    if internal is not None and internal not in POLICIES:
        yield not_supported("spec.internalTrafficPolicy", internal, POLICIES)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in DISTRIBUTIONS:
        yield not_supported("spec.trafficDistribution", distribution, DISTRIBUTIONS)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = new["spec"], old["spec"]
    yield from servicefamilies.validate_update(now, before)
    if now["type"] == before["type"] == "LoadBalancer":
        if now.get("loadBalancerClass") != before.get("loadBalancerClass"):
            yield invalid_value("spec.loadBalancerClass", now.get("loadBalancerClass"), SET_ONCE)
        if is_checked(now) and is_checked(before):
            former = before.get("healthCheckNodePort")
            if former and now.get("healthCheckNodePort") != former:
                yield forbidden_field("spec.healthCheckNodePort", "field is immutable")


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    path = "status.loadBalancer.ingress"
    ingress = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if ingress and new["spec"]["type"] != "LoadBalancer":
        yield forbidden_field(path, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for index, entry in enumerate(ingress):
        where, address, mode, host = f"{path}[{index}]", entry.get("ip"), entry.get("ipMode"), entry.get("hostname")
        if address:
            for text in names.ip_address(address):
                yield invalid_value(f"{where}.ip", address, text)
            if mode is None:
                yield required(f"{where}.ipMode", "must be specified when `ip` is set")
        elif mode is not None:
            yield forbidden_field(f"{where}.ipMode", "may not be specified when `ip` is not set")
        if mode is not None and address and mode not in ("Proxy", "VIP"):
            yield not_supported(f"{where}.ipMode", mode, ("Proxy", "VIP"))
        if host:
            for text in names.dns1123_subdomain(host):
                yield invalid_value(f"{where}.hostname", host, text)
            if not list(names.ip_address(host)):
                yield invalid_value(f"{where}.hostname", host, "must be a DNS name, not an IP address")

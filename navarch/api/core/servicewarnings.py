"""What the author of a Service, Endpoints or EndpointSlice is warned of (pkg/api/service/warnings.go and their strategies)."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.core.servicerules import TOPOLOGY_AWARE_HINTS, TOPOLOGY_MODE
from navarch.apimachinery import ipforms, meta
from navarch.apimachinery.errors import Object

# Controllers that write addresses as they should be written.
_TIDY = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
_TIDY_SLICES = frozenset({"endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"})


def of_service(service: Object, old: Object | None) -> Iterator[str]:
    spec = service["spec"]
    if TOPOLOGY_AWARE_HINTS in meta.annotations(service):
        yield f"annotation {TOPOLOGY_AWARE_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"
    if spec.get("clusterIP") not in (None, "", "None"):
        for index, ip in enumerate(spec.get("clusterIPs") or ()):
            yield from ipforms.address_warnings(ip, f"spec.clusterIPs[{index}]")
    kind, external = spec.get("type", "ClusterIP"), spec.get("externalIPs") or ()
    headless = kind == "ClusterIP" and spec.get("clusterIP") == "None"
    if headless:
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if external:
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity", "None") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    for index, ip in enumerate(external):
        yield from ipforms.address_warnings(ip, f"spec.externalIPs[{index}]")
    if external and not headless and kind != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if spec.get("loadBalancerIP"):
        yield from ipforms.address_warnings(spec["loadBalancerIP"], "spec.loadBalancerIP")
    for index, cidr in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from ipforms.network_warnings(cidr, f"spec.loadBalancerSourceRanges[{index}]")
    if kind == "ExternalName" and external:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def of_endpoints(endpoints: Object, old: Object | None) -> Iterator[str]:
    if _TIDY.items() <= meta.labels(endpoints).items():
        return
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        for field in ("addresses", "notReadyAddresses"):
            for position, address in enumerate(subset.get(field) or ()):
                yield from ipforms.address_warnings(address.get("ip", ""), f"subsets[{index}].{field}[{position}].ip")


def of_slice(endpoint_slice: Object, old: Object | None) -> Iterator[str]:
    if old is None and endpoint_slice.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
    if meta.labels(endpoint_slice).get("endpointslice.kubernetes.io/managed-by") in _TIDY_SLICES:
        return
    for index, endpoint in enumerate(endpoint_slice.get("endpoints") or ()):
        for position, address in enumerate(endpoint.get("addresses") or ()):
            yield from ipforms.address_warnings(address, f"endpoints[{index}].addresses[{position}]")

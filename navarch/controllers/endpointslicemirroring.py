"""Mirror Endpoints that somebody keeps by hand to EndpointSlices, which is what proxies and DNS look at.

Only of Services without a selector: for others the EndpointSlices are made from pods. Each subset becomes a slice of each
address family; Endpoints labelled to be skipped, and those that hold a leader election's record, are left alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.informer import Informers
from navarch.controllers import triggertimes
from navarch.controllers.controller import Cluster, Controller, Watch, is_namespace_terminating
from navarch.controllers.endpointslice import MANAGED_BY, SERVICE_NAME, SLICES, Plan, Ports, ports_of

CONTROLLER_NAME = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
LEADER_ANNOTATION = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
ADDRESSES_PER_SUBSET = 1000
MIRRORS = "mirrors"

Key = tuple[str, Ports]
"""(address type, ports in the order of their names)"""
Identity = tuple[str, str, str, str]
"""Address, host name, namespace and name of the target: what makes two endpoints one."""


@dataclass(slots=True)
class Desired:
    """What of an Endpoints object is to be mirrored."""

    endpoints: dict[Key, dict[Identity, Object]] = field(default_factory=dict)
    ports: dict[Key, list[Object]] = field(default_factory=dict)
    invalid: int = 0
    """Addresses that are none."""
    skipped: int = 0
    """Addresses that are left out, those included."""


def is_mirrored(endpoints: Object, service: Object | None) -> bool:
    if meta.labels(endpoints).get(SKIP_LABEL) == "true" or LEADER_ANNOTATION in meta.annotations(endpoints):
        return False
    return service is not None and service["spec"].get("selector") is None


def desired(endpoints: Object) -> Desired:
    found = Desired()
    for subset in endpoints.get("subsets") or ():
        ports = [_port(port) for port in subset.get("ports") or ()]
        keys = {family: (family, _in_order(ports_of({"ports": ports}))) for family in ("IPv4", "IPv6")}
        for key in keys.values():
            found.endpoints.setdefault(key, {})
            found.ports[key] = ports
        addresses = [(address, True) for address in subset.get("addresses") or ()]
        addresses += [(address, False) for address in subset.get("notReadyAddresses") or ()]
        added = 0
        for address, ready in addresses:
            if added == ADDRESSES_PER_SUBSET:
                break
            ip = _parsed(address["ip"])
            if ip is None:
                found.invalid += 1
                continue
            endpoint = _endpoint(address, ip, ready)
            found.endpoints[keys[f"IPv{ip.version}"]][_identity(endpoint)] = endpoint
            added += 1
        found.skipped += len(addresses) - added
    return found


def _port(port: Object) -> Object:
    made: Object = {"name": port.get("name", ""), "port": port["port"], "protocol": port.get("protocol", "TCP")}
    return made | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})


def _in_order(ports: Ports) -> Ports:
    return tuple(sorted(ports, key=str))


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, however it is written."""
    try:
        ip = ipaddress.ip_address(text if ":" in text else names.without_leading_zeros(text))
    except ValueError:
        return None
    return (ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None) or ip


def _endpoint(address: Object, ip: ipaddress.IPv4Address | ipaddress.IPv6Address, ready: bool) -> Object:
    """How a slice tells of that address."""
    made: Object = {"addresses": [str(ip)], "conditions": {"ready": ready}}
    return made | {name: address[name] for name in ("hostname", "nodeName", "targetRef") if address.get(name)}


def _identity(endpoint: Object) -> Identity:
    target = endpoint.get("targetRef") or meta.EMPTY
    address, host = ",".join(sorted(endpoint["addresses"])), endpoint.get("hostname") or ""
    return address, host, target.get("namespace", ""), target.get("name", "")


def plan(endpoints: Object, wanted: Desired, slices: Iterable[Object]) -> Plan:
    """`slices`: those that are there and ours."""
    result = Plan()
    present: dict[Key, list[Object]] = {}
    for item in slices:
        present.setdefault((item["addressType"], _in_order(ports_of(item))), []).append(item)
    for key, group in wanted.endpoints.items():
        there = present.pop(key, [])
        result.delete += there[1:] if group else there
        if not group:
            continue
        made = _slice(endpoints, key[0], wanted.ports[key], list(group.values()))
        if not there:
            result.create.append(made)
        elif not _is_same(there[0], made):
            result.update.append(_in_place_of(there[0], made))
    for rest in present.values():
        result.delete += rest
    _recycle(result)
    return result


def _recycle(result: Plan) -> None:
    """Slices that would go take the place of new ones of their address type."""
    for made in list(result.create):
        old = next((item for item in result.delete if item["addressType"] == made["addressType"]), None)
        if old is not None:
            result.create.remove(made)
            result.delete.remove(old)
            result.update.append(_in_place_of(old, made))


def _slice(endpoints: Object, family: str, ports: list[Object], group: list[Object]) -> Object:
    name = meta.name(endpoints)
    left_out = (triggertimes.ANNOTATION, LAST_APPLIED_ANNOTATION)
    metadata: Object = {
        "generateName": f"{name}-",
        "namespace": meta.namespace(endpoints),
        "labels": {**meta.labels(endpoints), SERVICE_NAME: name, MANAGED_BY: CONTROLLER_NAME},
        "ownerReferences": [meta.owner_reference(endpoints)],
    }
    annotations = {key: value for key, value in meta.annotations(endpoints).items() if key not in left_out}
    if annotations:
        metadata["annotations"] = annotations
    head = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
    return {**head, "addressType": family, "endpoints": group, "ports": ports}


def _in_place_of(old: Object, made: Object) -> Object:
    kept = {name: old["metadata"][name] for name in ("name", "uid", "resourceVersion") if name in old["metadata"]}
    metadata = {name: value for name, value in made["metadata"].items() if name != "generateName"}
    return {**made, "metadata": metadata | kept}


def _is_same(old: Object, made: Object) -> bool:
    if meta.labels(old) != meta.labels(made) or meta.annotations(old) != meta.annotations(made):
        return False
    before, now = ({_identity(item): item for item in each.get("endpoints") or ()} for each in (old, made))
    return before == now


async def reconcile(endpoints: Object, cluster: Cluster) -> None:
    key = meta.key(endpoints)
    slices = _mirrors(key, cluster)
    if not is_mirrored(endpoints, cluster.informer("services").get(key)):
        for item in slices:
            await cluster.delete(SLICES, item)
        return
    wanted = desired(endpoints)
    if wanted.invalid:
        text = f"Skipped {wanted.invalid} invalid IP addresses when mirroring to EndpointSlices"
        cluster.event(endpoints, "Warning", "InvalidIPAddress", text)
    if wanted.skipped > wanted.invalid:
        text = (
            f"A max of {ADDRESSES_PER_SUBSET} addresses can be mirrored to EndpointSlices per Endpoints subset. "
            f"{wanted.skipped} addresses were skipped"
        )
        cluster.event(endpoints, "Warning", "TooManyAddressesToMirror", text)
    todo = plan(endpoints, wanted, slices)
    try:
        for item in todo.create if not meta.being_deleted(endpoints) else ():
            await cluster.create(SLICES, item)
        for item in todo.update:
            await cluster.update(SLICES, item)
        for item in todo.delete:
            await cluster.delete(SLICES, item)
    except StatusError as error:
        if not is_namespace_terminating(error):
            raise


async def gone(key: str, cluster: Cluster) -> None:
    for item in _mirrors(key, cluster):
        await cluster.delete(SLICES, item)


def _mirrors(key: str, cluster: Cluster) -> list[Object]:
    """The slices that mirror the Endpoints of that key."""
    return cluster.informer(SLICES).by_index(MIRRORS, key)


def _mirrored_key(item: Object) -> Iterable[str]:
    """Index of mirroring slices by the key of the Endpoints that they mirror."""
    labels = meta.labels(item)
    if labels.get(MANAGED_BY) == CONTROLLER_NAME and labels.get(SERVICE_NAME):
        yield f"{meta.namespace(item)}/{labels[SERVICE_NAME]}"


def _of_slice(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    for item in (old, new):
        if item is not None:
            yield from _mirrored_key(item)


def _of_service(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    service = new if new is not None else old
    assert service is not None
    if old is None or new is None or old["spec"].get("selector") != new["spec"].get("selector"):
        yield meta.key(service)


CONTROLLER = Controller(
    "endpoint-slice-mirroring-controller",
    "endpoints",
    reconcile,
    gone=gone,
    watches=(Watch("services", _of_service), Watch(SLICES, _of_slice, {MIRRORS: _mirrored_key})),
)

"""Keep the Endpoints object of each Service with a selector: the older form of EndpointSlices."""

from __future__ import annotations

from collections.abc import Iterable

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.informer import Informers
from navarch.controllers import endpointslice, triggertimes
from navarch.controllers import pods as podrules
from navarch.controllers.controller import Cluster, Controller, Watch, is_namespace_terminating

RESOURCE = "endpoints"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
CONTROLLER_NAME = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
ADDRESSES_LIMIT = 1000


def subsets(service: Object, pods: Iterable[Object]) -> tuple[list[Object], bool]:
    """Addresses grouped by their ports, ready ones apart from others; and whether some had to be left out."""
    version = 6 if (service["spec"].get("ipFamilies") or ["IPv4"])[0] == "IPv6" else 4
    publish_all = bool(service["spec"].get("publishNotReadyAddresses"))
    groups: dict[endpointslice.Ports, tuple[list[Object], list[Object]]] = {}
    entries: list[tuple[bool, endpointslice.Ports, Object]] = []
    for pod in pods:
        address = endpointslice.pod_address(pod, version)
        if not address or podrules.is_finished(pod) or not endpointslice.selects(service, meta.labels(pod)):
            continue
        if meta.being_deleted(pod) and not publish_all:
            continue
        entries.append(
            (publish_all or podrules.is_ready(pod), endpointslice.slice_ports(service, pod), _address(service, pod, address))
        )
    # Too many: ready ones are kept first.
    entries.sort(key=lambda entry: (not entry[0], entry[2]["ip"], entry[2]["targetRef"]["uid"]))
    for ready, ports, address_object in entries[:ADDRESSES_LIMIT]:
        if not ports and service["spec"].get("ports"):
            continue
        groups.setdefault(ports, ([], []))[0 if ready else 1].append(address_object)
    result = []
    for ports, (ready_ones, others) in sorted(groups.items(), key=lambda item: str(item[0])):
        subset: Object = {}
        if ready_ones:
            subset["addresses"] = ready_ones
        if others:
            subset["notReadyAddresses"] = others
        if ports:
            subset["ports"] = [_port(*port) for port in ports]
        result.append(subset)
    return result, len(entries) > ADDRESSES_LIMIT


def _port(name: str, number: int | None, protocol: str, application: str) -> Object:
    port: Object = {"name": name} if name else {}
    port |= {"port": number, "protocol": protocol}
    return port | ({"appProtocol": application} if application else {})


def _address(service: Object, pod: Object, address: str) -> Object:
    found: Object = {
        "ip": address,
        "targetRef": {"kind": "Pod", "namespace": meta.namespace(pod), "name": meta.name(pod), "uid": meta.uid(pod)},
    }
    if podrules.node_name(pod):
        found["nodeName"] = podrules.node_name(pod)
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == meta.name(service):
        found["hostname"] = pod["spec"]["hostname"]
    return found


def desired(service: Object, pods: Iterable[Object], present: Object | None) -> Object:
    """The Endpoints object as it should be."""
    found, is_truncated = subsets(service, pods)
    labels = {key: value for key, value in meta.labels(service).items() if key != endpointslice.HEADLESS}
    if service["spec"].get("clusterIP") == "None":
        labels[endpointslice.HEADLESS] = ""
    metadata: Object = {
        **(present["metadata"] if present else {"name": meta.name(service), "namespace": meta.namespace(service)}),
        "labels": labels | {MANAGED_BY: CONTROLLER_NAME},
    }
    annotations = {key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key != OVER_CAPACITY}
    if is_truncated:
        annotations[OVER_CAPACITY] = "truncated"
    if annotations:
        metadata["annotations"] = annotations
    result: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
    if found:
        result["subsets"] = found
    return result


async def reconcile(service: Object, cluster: Cluster) -> None:
    if meta.being_deleted(service) or not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
        return
    present = cluster.informer(RESOURCE).get(meta.key(service))
    pods = cluster.informer("pods").list(meta.namespace(service))
    selected = [pod for pod in pods if endpointslice.selects(service, meta.labels(pod))]
    time = triggertimes.compute(service, selected, cluster.memory)
    wanted = desired(service, selected, present)
    try:
        if present is None:
            await cluster.create(RESOURCE, triggertimes.annotated(wanted, time))
        elif (wanted.get("subsets"), wanted["metadata"]) != (present.get("subsets"), present["metadata"]):
            await cluster.update(RESOURCE, triggertimes.annotated(wanted, time))
    except StatusError as error:
        if is_namespace_terminating(error):
            return
        if not error.is_conflict and not error.is_already_exists:
            verb, of = ("create", "for service ") if present is None else ("update", "")
            text = f"Failed to {verb} endpoint {of}{meta.key(service)}: {error.message}"
            cluster.event(wanted, "Warning", f"FailedTo{verb.capitalize()}Endpoint", text)
        raise


async def gone(key: str, cluster: Cluster) -> None:
    """The Service has gone, and so do the Endpoints that were kept for it."""
    cluster.memory.pop(key, None)
    present = cluster.informer(RESOURCE).get(key)
    if present is not None and MANAGED_BY in meta.labels(present):
        await cluster.delete(RESOURCE, present)


def _service_of(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    obj = new if new is not None else old
    assert obj is not None
    yield meta.key(obj)


CONTROLLER = Controller(
    CONTROLLER_NAME,
    "services",
    reconcile,
    gone=gone,
    watches=(Watch(RESOURCE, _service_of), Watch("pods", endpointslice.services_of_pod)),
)

"""Keep the EndpointSlices of Services with a selector: which pods stand behind them, and in what state.

A slice holds at most a hundred endpoints. Endpoints stay in the slice where they are, so that one pod's change writes one
slice; a Service without pods has one empty slice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.informer import Informers
from navarch.controllers import pods as podrules
from navarch.controllers import topologyhints, triggertimes
from navarch.controllers.controller import Cluster, Controller, Watch, is_namespace_terminating
from navarch.controllers.nodezones import ZONE_LABEL

SLICES = "endpointslices.discovery.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER_NAME = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
ENDPOINTS_PER_SLICE = 100

Ports = tuple[tuple[str, int | None, str, str], ...]
"""(name, number, protocol, application protocol) of each port of a slice."""


@dataclass(slots=True)
class Plan:
    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    hint_problems: dict[str, str] = field(default_factory=dict)
    """Where zones are wanted to have endpoints of their own, by address type: why they have none, "" if they have."""


def selects(service: Object, labels: Mapping[str, str]) -> bool:
    """Whether a Service stands for pods with these labels."""
    selector = service["spec"].get("selector")
    if not selector or service["spec"].get("type") == "ExternalName":
        return False
    return all(labels.get(key) == value for key, value in selector.items())


def target_port(port: Object, pod: Object) -> int | None:
    """The number of a Service's port in that pod; None if the pod has no port of that name."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    spec = pod["spec"]
    sidecars = [item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for candidate in container.get("ports") or ():
            if candidate.get("name") == target and candidate.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(candidate["containerPort"])
    return None


def slice_ports(service: Object, pod: Object) -> Ports:
    """The ports under which that pod serves."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = target_port(port, pod)
        if number is not None:
            found.append((port.get("name", ""), number, port.get("protocol", "TCP"), port.get("appProtocol", "")))
    return tuple(found)


def pod_address(pod: Object, version: int) -> str:
    """The pod's address of IP version 4 or 6, or ""."""
    status = pod.get("status") or meta.EMPTY
    candidates = [item.get("ip", "") for item in status.get("podIPs") or ()] or [status.get("podIP", "")]
    for text in candidates:
        if text and (":" in text) == (version == 6):
            return str(text)
    return ""


def endpoint(service: Object, pod: Object, address: str, zones: Mapping[str, str]) -> Object:
    """How a slice tells of that pod."""
    terminating = meta.being_deleted(pod)
    serving = podrules.is_ready(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    found: Object = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {"kind": "Pod", "namespace": meta.namespace(pod), "name": meta.name(pod), "uid": meta.uid(pod)},
    }
    node = podrules.node_name(pod)
    if node:
        found["nodeName"] = node
    if node in zones:
        found["zone"] = zones[node]
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == meta.name(service):
        found["hostname"] = pod["spec"]["hostname"]
    hints = _hints(service, node, zones.get(node, ""))
    if hints and ready:
        found["hints"] = hints
    return found


def _hints(service: Object, node: str, zone: str) -> Object:
    """Who should prefer this endpoint, by the Service's trafficDistribution (KEP-4444, KEP-3015)."""
    wish = service["spec"].get("trafficDistribution") if not topologyhints.are_wanted(service) else None
    hints: Object = {}
    if wish in ("PreferClose", "PreferSameZone", "PreferSameNode") and zone:
        hints["forZones"] = [{"name": zone}]
    if wish == "PreferSameNode" and node:
        hints["forNodes"] = [{"name": node}]
    return hints


def _address_types(service: Object) -> list[tuple[str, int]]:
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    return [(family, 6 if family == "IPv6" else 4) for family in families]


def desired(service: Object, pods: Iterable[Object], zones: Mapping[str, str]) -> dict[tuple[str, Ports], list[Object]]:
    """All endpoints, by address type and ports."""
    found: dict[tuple[str, Ports], list[Object]] = {}
    for pod in sorted(pods, key=meta.name):
        if podrules.is_finished(pod) or not selects(service, meta.labels(pod)):
            continue
        for family, version in _address_types(service):
            address = pod_address(pod, version)
            if address:
                group = found.setdefault((family, slice_ports(service, pod)), [])
                group.append(endpoint(service, pod, address, zones))
    return found


def slice_labels(service: Object) -> dict[str, str]:
    """A slice's labels: those of its Service and who manages it."""
    labels = {key: value for key, value in meta.labels(service).items() if key not in (SERVICE_NAME, MANAGED_BY, HEADLESS)}
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    return labels | {SERVICE_NAME: meta.name(service), MANAGED_BY: CONTROLLER_NAME}


def plan(
    service: Object,
    pods: Iterable[Object],
    zones: Mapping[str, str],
    slices: Sequence[Object],
    ratios: Mapping[str, float] = meta.EMPTY,
) -> Plan:
    """`zones`: node -> zone; `slices`: those that are there and ours; `ratios`: zone -> its part of all CPUs."""
    result = Plan()
    present: dict[tuple[str, Ports], list[Object]] = {}
    for item in slices:
        present.setdefault((item["addressType"], ports_of(item)), []).append(item)
    wanted = desired(service, pods, zones)
    for key, endpoints in wanted.items():
        _plan_group(service, key, endpoints, present.pop(key, []), result)
    for rest in present.values():
        result.delete.extend(rest)
    for family, _ in _address_types(service):
        _plan_placeholder(service, family, [item for item in slices if item["addressType"] == family], result)
    if topologyhints.are_wanted(service):
        for family, _ in _address_types(service):
            _plan_hints(family, slices, ratios, result)
    _reuse(result)
    return result


def _plan_hints(family: str, slices: Iterable[Object], ratios: Mapping[str, float], result: Plan) -> None:
    def of_family(items: Iterable[Object]) -> list[Object]:
        return [item for item in items if item["addressType"] == family]

    touched = {meta.name(item) for item in (*result.update, *result.delete)}
    unchanged = [item for item in of_family(slices) if meta.name(item) not in touched]
    hints = topologyhints.assign(of_family(result.create), of_family(result.update), unchanged, ratios)
    result.create = [item for item in result.create if item["addressType"] != family] + hints.create
    result.update = [item for item in result.update if item["addressType"] != family] + hints.update
    result.hint_problems[family] = hints.problem


def _plan_placeholder(service: Object, family: str, slices: Sequence[Object], result: Plan) -> None:
    """An empty slice tells that there is a Service, and nobody behind it."""
    lost = [item for item in result.delete if item["addressType"] == family]
    if len(lost) < len(slices) or any(item["addressType"] == family for item in result.create):
        return
    empty = _new_slice(service, (family, ()), [], slice_labels(service))
    if [_content(item) for item in lost] == [_content(empty)]:
        result.delete = [item for item in result.delete if item is not lost[0]]
    else:
        result.create.append(empty)


def _content(item: Object) -> tuple[object, ...]:
    return item.get("endpoints") or [], ports_of(item), meta.labels(item)


def _plan_group(
    service: Object, key: tuple[str, Ports], endpoints: list[Object], slices: Sequence[Object], result: Plan
) -> None:
    """Spread endpoints of one address type and one set of ports over slices, moving none."""
    missing = {item["targetRef"]["uid"]: item for item in endpoints}
    labels = slice_labels(service)
    changed: list[tuple[Object, list[Object]]] = []
    unchanged: list[Object] = []
    for item in slices:
        before = item.get("endpoints") or []
        stay = []
        for old in before:
            new = missing.pop((old.get("targetRef") or meta.EMPTY).get("uid", ""), None)
            if new is not None:
                stay.append(new)
        known = topologyhints.without_hints(before) if topologyhints.are_wanted(service) else before
        if stay == known and labels == meta.labels(item):
            unchanged.append(item)
        elif before and not stay:
            result.delete.append(item)
        else:
            changed.append((item, stay))
    left = list(missing.values())
    # New ones go where something is written anyway, the fullest first.
    for _, stay in sorted(changed, key=lambda pair: -len(pair[1])):
        room = ENDPOINTS_PER_SLICE - len(stay)
        stay.extend(left[:room])
        left = left[room:]
    while left:
        room_for_all = [item for item in unchanged if len(item["endpoints"]) + len(left) <= ENDPOINTS_PER_SLICE]
        if room_for_all and len(left) < ENDPOINTS_PER_SLICE:
            fullest = max(room_for_all, key=lambda item: len(item["endpoints"]))
            changed.append((fullest, [*fullest["endpoints"], *left]))
        else:
            result.create.append(_new_slice(service, key, left[:ENDPOINTS_PER_SLICE], labels))
        left = left[ENDPOINTS_PER_SLICE:]
    for item, stay in changed:
        result.update.append(meta.set_path({**item, "endpoints": stay}, labels, "metadata", "labels"))


def _reuse(result: Plan) -> None:
    """What would be deleted becomes what would be created: names change no more than they have to."""
    kept = []
    for item in result.delete:
        if result.create and result.create[-1]["addressType"] == item["addressType"]:
            new = result.create.pop()
            metadata = {name: value for name, value in item["metadata"].items() if name != "annotations"}
            result.update.append({**new, "metadata": metadata | {"labels": new["metadata"]["labels"]}})
        else:
            kept.append(item)
    result.delete = kept


def _new_slice(service: Object, key: tuple[str, Ports], endpoints: Sequence[Object], labels: Mapping[str, str]) -> Object:
    family, ports = key
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{meta.name(service)}-",
            "namespace": meta.namespace(service),
            "labels": dict(labels),
            "ownerReferences": [meta.owner_reference(service)],
        },
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": [
            {"name": name, "port": number, "protocol": protocol} | ({"appProtocol": application} if application else {})
            for name, number, protocol, application in ports
        ],
    }


def ports_of(item: Object) -> Ports:
    return tuple(
        (port.get("name", ""), port.get("port"), port.get("protocol", "TCP"), port.get("appProtocol", ""))
        for port in item.get("ports") or ()
    )


async def reconcile(service: Object, cluster: Cluster) -> None:
    if meta.being_deleted(service):
        return
    slices = [item for item in cluster.owned(service, SLICES) if meta.labels(item).get(MANAGED_BY) == CONTROLLER_NAME]
    if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
        return  # Somebody else keeps its endpoints; slices made for an earlier selector are theirs to remove.
    pods = cluster.informer("pods").list(meta.namespace(service))
    selected = [pod for pod in pods if selects(service, meta.labels(pod))]
    time = triggertimes.compute(service, selected, cluster.memory)
    nodes = {meta.name(node): node for node in cluster.informer("nodes").list()}
    lost = on_missing_nodes(service, selected, nodes)
    kept = [pod for pod in selected if meta.key(pod) not in lost]
    ratios = topologyhints.cpu_ratios(nodes.values()) if topologyhints.are_wanted(service) else {}
    todo = plan(service, kept, node_zones(nodes.values()), slices, ratios)
    try:
        # First what is new, so that no Service is without endpoints between two writes.
        for item in todo.create:
            await cluster.create(SLICES, triggertimes.annotated(item, time))
        for item in todo.update:
            await cluster.update(SLICES, triggertimes.annotated(item, time))
        for item in todo.delete:
            await cluster.delete(SLICES, item)
    except StatusError as error:
        if is_namespace_terminating(error):
            return
        if not error.is_conflict:
            _failed(service, error.message, cluster)
        raise
    _tell_of_hints(service, todo, cluster)
    if lost:
        text = next(iter(lost.values())) if len(lost) == 1 else f"[{', '.join(lost.values())}]"
        _failed(service, text, cluster)
        raise OSError(text)  # The node may only be later than its pod.


def _tell_of_hints(service: Object, todo: Plan, cluster: Cluster) -> None:
    """Events when zones get endpoints of their own, and when and why they do not."""
    key = _hints_key(meta.key(service))
    is_hinted = bool(cluster.memory.get(key))
    for family, _ in _address_types(service):
        problem = todo.hint_problems.get(family, "Topology Aware Hints has been disabled" if is_hinted else None)
        if problem:
            cluster.event(service, "Warning", "TopologyAwareHintsDisabled", f"{problem}, addressType: {family}")
        elif problem == "" and not is_hinted:
            text = f"Topology Aware Hints has been enabled, addressType: {family}"
            cluster.event(service, "Normal", "TopologyAwareHintsEnabled", text)
        is_hinted = problem == ""
    cluster.memory[key] = is_hinted


def _hints_key(key: str) -> str:
    return f"hints of {key}"


async def gone(key: str, cluster: Cluster) -> None:
    cluster.memory.pop(key, None)
    cluster.memory.pop(_hints_key(key), None)


def _failed(service: Object, text: str, cluster: Cluster) -> None:
    text = f"Error updating Endpoint Slices for Service {meta.key(service)}: {text}"
    cluster.event(service, "Warning", "FailedToUpdateEndpointSlices", text)


def on_missing_nodes(service: Object, pods: Iterable[Object], nodes: Collection[str]) -> dict[str, str]:
    """Keys of pods that would stand behind a Service if there were their nodes, and what there is to say of each."""
    if service["spec"].get("publishNotReadyAddresses"):
        return {}
    found = {}
    for pod in pods:
        node = podrules.node_name(pod)
        if node in nodes or podrules.is_finished(pod) or not selects(service, meta.labels(pod)):
            continue
        if any(pod_address(pod, version) for version in (4, 6)):
            text = f"skipping Pod {meta.name(pod)} for Service {meta.key(service)}: Node {node} Not Found"
            found[meta.key(pod)] = text
    return found


def node_zones(nodes: Iterable[Object]) -> dict[str, str]:
    return {meta.name(node): meta.labels(node)[ZONE_LABEL] for node in nodes if ZONE_LABEL in meta.labels(node)}


def services_of_pod(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    """The Services whose endpoints a pod's change may touch."""
    if old is not None and new is not None and endpoint_facts(old) == endpoint_facts(new):
        return
    pod = new if new is not None else old
    assert pod is not None
    label_sets = [meta.labels(item) for item in (old, new) if item is not None]
    for service in informers.get("services").list(meta.namespace(pod)):
        if any(selects(service, labels) for labels in label_sets):
            yield meta.key(service)


def endpoint_facts(pod: Object) -> tuple[object, ...]:
    """All that endpoints depend on."""
    status, spec = pod.get("status") or meta.EMPTY, pod["spec"]
    return (
        meta.uid(pod),
        meta.labels(pod),
        status.get("podIP"),
        status.get("podIPs"),
        podrules.is_finished(pod),
        podrules.is_ready(pod),
        meta.being_deleted(pod),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )


def _services_of_node(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    """Whose endpoints are in other zones now, or to be distributed anew among zones."""
    before, after = (meta.labels(node).get(ZONE_LABEL) if node is not None else None for node in (old, new))
    if before != after:
        node = new if new is not None else old
        assert node is not None
        for pod in informers.get("pods").list():
            if podrules.node_name(pod) == meta.name(node):
                for service in informers.get("services").list(meta.namespace(pod)):
                    if selects(service, meta.labels(pod)):
                        yield meta.key(service)
    if topologyhints.weight(old) != topologyhints.weight(new):
        for service in informers.get("services").list():
            if topologyhints.are_wanted(service):
                yield meta.key(service)


CONTROLLER = Controller(
    "endpoint-slice-controller",
    "services",
    reconcile,
    gone=gone,
    owns=(SLICES,),
    watches=(Watch("pods", services_of_pod), Watch("nodes", _services_of_node)),
)

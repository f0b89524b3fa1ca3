"""The scheduler's rules written for clarity: one node at a time, over plain objects. What the columns say is held against
this."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from navarch.apimachinery import quantity
from navarch.apimachinery.errors import Object

HOST = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


@dataclass
class World:
    """A cluster: nodes by name, what is on them, what Services select, namespaces' labels."""

    nodes: dict[str, Object] = field(default_factory=dict)
    pods: dict[str, list[Object]] = field(default_factory=dict)
    services: list[Object] = field(default_factory=list)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    """Extended resource -> the device class that gives it."""
    devices: dict[tuple[str, str], int] = field(default_factory=dict)
    """(node, device class) -> how many of its devices are free there."""

    def on(self, name: str) -> list[Object]:
        return self.pods.get(name, [])

    def everything(self) -> list[tuple[Object, Object]]:
        return [(pod, self.nodes[name]) for name, pods in self.pods.items() if name in self.nodes for pod in pods]


def labels(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def amounts(found: Object) -> dict[str, int]:
    return {name: quantity.milli(text) if name == "cpu" else quantity.value(text) for name, text in found.items()}


def asked(pod: Object) -> dict[str, int]:
    """The most that ever runs at one time."""
    most: dict[str, int] = {}
    for running in moments(pod):
        total: dict[str, int] = {}
        for container in running:
            for name, amount in amounts(container["resources"]["requests"]).items():
                total[name] = total.get(name, 0) + amount
        most = {name: max(most.get(name, 0), total.get(name, 0)) for name in most.keys() | total.keys()}
    return most


def moments(pod: Object) -> Iterator[list[Object]]:
    """Which containers run, from one time of the pod's life to the next."""
    sidecars: list[Object] = []
    for container in pod["spec"].get("initContainers", []):
        yield [*sidecars, container]
        if container.get("restartPolicy") == "Always":
            sidecars.append(container)
    yield [*sidecars, *pod["spec"]["containers"]]


def asked_at_least(pod: Object) -> dict[str, int]:
    """For scores: with a floor for what is not asked for."""
    return {"cpu": 100, "memory": 200 * 1024 * 1024} | {k: v for k, v in asked(pod).items() if k in ("cpu", "memory")}


def has(node: Object) -> dict[str, int]:
    return amounts(node["status"]["allocatable"])


# Selectors.


def selects(selector: Object | None, found: dict[str, str]) -> bool:
    if selector is None:
        return False
    if any(found.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(meets(expression, found) for expression in selector.get("matchExpressions", []))


def meets(expression: Object, found: dict[str, str]) -> bool:
    value, values = found.get(expression["key"]), expression.get("values", [])
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    if value is None or not value.isdigit():
        return False
    return int(value) > int(values[0]) if expression["operator"] == "Gt" else int(value) < int(values[0])


def term_matches(term: Object, node: Object) -> bool:
    """Of node affinity; an empty one matches nothing."""
    return bool(term.get("matchExpressions")) and all(meets(item, labels(node)) for item in term["matchExpressions"])


# Filters: the reasons why not.


def rejections(world: World, pod: Object, node: Object) -> list[str]:
    """Those of the first plugin that says no."""
    for rule in (cordoned, tainted, unwanted, taken_ports, no_room, skewed, incompatible, no_devices):
        found = rule(world, pod, node)
        if found:
            return found
    return []


def tolerates(pod: Object, taint: Object) -> bool:
    for toleration in pod["spec"].get("tolerations", []):
        if toleration.get("effect") and toleration["effect"] != taint["effect"]:
            continue
        if toleration.get("key") and toleration["key"] != taint["key"]:
            continue
        if toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


def cordoned(world: World, pod: Object, node: Object) -> list[str]:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    return ["node(s) were unschedulable"] if node["spec"].get("unschedulable") and not tolerates(pod, taint) else []


def tainted(world: World, pod: Object, node: Object) -> list[str]:
    hard = [taint for taint in node["spec"].get("taints", []) if taint["effect"] != "PreferNoSchedule"]
    return [] if all(tolerates(pod, taint) for taint in hard) else ["node(s) had untolerated taint(s)"]


def is_wanted(pod: Object, node: Object) -> bool:
    if any(labels(node).get(key) != value for key, value in pod["spec"].get("nodeSelector", {}).items()):
        return False
    required = affinity(pod, "nodeAffinity").get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(term_matches(term, node) for term in required["nodeSelectorTerms"])


def unwanted(world: World, pod: Object, node: Object) -> list[str]:
    return [] if is_wanted(pod, node) else ["node(s) didn't match Pod's node affinity/selector"]


def ports(pod: Object) -> list[tuple[str, str, int]]:
    found = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    return [(port.get("hostIP") or "0.0.0.0", "TCP", port["hostPort"]) for port in found if port.get("hostPort")]


def taken_ports(world: World, pod: Object, node: Object) -> list[str]:
    for other in world.on(node["metadata"]["name"]):
        for address, protocol, port in ports(other):
            for wanted, wanted_protocol, wanted_port in ports(pod):
                same = (protocol, port) == (wanted_protocol, wanted_port)
                if same and (address == wanted or "0.0.0.0" in (address, wanted)):
                    return ["node(s) didn't have free ports for the requested pod ports"]
    return []


def no_room(world: World, pod: Object, node: Object) -> list[str]:
    there, capacity = world.on(node["metadata"]["name"]), has(node)
    found = ["Too many pods"] if len(there) + 1 > capacity["pods"] else []
    for resource, amount in asked(pod).items():
        if is_claimed(world, resource, node):
            continue
        used = sum(asked(other).get(resource, 0) for other in there)
        if amount and amount + used > capacity.get(resource, 0):
            found.append(f"Insufficient {resource}")
    return found


def is_claimed(world: World, resource: str, node: Object) -> bool:
    """Whether devices give it, since the node does not offer it itself."""
    return resource in world.given and not has(node).get(resource, 0)


def no_devices(world: World, pod: Object, node: Object) -> list[str]:
    name, lacking = node["metadata"]["name"], dict[str, int]()
    for resource, amount in asked(pod).items():
        if amount and is_claimed(world, resource, node):
            found = world.given[resource]
            lacking[found] = lacking.get(found, 0) + devices_for(pod, resource)
    return ["cannot allocate all claims"] if any(world.devices.get((name, c), 0) < n for c, n in lacking.items()) else []


def devices_for(pod: Object, resource: str) -> int:
    """Containers that stay have devices of their own; those before them borrow these, from whoever comes later."""
    early = pod["spec"].get("initContainers", [])
    own, extra = 0, 0
    for container in reversed([*early, *pod["spec"]["containers"]]):
        amount = amounts(container["resources"]["requests"]).get(resource, 0)
        if container in early and container.get("restartPolicy") != "Always":
            extra = max(extra, amount - own)
        else:
            own += amount
    return own + extra


def affinity(pod: Object, kind: str) -> Object:
    return (pod["spec"].get("affinity") or {}).get(kind) or {}


def required_terms(pod: Object, kind: str) -> list[Object]:
    return affinity(pod, kind).get("requiredDuringSchedulingIgnoredDuringExecution") or []


def preferred_terms(pod: Object, kind: str) -> list[Object]:
    return affinity(pod, kind).get("preferredDuringSchedulingIgnoredDuringExecution") or []


def applies(world: World, term: Object, owner: Object, other: Object) -> bool:
    """Whether a term of `owner` speaks of `other`."""
    own, space = owner["metadata"]["namespace"], other["metadata"]["namespace"]
    names = term.get("namespaces") or ([] if "namespaceSelector" in term else [own])
    by_label = "namespaceSelector" in term and selects(term["namespaceSelector"], world.namespaces.get(space, {}))
    if space not in names and not by_label:
        return False
    return selects(term.get("labelSelector"), labels(other))


def same_domain(key: str, one: Object, other: Object) -> bool:
    return key in labels(one) and labels(one)[key] == labels(other).get(key)


def incompatible(world: World, pod: Object, node: Object) -> list[str]:
    terms = required_terms(pod, "podAffinity")
    if terms:
        friends = [(o, n) for o, n in world.everything() if all(applies(world, term, pod, o) for term in terms)]
        near = all(any(same_domain(term["topologyKey"], node, there) for _, there in friends) for term in terms)
        counted = any(term["topologyKey"] in labels(there) for term in terms for _, there in friends)
        first = not counted and all(applies(world, term, pod, pod) for term in terms)
        if not near and not (first and all(term["topologyKey"] in labels(node) for term in terms)):
            return ["node(s) didn't match pod affinity rules"]
    for term in required_terms(pod, "podAntiAffinity"):
        for other, there in world.everything():
            if applies(world, term, pod, other) and same_domain(term["topologyKey"], node, there):
                return ["node(s) didn't match pod anti-affinity rules"]
    for other, there in world.everything():
        for term in required_terms(other, "podAntiAffinity"):
            if applies(world, term, other, pod) and same_domain(term["topologyKey"], node, there):
                return ["node(s) didn't satisfy existing pods anti-affinity rules"]
    return []


def constraints(world: World, pod: Object, when: str) -> list[Object]:
    own = pod["spec"].get("topologySpreadConstraints")
    if own:
        return [constraint for constraint in own if constraint["whenUnsatisfiable"] == when]
    merged: dict[str, str] = {}
    for service in world.services:
        selector = service["spec"]["selector"]
        if service["metadata"]["namespace"] == pod["metadata"]["namespace"] and selects({"matchLabels": selector}, labels(pod)):
            merged |= selector
    if not merged or when == "DoNotSchedule":
        return []
    selector = {"labelSelector": {"matchLabels": merged}, "whenUnsatisfiable": when}
    return [{"topologyKey": HOST, "maxSkew": 3, **selector}, {"topologyKey": ZONE, "maxSkew": 5, **selector}]


def counts_there(world: World, constraint: Object, pod: Object, node: Object) -> int:
    if not constraint["labelSelector"]:
        return 0
    return sum(
        1
        for other in world.on(node["metadata"]["name"])
        if other["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and selects(constraint["labelSelector"], labels(other))
    )


def included(constraint: Object, pod: Object, node: Object) -> bool:
    if constraint.get("nodeAffinityPolicy", "Honor") == "Honor" and not is_wanted(pod, node):
        return False
    return constraint.get("nodeTaintsPolicy", "Ignore") != "Honor" or not tainted(World(), pod, node)


def skewed(world: World, pod: Object, node: Object) -> list[str]:
    found = constraints(world, pod, "DoNotSchedule")
    reason = "node(s) didn't match pod topology spread constraints"
    for constraint in found:
        key = constraint["topologyKey"]
        if key not in labels(node):
            return [f"{reason} (missing required label)"]
        domains: dict[str, int] = {}
        for other in world.nodes.values():
            if all(c["topologyKey"] in labels(other) for c in found) and included(constraint, pod, other):
                domains[labels(other)[key]] = domains.get(labels(other)[key], 0) + counts_there(world, constraint, pod, other)
        lowest = min(domains.values()) if len(domains) >= constraint.get("minDomains", 1) and domains else 0
        own = 1 if selects(constraint["labelSelector"], labels(pod)) else 0
        if domains.get(labels(node)[key], 0) + own - lowest > constraint["maxSkew"]:
            return [reason]
    return []


# Scores, of the nodes that are feasible.


def scores(world: World, pod: Object, nodes: list[Object]) -> dict[str, list[int]]:
    """Plugin -> the final score of each node, not yet weighed."""
    return {
        "TaintToleration": default_normalized([soft_taints(pod, node) for node in nodes], reverse=True),
        "NodeAffinity": default_normalized([preference(pod, node) for node in nodes]),
        "NodeResourcesFit": [least_allocated(world, pod, node) for node in nodes],
        "PodTopologySpread": spread(world, pod, nodes),
        "InterPodAffinity": company(world, pod, nodes),
        "NodeResourcesBalancedAllocation": [balanced(world, pod, node) for node in nodes],
        "ImageLocality": [locality(world, pod, node) for node in nodes],
    }


def default_normalized(found: list[int], *, reverse: bool = False) -> list[int]:
    highest = max(found, default=0)
    if highest == 0:
        return [100 if reverse else 0 for _ in found]
    return [100 - 100 * score // highest if reverse else 100 * score // highest for score in found]


def soft_taints(pod: Object, node: Object) -> int:
    soft = [taint for taint in node["spec"].get("taints", []) if taint["effect"] == "PreferNoSchedule"]
    return sum(not tolerates(pod, taint) for taint in soft)


def preference(pod: Object, node: Object) -> int:
    found = preferred_terms(pod, "nodeAffinity")
    return sum(item["weight"] for item in found if term_matches(item["preference"], node))


def least_allocated(world: World, pod: Object, node: Object) -> int:
    there, capacity, total, weights = world.on(node["metadata"]["name"]), has(node), 0, 0
    for resource in ("cpu", "memory"):
        if capacity.get(resource, 0) == 0:
            continue
        used = asked_at_least(pod)[resource] + sum(asked_at_least(other)[resource] for other in there)
        weights += 1
        if used <= capacity[resource]:
            total += (capacity[resource] - used) * 100 // capacity[resource]
    return total // weights if weights else 0


def evenness(used: dict[str, int], capacity: dict[str, int]) -> int:
    degrees = [min(used[r] / capacity[r], 1.0) for r in ("cpu", "memory") if capacity.get(r, 0)]
    deviation = abs((degrees[0] - degrees[1]) / 2) if len(degrees) == 2 else 0.0
    return int((1 - deviation) * 100)


def balanced(world: World, pod: Object, node: Object) -> int:
    if not any(asked(pod).get(resource) for resource in ("cpu", "memory")):
        return 0  # It has no say.
    there = world.on(node["metadata"]["name"])
    before = {r: sum(asked(other).get(r, 0) for other in there) for r in ("cpu", "memory")}
    after = {r: before[r] + asked(pod).get(r, 0) for r in before}
    return 50 + (50 + evenness(after, has(node)) - evenness(before, has(node))) // 2


def locality(world: World, pod: Object, node: Object) -> int:
    megabyte, total = 1024 * 1024, 0
    for container in pod["spec"]["containers"]:
        name = container["image"] if ":" in container["image"] else container["image"] + ":latest"
        holders = [n for n in world.nodes.values() if any(name in i["names"] for i in n["status"].get("images", []))]
        for image in node["status"].get("images", []):
            if name in image["names"]:
                total += int(image["sizeBytes"] * (len(holders) / len(world.nodes)))
    low, high = 23 * megabyte, 1000 * megabyte * len(pod["spec"]["containers"])
    return 100 * (min(max(total, low), high) - low) // (high - low)


def spread(world: World, pod: Object, nodes: list[Object]) -> list[int]:
    found = constraints(world, pod, "ScheduleAnyway")
    if not found:
        return [0 for _ in nodes]
    needs_all = bool(pod["spec"].get("topologySpreadConstraints"))

    def counted(node: Object) -> bool:
        return not needs_all or all(c["topologyKey"] in labels(node) for c in found)

    raw: list[int | None] = []
    for node in nodes:
        if not counted(node):
            raw.append(None)
            continue
        total = 0.0
        for constraint in found:
            key = constraint["topologyKey"]
            if key not in labels(node):
                continue
            if key == HOST:
                size = sum(map(counted, nodes))
                amount = counts_there(world, constraint, pod, node)
            else:
                size = len({labels(other).get(key, "") for other in nodes if counted(other)})
                amount = sum(
                    counts_there(world, constraint, pod, other)
                    for other in world.nodes.values()
                    if labels(other).get(key) == labels(node)[key] and counted(other) and included(constraint, pod, other)
                )
            total += amount * math.log(size + 2) + (constraint["maxSkew"] - 1)
        raw.append(math.floor(total + 0.5))
    known = [score for score in raw if score is not None]
    low, high = min(known, default=0), max(known, default=0)
    return [0 if score is None else 100 if high == 0 else 100 * (high + low - score) // high for score in raw]


def company(world: World, pod: Object, nodes: list[Object]) -> list[int]:
    raw = []
    for node in nodes:
        total = 0
        for other, there in world.everything():
            wishes: list[tuple[int, Object, Object, Object]] = []
            for sign, kind in ((1, "podAffinity"), (-1, "podAntiAffinity")):
                wishes += [(sign * w["weight"], w["podAffinityTerm"], pod, other) for w in preferred_terms(pod, kind)]
                wishes += [(sign * w["weight"], w["podAffinityTerm"], other, pod) for w in preferred_terms(other, kind)]
            wishes += [(1, term, other, pod) for term in required_terms(other, "podAffinity")]
            for weight, term, owner, subject in wishes:
                if applies(world, term, owner, subject) and same_domain(term["topologyKey"], node, there):
                    total += weight
        raw.append(total)
    low, high = min(raw, default=0), max(raw, default=0)
    return [int(100 * ((score - low) / (high - low))) if high > low else 0 for score in raw]


WEIGHTS: dict[str, int] = {
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "NodeResourcesFit": 1,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
}


def message(world: World, pod: Object) -> str:
    """Why no node can take the pod."""
    counts: dict[str, int] = {}
    for node in world.nodes.values():
        for reason in rejections(world, pod, node):
            counts[reason] = counts.get(reason, 0) + 1
    if not world.nodes:
        return "no nodes available to schedule pods"
    texts = sorted(f"{count} {reason}" for reason, count in counts.items())
    return f"0/{len(world.nodes)} nodes are available: {', '.join(texts)}."


__all__: Any = ["WEIGHTS", "World", "message", "rejections", "scores"]

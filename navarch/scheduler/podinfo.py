"""What the scheduler needs to know of a pod, read once from its spec.

Quantities are integers: CPU in thousandths, everything else in whole units, rounded up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import orjson

from navarch.api.core import nodelabels, podresources
from navarch.apimachinery import meta, quantity, remember, selectors
from navarch.apimachinery.errors import Object
from navarch.apimachinery.selectors import Requirement, Selector

NON_ZERO_CPU_MILLI = 100
"""What a container without a CPU request counts for in scores, so that such pods spread too."""
NON_ZERO_MEMORY_BYTES = 200 * 1024 * 1024

DEFAULT_SCHEDULER_NAME = "default-scheduler"

HostPort = tuple[str, str, int]
"""(IP, protocol, port); IP 0.0.0.0 is every address."""


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    """Which pods one (anti-)affinity term speaks of, and over which topology."""

    topology_key: str
    selector: Selector
    namespaces: frozenset[str]
    namespace_selector: Selector

    def matches(self, namespace: str, labels: Mapping[str, str], namespace_labels: Mapping[str, Mapping[str, str]]) -> bool:
        if namespace not in self.namespaces and not (
            not self.namespace_selector.nothing and self.namespace_selector.matches(namespace_labels.get(namespace, {}))
        ):
            return False
        return self.selector.matches(labels)


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """One topology spread constraint."""

    topology_key: str
    max_skew: int
    selector: Selector
    is_hard: bool
    min_domains: int
    honors_affinity: bool
    honors_taints: bool

    def counts(self, labels: Mapping[str, str]) -> bool:
        """Whether pods with these labels are counted: where the selector is empty, none are, though it matches all."""
        return not self.selector.is_everything and self.selector.matches(labels)


@dataclass(frozen=True, slots=True)
class Toleration:
    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, key: str, value: str, effect: str) -> bool:
        if (self.effect and self.effect != effect) or (self.key and self.key != key):
            return False
        if self.operator == "Exists":
            return True
        if self.operator in ("Gt", "Lt"):
            try:
                taint, limit = int(value), int(self.value)
            except ValueError:
                return False
            return taint > limit if self.operator == "Gt" else taint < limit
        return bool(self.key) and self.value == value


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """One term of node affinity: all its conditions must hold."""

    labels: tuple[Requirement, ...]
    names: tuple[Requirement, ...]
    """Conditions on metadata.name."""

    @property
    def is_empty(self) -> bool:
        return not self.labels and not self.names


def resource_amount(resource: str, text: str | int | float) -> int:
    """A quantity of a resource as an integer: CPU in thousandths, all else in whole units, rounded up."""
    return quantity.milli(text) if resource == "cpu" else quantity.value(text)


def container_requests(container: Object) -> dict[str, int]:
    found = (container.get("resources") or meta.EMPTY).get("requests") or meta.EMPTY
    return {name: resource_amount(name, text) for name, text in found.items()}


def _non_zero_requests(container: Object) -> dict[str, int]:
    found = container_requests(container)
    return {"cpu": found.get("cpu", NON_ZERO_CPU_MILLI), "memory": found.get("memory", NON_ZERO_MEMORY_BYTES)}


def pod_requests(spec: Object, of_container: Callable[[Object], dict[str, int]] = container_requests) -> dict[str, int]:
    """What a pod asks of a node: containers and sidecars together, or the largest step of initialisation, plus overhead."""
    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(total, of_container(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        asked = of_container(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, asked)
            asked = sidecars
        else:
            asked = {name: asked.get(name, 0) + sidecars.get(name, 0) for name in asked.keys() | sidecars.keys()}
        for name, amount in asked.items():
            peak[name] = max(peak.get(name, 0), amount)
    _add(total, sidecars)
    for name, amount in peak.items():
        total[name] = max(total.get(name, 0), amount)
    for name, text in ((spec.get("resources") or meta.EMPTY).get("requests") or meta.EMPTY).items():
        total[name] = resource_amount(name, text)  # What the pod says as a whole stands above its containers' sum.
    _add(total, {name: resource_amount(name, text) for name, text in (spec.get("overhead") or meta.EMPTY).items()})
    return total


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def host_ports(spec: Object) -> tuple[HostPort, ...]:
    """Ports that the pod takes on its node."""
    containers = [*(spec.get("containers") or ())]
    containers += [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return tuple(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in containers
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def node_term(term: Object) -> NodeTerm:
    return NodeTerm(_node_requirements(term.get("matchExpressions")), _node_requirements(term.get("matchFields")))


_NODE_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}


def _node_requirements(expressions: Iterable[Object] | None) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(item["key"], _NODE_OPERATORS[item["operator"]], tuple(item.get("values") or ()))
        for item in expressions or ()
    )


def _with_label_keys(selector: Selector, keys: Iterable[str], labels: Mapping[str, str], operator: str = "in") -> Selector:
    """`selector`, and for those of `keys` the pod itself carries, the same (or another) value."""
    more = tuple(Requirement(key, operator, (labels[key],)) for key in keys if key in labels)
    return Selector(selector.requirements + more, selector.nothing) if more else selector


class PodTemplate:
    """What rules say of a pod depends on this: everything of its spec that matters, its labels, namespace and controller.

    Pods made from one template share one of these, and so what was read from it and what was concluded about it.
    """

    __slots__ = ("__dict__", "__weakref__")

    def __init__(self, pod: Object, spec: Object, key: bytes) -> None:
        self.key = key
        metadata = pod["metadata"]
        self.spec = spec
        self.namespace: str = metadata["namespace"]
        self.labels: Mapping[str, str] = metadata.get("labels") or meta.EMPTY
        self.controller = meta.controller_of(pod)
        self.priority: int = spec.get("priority") or 0
        self.requests = pod_requests(spec)
        self.host_ports = host_ports(spec)
        self.bound: dict[tuple[tuple[str, str], ...], PodTemplate] = {}
        """Those of its pods once they are on nodes with such topology labels."""

    @cached_property
    def non_zero_requests(self) -> tuple[int, int]:
        """(CPU, memory) with a floor for containers that ask for none."""
        found = pod_requests(self.spec, _non_zero_requests)
        return found.get("cpu", 0), found.get("memory", 0)

    @cached_property
    def tolerations(self) -> tuple[Toleration, ...]:
        return tuple(
            Toleration(t.get("key", ""), t.get("operator") or "Equal", t.get("value", ""), t.get("effect", ""))
            for t in self.spec.get("tolerations") or ()
        )

    @cached_property
    def required_node_terms(self) -> tuple[NodeTerm, ...] | None:
        required = meta.get_path(self.spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
        return None if required is None else tuple(node_term(term) for term in required.get("nodeSelectorTerms") or ())

    @cached_property
    def preferred_node_terms(self) -> tuple[tuple[int, NodeTerm], ...]:
        found = meta.get_path(self.spec, "affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution")
        return tuple((item["weight"], node_term(item.get("preference") or {})) for item in found or ())

    def _terms(self, field: str) -> tuple[AffinityTerm, ...]:
        found = meta.get_path(self.spec, "affinity", field, "requiredDuringSchedulingIgnoredDuringExecution")
        return tuple(self._term(item) for item in found or ())

    def _weighted_terms(self, field: str) -> tuple[tuple[int, AffinityTerm], ...]:
        found = meta.get_path(self.spec, "affinity", field, "preferredDuringSchedulingIgnoredDuringExecution")
        return tuple((item["weight"], self._term(item["podAffinityTerm"])) for item in found or ())

    def _term(self, item: Object) -> AffinityTerm:
        selector = selectors.from_label_selector(item.get("labelSelector"))
        selector = _with_label_keys(selector, item.get("matchLabelKeys") or (), self.labels)
        selector = _with_label_keys(selector, item.get("mismatchLabelKeys") or (), self.labels, "notin")
        spaces = selectors.from_label_selector(item.get("namespaceSelector"))
        names = item.get("namespaces") or ([self.namespace] if item.get("namespaceSelector") is None else [])
        return AffinityTerm(item["topologyKey"], selector, frozenset(names), spaces)

    @cached_property
    def required_affinity(self) -> tuple[AffinityTerm, ...]:
        return self._terms("podAffinity")

    @cached_property
    def required_anti_affinity(self) -> tuple[AffinityTerm, ...]:
        return self._terms("podAntiAffinity")

    @cached_property
    def preferred_affinity(self) -> tuple[tuple[int, AffinityTerm], ...]:
        return self._weighted_terms("podAffinity")

    @cached_property
    def preferred_anti_affinity(self) -> tuple[tuple[int, AffinityTerm], ...]:
        return self._weighted_terms("podAntiAffinity")

    @cached_property
    def spread_constraints(self) -> tuple[SpreadConstraint, ...]:
        return tuple(spread_constraint(item, self.labels) for item in self.spec.get("topologySpreadConstraints") or ())

    @cached_property
    def uses_claims(self) -> bool:
        """Whether it has volumes that are claims; which, each pod says."""
        return any(isinstance(_volume_key(volume), str) for volume in self.spec.get("volumes") or ())

    @cached_property
    def own_volumes(self) -> tuple[Object, ...]:
        """Volumes without a claim that may be disks."""
        volumes = self.spec.get("volumes") or ()
        return tuple(volume for volume in volumes if not volume.keys() <= _DISK_FREE_VOLUMES and _volume_key(volume) is volume)

    @cached_property
    def has_terms(self) -> bool:
        """Whether it has an opinion on other pods."""
        terms = (self.required_affinity, self.required_anti_affinity, self.preferred_affinity, self.preferred_anti_affinity)
        return any(terms)

    @cached_property
    def class_key(self) -> tuple[Any, ...]:
        """What rules about other pods look at."""
        terms = (self.required_affinity, self.required_anti_affinity, self.preferred_affinity, self.preferred_anti_affinity)
        return self.namespace, frozenset(self.labels.items()), terms if any(terms) else None


def spread_constraint(item: Object, labels: Mapping[str, str]) -> SpreadConstraint:
    return SpreadConstraint(
        topology_key=item["topologyKey"],
        max_skew=item["maxSkew"],
        selector=_with_label_keys(
            selectors.from_label_selector(item.get("labelSelector")), item.get("matchLabelKeys") or (), labels
        ),
        is_hard=item.get("whenUnsatisfiable") == "DoNotSchedule",
        min_domains=item.get("minDomains") or 1,
        honors_affinity=item.get("nodeAffinityPolicy", "Honor") == "Honor",
        honors_taints=item.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


_templates: WeakValueDictionary[bytes, PodTemplate] = WeakValueDictionary()
_SPEC_FIELDS = (
    "priority",
    "preemptionPolicy",
    "schedulerName",
    "nodeSelector",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "overhead",
    "resources",
    "schedulingGates",
    "schedulingGroup",
    "workloadRef",
    "hostNetwork",
    "hostUsers",
)
_CONTAINER_FIELDS = ("image", "resources", "ports", "restartPolicy", "restartPolicyRules")
_DISK_FREE_VOLUMES = frozenset({"name", "configMap", "secret", "projected", "downwardAPI", "emptyDir", "hostPath"})


def _template_key(pod: Object, spec: Object) -> bytes:
    metadata = pod["metadata"]
    return orjson.dumps(
        (
            metadata["namespace"],
            metadata.get("labels"),
            _controllers(metadata),
            [spec.get(field) for field in _SPEC_FIELDS],
            len(spec.get("resourceClaims") or ()),  # Which, plugins look up for each pod.
            [[container.get(field) for field in _CONTAINER_FIELDS] for container in spec.get("containers") or ()],
            [[container.get(field) for field in _CONTAINER_FIELDS] for container in spec.get("initContainers") or ()],
            [_volume_key(volume) for volume in spec.get("volumes") or () if not volume.keys() <= _DISK_FREE_VOLUMES],
        ),
        option=orjson.OPT_SORT_KEYS,
    )


def _volume_key(volume: Object) -> Any:
    """Of a claim only that it is one: which, and so where it can be used, plugins look up for each pod (`Reuse.NEVER`)."""
    return next((kind for kind in ("persistentVolumeClaim", "ephemeral") if volume.get(kind) is not None), volume)


def template_of(pod: Object) -> PodTemplate:
    """The template of a pod, shared by all that are made from it."""
    spec, metadata = podresources.resized_spec(pod), pod["metadata"]
    # The key of a spec that many pods have need not be made again for each of them.
    labels = metadata.get("labels") or meta.EMPTY
    known = (template_of, metadata["namespace"], tuple(labels.items()), tuple(_controllers(metadata)))
    return remember.of(spec, known, lambda: _template(pod, spec))


def _controllers(metadata: Object) -> list[tuple[str, str]]:
    return [(owner["uid"], owner["kind"]) for owner in metadata.get("ownerReferences") or () if owner.get("controller")]


def _template(pod: Object, spec: Object) -> PodTemplate:
    key = _template_key(pod, spec)
    template = _templates.get(key)
    if template is None:
        template = _templates[key] = PodTemplate(pod, spec, key)
    return template


class PodInfo:
    """A pod, read for scheduling: the little that is its own, and its template."""

    __slots__ = ("is_terminating", "name", "namespace", "node_name", "pod", "template", "uid")

    def __init__(self, pod: Object, template: PodTemplate | None = None) -> None:
        """`template`, where it is known already."""
        self.pod = pod
        metadata = pod["metadata"]
        self.uid: str = metadata["uid"]
        self.name: str = metadata["name"]
        self.namespace: str = metadata["namespace"]
        self.is_terminating = "deletionTimestamp" in metadata
        self.node_name: str = pod["spec"].get("nodeName") or ""
        self.template = template if template is not None else template_of(pod)

    def bound_to(self, node: Object) -> PodInfo:
        """As it will be seen there: with the labels that tell where the node is."""
        labels = nodelabels.topology(meta.labels(node))
        if not labels.items() - self.labels.items():
            return self
        known, key = self.template.bound, tuple(labels.items())
        template = known.get(key)
        if template is None:
            metadata = self.pod["metadata"]
            pod = {**self.pod, "metadata": {**metadata, "labels": {**self.labels, **labels}}}
            template = known[key] = _template(pod, self.template.spec)
        return PodInfo(self.pod, template)

    def unbound(self) -> PodInfo:
        """As it was before it was on a node."""
        if not self.node_name:
            return self
        spec = {key: value for key, value in self.pod["spec"].items() if key != "nodeName"}
        return PodInfo({**self.pod, "spec": spec})

    def counts_as(self, other: PodInfo) -> bool:
        """Whether it makes no difference to any rule which of the two is on a node."""
        return self.template is other.template and self.is_terminating == other.is_terminating

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def spec(self) -> Object:
        spec: Object = self.pod["spec"]
        return spec

    @property
    def labels(self) -> Mapping[str, str]:
        return self.template.labels

    @property
    def priority(self) -> int:
        return self.template.priority

    @property
    def requests(self) -> Mapping[str, int]:
        return self.template.requests

    @property
    def non_zero_requests(self) -> tuple[int, int]:
        return self.template.non_zero_requests

    @property
    def host_ports(self) -> tuple[HostPort, ...]:
        return self.template.host_ports

    @property
    def tolerations(self) -> tuple[Toleration, ...]:
        return self.template.tolerations

    @property
    def node_selector(self) -> Mapping[str, str]:
        return self.template.spec.get("nodeSelector") or meta.EMPTY

    @property
    def required_node_terms(self) -> tuple[NodeTerm, ...] | None:
        """Terms of which one must match; None if the pod has no such rule."""
        return self.template.required_node_terms

    @property
    def preferred_node_terms(self) -> tuple[tuple[int, NodeTerm], ...]:
        return self.template.preferred_node_terms

    @property
    def required_affinity(self) -> tuple[AffinityTerm, ...]:
        return self.template.required_affinity

    @property
    def required_anti_affinity(self) -> tuple[AffinityTerm, ...]:
        return self.template.required_anti_affinity

    @property
    def preferred_affinity(self) -> tuple[tuple[int, AffinityTerm], ...]:
        return self.template.preferred_affinity

    @property
    def preferred_anti_affinity(self) -> tuple[tuple[int, AffinityTerm], ...]:
        return self.template.preferred_anti_affinity

    @property
    def spread_constraints(self) -> tuple[SpreadConstraint, ...]:
        return self.template.spread_constraints

    @property
    def class_key(self) -> tuple[Any, ...]:
        return self.template.class_key, self.is_terminating

    @property
    def images(self) -> list[str]:
        containers = [*(self.spec.get("initContainers") or ()), *(self.spec.get("containers") or ())]
        return [container.get("image") or "" for container in containers]

    @property
    def volume_images(self) -> list[str]:
        return [volume["image"].get("reference") or "" for volume in self.spec.get("volumes") or () if volume.get("image")]

    @property
    def scheduler_name(self) -> str:
        return str(self.template.spec.get("schedulerName") or DEFAULT_SCHEDULER_NAME)

    @property
    def may_preempt(self) -> bool:
        return bool(self.template.spec.get("preemptionPolicy") != "Never")

    @property
    def nominated_node_name(self) -> str:
        return str((self.pod.get("status") or meta.EMPTY).get("nominatedNodeName") or "")

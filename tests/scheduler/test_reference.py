"""The columns decide as a scheduler does that looks at one node at a time, through any history of changes."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.apimachinery import quantity
from navarch.apimachinery.errors import Object
from tests.scheduler.world import feasible, node, pod, snapshot

KEYS, VALUES = ("zone", "disk"), ("1", "2", "x")
EFFECTS = ("NoSchedule", "NoExecute", "PreferNoSchedule")


def fits(item: Object, candidate: Object, present: list[Object]) -> bool:
    return _has_room(item, candidate, present) and _is_tolerated(item, candidate) and _is_wanted(item, candidate)


def _asked(item: Object, resource: str) -> Any:
    found = item["spec"]["containers"][0]["resources"]["requests"].get(resource, "0")
    return quantity.milli(found) if resource == "cpu" else quantity.value(found)


def _has_room(item: Object, candidate: Object, present: list[Object]) -> bool:
    allocatable = candidate["status"]["allocatable"]
    if len(present) + 1 > int(allocatable["pods"]):
        return False
    for resource, total in (("cpu", quantity.milli(allocatable["cpu"])), ("memory", quantity.value(allocatable["memory"]))):
        asked = _asked(item, resource)
        if asked and asked + sum(_asked(other, resource) for other in present) > total:
            return False
    return True


def _is_tolerated(item: Object, candidate: Object) -> bool:
    for taint in candidate["spec"].get("taints", []):
        if taint["effect"] == "PreferNoSchedule":
            continue
        for toleration in item["spec"].get("tolerations", []):
            if toleration.get("effect") and toleration["effect"] != taint["effect"]:
                continue
            if toleration.get("key") and toleration["key"] != taint["key"]:
                continue
            if toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""):
                break
        else:
            return False
    return True


def _is_wanted(item: Object, candidate: Object) -> bool:
    labels = candidate["metadata"]["labels"]
    if any(labels.get(key) != value for key, value in item["spec"].get("nodeSelector", {}).items()):
        return False
    affinity = item["spec"].get("affinity")
    if affinity is None:
        return True
    terms = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return any(term["matchExpressions"] and all(_meets(e, labels) for e in term["matchExpressions"]) for term in terms)


def _meets(expression: Object, labels: dict[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", [])
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    if value is None or not value.isdigit() or not values[0].isdigit():
        return False
    return int(value) > int(values[0]) if expression["operator"] == "Gt" else int(value) < int(values[0])


labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
taints = st.lists(
    st.fixed_dictionaries({"key": st.sampled_from(KEYS), "value": st.sampled_from(VALUES), "effect": st.sampled_from(EFFECTS)}),
    max_size=2,
)
tolerations = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"key": st.sampled_from(KEYS), "value": st.sampled_from(VALUES)}, optional={"effect": st.sampled_from(EFFECTS)}
        ),
        st.fixed_dictionaries({"operator": st.just("Exists")}, optional={"key": st.sampled_from(KEYS)}),
    ),
    max_size=2,
)
expressions = st.one_of(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(KEYS),
            "operator": st.sampled_from(("In", "NotIn")),
            "values": st.lists(st.sampled_from(VALUES), min_size=1, max_size=2),
        }
    ),
    st.fixed_dictionaries({"key": st.sampled_from(KEYS), "operator": st.sampled_from(("Exists", "DoesNotExist"))}),
    st.fixed_dictionaries(
        {"key": st.sampled_from(KEYS), "operator": st.sampled_from(("Gt", "Lt")), "values": st.sampled_from((["1"], ["2"]))}
    ),
)
terms = st.lists(st.fixed_dictionaries({"matchExpressions": st.lists(expressions, max_size=2)}), min_size=1, max_size=2)
cpu = st.sampled_from(("", "100m", "500m", "1", "1500m"))
memory = st.sampled_from(("", "1Gi", "1500M", "2Gi"))


@st.composite
def pods(draw: Any) -> Object:
    spec: Object = {}
    if draw(st.booleans()):
        spec["tolerations"] = draw(tolerations)
    if draw(st.booleans()):
        spec["nodeSelector"] = draw(labels)
    if draw(st.booleans()):
        required = {"nodeSelectorTerms": draw(terms)}
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return pod(cpu=draw(cpu), memory=draw(memory), **spec)


@st.composite
def nodes(draw: Any, name: str) -> Object:
    size = {"cpu": draw(st.sampled_from(("1", "2"))), "memory": draw(st.sampled_from(("2Gi", "4Gi")))}
    return node(name, labels=draw(labels), taints=draw(taints), pods=draw(st.sampled_from(("2", "10"))), **size)


NAMES = ("a", "b", "c")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_columns_equal_the_reference(data: st.DataObject) -> None:
    state: dict[str, Object] = {}
    placed: dict[str, list[Object]] = {name: [] for name in NAMES}
    found = snapshot()
    for _ in range(data.draw(st.integers(1, 8))):
        name = data.draw(st.sampled_from(NAMES))
        match data.draw(st.sampled_from(("node", "node", "remove", "pod", "pod", "unplace"))):
            case "node":
                state[name] = data.draw(nodes(name))
                found.set_node(state[name])
            case "remove":
                state.pop(name, None)
                found.remove_node(name)
            case "pod":
                item = data.draw(pods())
                placed[name].append(item)
                from navarch.scheduler.podinfo import PodInfo

                found.add_pod(PodInfo(item), name)
            case "unplace" if placed[name]:
                found.remove_pod(placed[name].pop()["metadata"]["uid"])
    item = data.draw(pods())
    expected = {name for name, candidate in state.items() if fits(item, candidate, placed[name])}
    assert feasible(found, item) == expected

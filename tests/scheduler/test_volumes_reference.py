"""What is said of volumes for all nodes at once equals what one would say looking at one node at a time."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.apimachinery import quantity
from navarch.apimachinery.errors import Object
from navarch.scheduler.framework import CycleState, Plugin
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot
from tests.scheduler.storage import HOST, ZONE, attachment, claim, csi, csi_node, storage_class, using, volume
from tests.scheduler.world import framework, node, pod, snapshot

NAMES = tuple(f"n{number}" for number in range(7))
ZONES = ("a", "b")
SIZES = ("1Gi", "2Gi", "3Gi")
CLAIMS = ("c0", "c1", "c2", "c3")
CLASSES = {
    "static": storage_class("static"),
    "made": storage_class("made", provisioner="disk.example.com"),
    "made-in-a": storage_class(
        "made-in-a",
        provisioner="disk.example.com",
        allowedTopologies=[{"matchLabelExpressions": [{"key": ZONE, "values": ["a"]}]}],
    ),
}
OFTEN = ("static", *CLASSES)
World = dict[str, Any]


def bytes_of(text: str) -> int:
    return quantity.value(text)


# One node at a time.


def is_at_home(pv: Object, labels: Object) -> bool:
    affinity = pv["spec"].get("nodeAffinity")
    if affinity is None:
        return True
    for term in affinity["required"]["nodeSelectorTerms"]:
        expressions = term.get("matchExpressions", [])
        if expressions and all(labels.get(e["key"]) in e["values"] for e in expressions):
            return True
    return False


def find_volume(world: World, item: Object, labels: Object, taken: set[str]) -> str:
    """The name of the volume a claim gets on a node with these labels, or ""."""
    best, best_size = "", 0
    for name, pv in world["volumes"].items():
        reference = pv["spec"].get("claimRef")
        own = reference is not None and reference["name"] == item["metadata"]["name"]
        size = bytes_of(pv["spec"]["capacity"]["storage"])
        if name in taken or (reference is not None and not own):
            continue
        if pv["spec"]["storageClassName"] != item["spec"]["storageClassName"]:
            continue
        if size < bytes_of(item["spec"]["resources"]["requests"]["storage"]):
            continue
        if own:
            return name if is_at_home(pv, labels) else ""
        if pv["status"]["phase"] != "Available" or not is_at_home(pv, labels):
            continue
        if not best or size < best_size:
            best, best_size = name, size
    return best


def binding_allows(world: World, item: Object, candidate: Object) -> bool:
    labels = candidate["metadata"]["labels"]
    waiting = []
    for entry in item["spec"]["volumes"]:
        found = world["claims"][entry["persistentVolumeClaim"]["claimName"]]
        if found["spec"].get("volumeName"):
            if not is_at_home(world["volumes"][found["spec"]["volumeName"]], labels):
                return False
        else:
            waiting.append(found)
    taken: set[str] = set()
    places = {"made": (None, *ZONES), "made-in-a": ("a",)}
    for found in sorted(waiting, key=lambda one: bytes_of(one["spec"]["resources"]["requests"]["storage"])):
        name = find_volume(world, found, labels, taken)
        if name:
            taken.add(name)
        elif (
            found["spec"]["storageClassName"] not in places or labels.get(ZONE) not in places[found["spec"]["storageClassName"]]
        ):
            return False
    return True


def zone_allows(world: World, item: Object, candidate: Object) -> bool:
    labels = candidate["metadata"]["labels"]
    if ZONE not in labels:
        return True
    for entry in item["spec"]["volumes"]:
        name = world["claims"][entry["persistentVolumeClaim"]["claimName"]]["spec"].get("volumeName")
        wanted = world["volumes"][name]["metadata"]["labels"].get(ZONE) if name else None
        if wanted is not None and labels[ZONE] not in wanted.split("__"):
            return False
    return True


def disks(world: World, item: Object) -> set[str]:
    found = set()
    for entry in item["spec"]["volumes"]:
        name = entry["persistentVolumeClaim"]["claimName"]
        bound = world["claims"][name]["spec"].get("volumeName")
        if bound:
            source = world["volumes"][bound]["spec"].get("csi")
            if source is not None:
                found.add(source["volumeHandle"])
        elif world["claims"][name]["spec"]["storageClassName"] != "static":
            found.add(f"of {name}")
    return found


def limits_allow(world: World, item: Object, candidate: Object) -> bool:
    name = candidate["metadata"]["name"]
    limit = world["limits"].get(name)
    present = set()
    for other in world["placed"].get(name, []):
        present |= disks(world, other)
    for pv in world["attached"].get(name, []):
        source = world["volumes"][pv]["spec"].get("csi")
        if source is not None:
            present.add(source["volumeHandle"])
    more = disks(world, item) - present
    # What is made by a driver that is not the one of these nodes is not limited there.
    return limit is None or not more or len(present) + len(more) <= limit


def one_pod_allows(world: World, item: Object, candidate: Object) -> bool:
    used = {
        entry["persistentVolumeClaim"]["claimName"]
        for pods in world["placed"].values()
        for p in pods
        for entry in p["spec"]["volumes"]
    }
    for entry in item["spec"]["volumes"]:
        name = entry["persistentVolumeClaim"]["claimName"]
        if name in used and world["claims"][name]["spec"]["accessModes"] == ["ReadWriteOncePod"]:
            return False
    return True


REFERENCE = {
    "VolumeRestrictions": one_pod_allows,
    "NodeVolumeLimits": limits_allow,
    "VolumeBinding": binding_allows,
    "VolumeZone": zone_allows,
}


# All nodes at once.


def allowed(plugin: Plugin, found: Snapshot, item: Object) -> set[str]:
    info, state, nodes = PodInfo(item), CycleState(), Nodes(found)
    answer = plugin.pre_filter(state, info, nodes)
    assert answer is None or answer.code.value == "Skip", answer  # type: ignore[union-attr]
    good = nodes.valid.copy()
    if answer is None:
        for rejection in plugin.filter(state, info, nodes):
            good &= ~rejection.nodes
    return {name for name, row in found.rows.items() if good[row]}


@st.composite
def volumes(draw: Any, name: str) -> Object:
    place = draw(st.sampled_from((None, "host", "zone", "both")))
    more: Object = {"csi": csi(draw(st.sampled_from(("h0", "h1", "h2"))))} if draw(st.booleans()) else {}
    labels = {ZONE: draw(st.sampled_from(("a", "b", "a__b")))} if draw(st.booleans()) else {}
    if draw(st.integers(0, 4)) == 0:
        more["claimRef"] = {"namespace": "default", "name": draw(st.sampled_from((*CLAIMS, "other")))}
    found = volume(name, draw(st.sampled_from(SIZES)), of_class=draw(st.sampled_from(OFTEN)), labels=labels, **more)
    if place is not None:
        host = {"key": HOST, "operator": "In", "values": draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2))}
        zone = {"key": ZONE, "operator": "In", "values": [draw(st.sampled_from(ZONES))]}
        terms = {
            "host": [{"matchExpressions": [host]}],
            "zone": [{"matchExpressions": [zone]}],
            "both": [{"matchExpressions": [host, zone]}, {"matchExpressions": []}],
        }[place]
        found["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    return found


@st.composite
def worlds(draw: Any) -> World:
    pvs = {f"v{number}": draw(volumes(f"v{number}")) for number in range(draw(st.integers(0, 6)))}
    claims, free = {}, [name for name, pv in pvs.items() if "claimRef" not in pv["spec"]]
    for name in CLAIMS:
        bound = free.pop() if free and draw(st.integers(0, 2)) == 0 else ""
        modes = draw(st.sampled_from((("ReadWriteOnce",), ("ReadWriteOncePod",))))
        claims[name] = claim(
            name, draw(st.sampled_from(SIZES)), of_class=draw(st.sampled_from(OFTEN)), volume=bound, modes=modes
        )
        if bound:
            pvs[bound]["spec"]["claimRef"] = {"namespace": "default", "name": name, "uid": f"claim-{name}"}
            pvs[bound]["status"]["phase"] = "Bound"
        else:
            for pv in pvs.values():
                # Of volumes that are to be bound, modes are no matter of this test.
                pv["spec"]["accessModes"] = ["ReadWriteOnce", "ReadWriteOncePod"]
    limits = draw(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3), max_size=7))
    attached = (
        draw(st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(tuple(pvs)), max_size=2), max_size=3))
        if pvs
        else {}
    )
    return {"volumes": pvs, "claims": claims, "limits": limits, "attached": attached, "placed": {}}


pods = st.lists(st.sampled_from(CLAIMS), min_size=1, max_size=3, unique=True).map(lambda names: pod(volumes=using(*names)))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_columns_equal_the_reference(data: st.DataObject) -> None:
    world = data.draw(worlds())
    objects = [*world["claims"].values(), *world["volumes"].values(), *CLASSES.values()]
    objects += [csi_node(name, limit) for name, limit in world["limits"].items()]
    objects += [attachment(f"{name}-{pv}", name, pv) for name, pvs in world["attached"].items() for pv in pvs]
    found = snapshot()
    plugins = framework(found, None, *objects).plugins
    nodes: dict[str, Object] = {}
    for name in NAMES:
        zone = data.draw(st.sampled_from((None, *ZONES)))
        nodes[name] = node(name, labels={} if zone is None else {ZONE: zone})
        found.set_node(nodes[name])
    for _ in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(NAMES))
        match data.draw(st.sampled_from(("place", "place", "unplace", "node"))):
            case "place" if name in nodes:
                placed = data.draw(pods)
                world["placed"].setdefault(name, []).append(placed)
                found.add_pod(PodInfo(placed), name)
            case "unplace" if world["placed"].get(name):
                found.remove_pod(world["placed"][name].pop()["metadata"]["uid"])
            case "node" if not world["placed"].get(name):
                if nodes.pop(name, None) is not None:
                    found.remove_node(name)
                else:
                    nodes[name] = node(name)
                    found.set_node(nodes[name])
        item = data.draw(pods)
        for plugin, allows in REFERENCE.items():
            expected = {name for name, candidate in nodes.items() if allows(world, item, candidate)}
            assert allowed(plugins[plugin], found, item) == expected, plugin
            # Of few nodes the same is said as of all.
            some = Nodes(found, Nodes(found).rows[:2])
            state = CycleState()
            if plugins[plugin].pre_filter(state, PodInfo(item), Nodes(found)) is None:
                few = some.valid.copy()
                for rejection in plugins[plugin].filter(state, PodInfo(item), some):
                    few &= ~rejection.nodes
                assert {found.names[row] for row in some.rows[few]} == {found.names[row] for row in some.rows} & expected, (
                    plugin
                )

"""Counting volumes on nodes while pods, claims and nodes change."""

from __future__ import annotations

from typing import cast

from navarch.apimachinery.errors import Object
from navarch.client.informer import Informers
from navarch.scheduler.attachedvolumes import AttachedVolumes
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo
from tests.scheduler.storage import claim, csi, csi_node, using, volume
from tests.scheduler.world import Objects, node, pod, snapshot

NAMES = tuple(f"n{number}" for number in range(6))


class World:
    """Six nodes, where two volumes may be attached."""

    def __init__(self, *objects: Object) -> None:
        self.snapshot = snapshot(*map(node, NAMES))
        self.objects = Objects([*(csi_node(name, 2) for name in NAMES), *objects])
        self.attached = AttachedVolumes(self.snapshot, cast(Informers, self.objects))

    def place(self, name: str, item: Object) -> None:
        self.snapshot.add_pod(PodInfo(item), name)

    def crowded_for(self, *claims: str) -> set[str]:
        """Nodes that cannot have these claims' volumes, too."""
        wanted = set(self.attached.disks_of(PodInfo(pod("new", volumes=using(*claims)))))
        found = self.attached.crowded(wanted, Nodes(self.snapshot))
        return set() if found is None else {name for name, row in self.snapshot.rows.items() if found[row]}


def bound(*numbers: int) -> list[Object]:
    claims = [claim(f"c{number}", volume=f"v{number}") for number in numbers]
    return [*claims, *(volume(f"v{number}", csi=csi(f"h{number}")) for number in numbers)]


def test_pods_that_come_and_go_are_counted_one_by_one() -> None:
    world = World(*bound(*range(6)))
    assert world.crowded_for("c5") == set()
    world.place("n0", pod("p0", volumes=using("c0")))
    assert (world.crowded_for("c5"), world.crowded_for("c4", "c5")) == (set(), {"n0"})
    world.place("n0", pod("p1", volumes=using("c1")))
    world.place("n0", pod("p2", volumes=using("c1")))
    assert (world.crowded_for("c5"), world.crowded_for("c0")) == ({"n0"}, set())
    world.place("n1", pod("p3", volumes=using("c2", "c3")))
    assert world.crowded_for("c5") == {"n0", "n1"}
    world.snapshot.remove_pod("p1")
    assert world.crowded_for("c5") == {"n0", "n1"}, "another pod uses the same volume"
    world.snapshot.remove_pod("p2")
    assert world.crowded_for("c5") == {"n1"}


def test_a_pod_that_has_come_and_gone_since_the_last_look_counts_for_nothing() -> None:
    world = World(*bound(*range(3)))
    assert world.crowded_for("c0", "c1") == set()
    world.place("n0", pod("p", volumes=using("c2")))
    world.snapshot.remove_pod("p")
    assert world.crowded_for("c0", "c1") == set()


def test_a_node_that_allows_less_or_more_is_noticed() -> None:
    world = World(*bound(0, 1))
    world.place("n0", pod("p", volumes=using("c0")))
    assert world.crowded_for("c1") == set()
    nodes = world.objects.get("csinodes.storage.k8s.io")
    nodes.change("n0", csi_node("n0", 1))
    assert world.crowded_for("c1") == {"n0"}
    nodes.change("n0", csi_node("n0", 2))
    assert world.crowded_for("c1") == set()


def test_a_claim_that_is_bound_later_counts_from_then_on() -> None:
    world = World(*bound(0, 1, 2), claim("late"), volume("v", csi=csi("h")))
    world.place("n0", pod("p0", volumes=using("c0")))
    world.place("n0", pod("p1", volumes=using("late")))
    assert world.crowded_for("c1") == set()
    world.objects.get("persistentvolumeclaims").change("default/late", claim("late", volume="v"))
    assert world.crowded_for("c1") == {"n0"}


def test_what_a_driver_that_no_node_limits_attaches_is_not_limited() -> None:
    world = World(claim("c", volume="v"), volume("v", csi=csi("h", "other.example.com")))
    assert world.crowded_for("c") == set()

"""How many pods a second are created, decided and bound: the workloads of Kubernetes' scheduler_perf.

python bench/scheduler.py [--only NAME ...] [--scale 0.1] [--curve] [--memory] [--hopeless]

API server over a store in memory and scheduler are in one process; everything goes through the real pipeline, without a
network. The clock runs from the first create of the measured pods until the last has been seen bound. Beside it stand the
threshold that scheduler_perf sets itself and, where it was measured on a machine of 2 cores, kube-scheduler 1.36.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import statistics
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import uvloop

from navarch.apimachinery.errors import Object
from navarch.component import garbage
from navarch.scheduler import engine as engines
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot
from navarch.simulation.cluster import Parts, SimulatedCluster

CREATES_IN_FLIGHT = 64
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
WORKLOAD_LIMIT_SECONDS = 600.0


def pod(labels: Object | None = None, *, cpu: str = "100m", memory: str = "500Mi", **spec: Any) -> Object:
    container = {"name": "pause", "image": "registry.example/pause:3.10", "ports": [{"containerPort": 80}]}
    requests = {name: amount for name, amount in (("cpu", cpu), ("memory", memory)) if amount}
    resources = {"limits": requests, "requests": requests}
    spec = {"containers": [{**container, "resources": resources}], "terminationGracePeriodSeconds": 0, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "pod-", "labels": labels or {}}, "spec": spec}


def node(number: int, zones: tuple[str, ...] = (), *, pods: str = "110", name: str = "", **spec: Any) -> Object:
    name = name or f"scheduler-perf-{number}"
    labels = {HOST: name} | ({ZONE: zones[number % len(zones)]} if zones else {})
    amounts = {"cpu": "4", "memory": "32Gi", "pods": pods}
    status = {
        "capacity": amounts,
        "allocatable": amounts,
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def term(color: str, key: str, **more: Any) -> Object:
    more = more or {"namespaces": ["sched-1", "sched-0"]}
    return {"labelSelector": {"matchLabels": {"color": color}}, "topologyKey": key, **more}


def required(kind: str, *terms: Object) -> Object:
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}}


def preferred(kind: str, *terms: Object) -> Object:
    weighted = [{"weight": 1, "podAffinityTerm": item} for item in terms]
    return {"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": weighted}}}


def spread(when: str, key: str = ZONE, skew: int = 5, **more: Any) -> Object:
    constraint = {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when, **more}
    return {"topologySpreadConstraints": [{**constraint, "labelSelector": {"matchLabels": {"color": "blue"}}}]}


BASIC = pod()
ANTI = pod({"color": "green"}, **required("podAntiAffinity", term("green", HOST)))
AFFINE = pod({"color": "blue"}, **required("podAffinity", term("blue", ZONE)))
LIKES = pod({"color": "red"}, **preferred("podAffinity", term("red", HOST)))
DISLIKES = pod({"color": "yellow"}, **preferred("podAntiAffinity", term("yellow", HOST)))
TEAM = {"namespaceSelector": {"matchLabels": {"team": "devops"}}}
BY_NODE = {"key": ZONE, "operator": "In", "values": ["zone1", "zone2"]}
NODE_AFFINITY: Object = {
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [BY_NODE]}]}
        }
    }
}
BY_NAME = {"key": "metadata.name", "operator": "In", "values": ["scheduler-perf-node"]}
DAEMON: Object = {
    "affinity": {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [BY_NAME]}]}}
    }
}
SECRET: Object = {"volumes": [{"name": "secret", "secret": {"secretName": "secret"}}]}
TAINT = {"key": "foo", "value": "", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Workload:
    """One of scheduler_perf's: nodes, pods that are there before, pods whose placing is measured."""

    name: str
    threshold: int
    """Pods a second that scheduler_perf itself asks for."""
    pods: Object
    measured: int
    init: tuple[tuple[Object, int], ...] = ()
    nodes: int = 5000
    zones: tuple[str, ...] = ()
    init_namespaces: int = 0
    """Over how many namespaces of team devops the pods from before are spread; 0: they are in sched-0."""
    reference: str = ""
    """kube-scheduler 1.36 on such a machine, pods a second."""
    tainted: int = 0
    churns: bool = False
    named_node: bool = False
    blocked: bool = False
    """Whether the pods from before can never be placed."""


WORKLOADS = (
    Workload("SchedulingBasic", 270, BASIC, 10_000, ((BASIC, 1000),), reference="177-201"),
    Workload("SchedulingPodAntiAffinity", 60, ANTI, 2000, ((ANTI, 1000),), reference="49-66"),
    Workload("SchedulingPodMatchingAntiAffinity", 600, pod({"color": "green"}), 2000, ((ANTI, 1000),)),
    Workload("SchedulingPodAffinity", 35, AFFINE, 5000, ((AFFINE, 5000),), zones=("zone1",)),
    Workload("SchedulingPreferredPodAffinity", 90, LIKES, 5000, ((LIKES, 5000),)),
    Workload("SchedulingPreferredPodAntiAffinity", 90, DISLIKES, 5000, ((DISLIKES, 5000),)),
    Workload("SchedulingNodeAffinity", 220, pod(**NODE_AFFINITY), 10_000, ((pod(**NODE_AFFINITY), 5000),), zones=("zone1",)),
    Workload(
        "MixedSchedulingBasePod",
        140,
        BASIC,
        5000,
        ((BASIC, 2000), (AFFINE, 2000), (ANTI, 2000), (LIKES, 2000), (DISLIKES, 2000)),
        zones=("zone1",),
    ),
    Workload(
        "SchedulingRequiredPodAntiAffinityWithNSSelector",
        24,
        pod({"color": "green"}, **required("podAntiAffinity", term("green", HOST, **TEAM))),
        2000,
        ((pod({"color": "green"}, **required("podAntiAffinity", term("green", HOST, **TEAM))), 4000),),
        nodes=6000,
        init_namespaces=100,
    ),
    Workload(
        "SchedulingPreferredAntiAffinityWithNSSelector",
        55,
        pod({"color": "yellow"}, **preferred("podAntiAffinity", term("yellow", HOST, **TEAM))),
        1000,
        ((pod({"color": "yellow"}, **preferred("podAntiAffinity", term("yellow", HOST, **TEAM))), 4000),),
        init_namespaces=100,
    ),
    Workload(
        "SchedulingRequiredPodAffinityWithNSSelector",
        35,
        pod({"color": "blue"}, **required("podAffinity", term("blue", ZONE, **TEAM))),
        1000,
        ((pod({"color": "blue"}, **required("podAffinity", term("blue", ZONE, **TEAM))), 5000),),
        zones=("zone1",),
        init_namespaces=100,
    ),
    Workload(
        "TopologySpreading",
        85,
        pod({"color": "blue"}, **spread("DoNotSchedule")),
        5000,
        ((BASIC, 5000),),
        zones=("moon-1", "moon-2", "moon-3"),
        reference="45-86",
    ),
    Workload(
        "PreferredTopologySpreading",
        125,
        pod({"color": "blue"}, **spread("ScheduleAnyway")),
        5000,
        ((BASIC, 5000),),
        zones=("moon-1", "moon-2", "moon-3"),
    ),
    Workload(
        "SchedulingWithNodeInclusionPolicy",
        68,
        pod({"color": "blue"}, **spread("DoNotSchedule", HOST, 1, nodeTaintsPolicy="Honor")),
        4000,
        tainted=1000,
    ),
    Workload("SchedulingDaemonset", 390, pod(cpu="", memory="", **DAEMON), 30_000, nodes=15_000, named_node=True),
    Workload("Unschedulable", 140, BASIC, 10_000, ((pod(cpu="9"), 200),), blocked=True),
    Workload("SchedulingWithMixedChurn", 265, BASIC, 10_000, churns=True),
    Workload("SchedulingSecrets", 260, pod(**SECRET), 5000, ((pod(**SECRET), 5000),)),
    Workload(
        "PreemptionAsync",
        160,
        pod(cpu="3", priorityClassName="high"),
        5000,
        ((pod(cpu="900m"), 20_000),),
        reference="132",
    ),
)


@dataclass
class Watch:
    """Which pods have been bound, and how long decisions took."""

    bound: set[str] = field(default_factory=set)
    decisions: list[float] = field(default_factory=list)


async def in_flight(calls: Iterator[Callable[[], Awaitable[Any]]], limit: int = CREATES_IN_FLIGHT) -> None:
    async def worker() -> None:
        for call in calls:
            await call()

    await asyncio.gather(*(worker() for _ in range(limit)))


class Rig:
    """A cluster for one workload."""

    def __init__(self, workload: Workload, scale: float) -> None:
        self.workload = workload
        self.scale = scale
        self.cluster = SimulatedCluster(Parts(nodes=0, controllers=False, scheduler=True))
        self.watch = Watch()

    def scaled(self, amount: int) -> int:
        return max(int(amount * self.scale), 1)

    async def __aenter__(self) -> Rig:
        await self.cluster.start()
        self.cluster.informers.get("pods").add_handler(self._pod_changed)
        _measure_decisions(self.watch.decisions)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.cluster.stop()

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and new["spec"].get("nodeName"):
            self.watch.bound.add(new["metadata"]["uid"])

    async def prepare(self) -> None:
        workload, create = self.workload, self.cluster.client.create
        spaces: list[tuple[str, Object]] = [("sched-0", {}), ("sched-1", {"team": "devops"})]
        spaces += [(f"init-{number}", {"team": "devops"}) for number in range(workload.init_namespaces)]
        for name, labels in spaces:
            await create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        high = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 10}
        await create("priorityclasses.scheduling.k8s.io", high)
        nodes = [node(number, workload.zones) for number in range(self.scaled(workload.nodes))]
        nodes += [node(number, taints=[TAINT]) for number in range(len(nodes), len(nodes) + self.scaled(workload.tainted))]
        if not workload.tainted:
            nodes = nodes[: self.scaled(workload.nodes)]
        if workload.named_node:
            nodes.append(node(0, name="scheduler-perf-node", pods="90000"))
        await in_flight((lambda obj=obj: create("nodes", obj)) for obj in nodes)  # type: ignore[misc]
        for template, amount in workload.init:
            await self.place(template, self.scaled(amount), wait=not workload.blocked, init=True)

    async def place(self, template: Object, amount: int, *, wait: bool = True, init: bool = False) -> None:
        """Create pods; until all are bound."""
        create, before = self.cluster.client.create, len(self.watch.bound)
        spaces = [f"init-{number}" for number in range(self.workload.init_namespaces)] if init else []
        spaces = spaces or (["sched-0"] if init else ["sched-1"])

        def calls() -> Iterator[Callable[[], Awaitable[Any]]]:
            for number in range(amount):
                space = spaces[number % len(spaces)]
                yield lambda space=space: create("pods", template, space)  # type: ignore[misc]

        await in_flight(calls())
        async with asyncio.timeout(WORKLOAD_LIMIT_SECONDS):
            while wait and len(self.watch.bound) < before + amount:
                await asyncio.sleep(0.002)

    async def told(self, amount: int) -> None:
        """Until so many pods have been told that they are unschedulable, and all that is to be written about it has been."""
        informer = self.cluster.informers.get("pods")
        while sum("conditions" in (obj.get("status") or {}) for obj in informer.list()) < amount:
            await asyncio.sleep(0.2)
        idle = 0
        while idle < 5:
            used = time.process_time()
            await asyncio.sleep(0.5)
            idle = idle + 1 if time.process_time() - used < 0.05 else 0

    async def churn(self) -> None:
        """Nodes, pods of high priority and Services come and go."""
        client = self.cluster.client
        for number in count():
            await client.create("nodes", node(10**6 + number))
            made = await client.create("pods", pod(cpu="3", priorityClassName="high"), "sched-0")
            await asyncio.sleep(1.0)
            await client.delete("nodes", f"scheduler-perf-{10**6 + number}")
            await client.delete("pods", made["metadata"]["name"], "sched-0", grace_period_seconds=0)


async def baseline(amount: int) -> dict[str, int]:
    """What the API alone costs in the same run: a pod's create and its binding, without scheduler and informers."""
    cluster = SimulatedCluster(Parts(nodes=0, controllers=False, scheduler=False))
    await cluster.start()
    client, made = cluster.client, []
    await client.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sched-1"}})

    async def create() -> None:
        made.append((await client.create("pods", BASIC, "sched-1"))["metadata"])

    async def bind(metadata: Object) -> None:
        body = {"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "node"}}
        body["metadata"] = {field: metadata[field] for field in ("name", "namespace", "uid")}
        await client.create("pods", body, "sched-1", name=metadata["name"], subresource="binding")

    garbage.settle()
    began = time.process_time()
    await in_flight(create for _ in range(amount))
    created = time.process_time()
    await in_flight((lambda item=item: bind(item)) for item in list(made))  # type: ignore[misc]
    bound = time.process_time()
    await cluster.stop()
    return {"create_us": round((created - began) / amount * 1e6), "bind_us": round((bound - created) / amount * 1e6)}


def _measure_decisions(into: list[float]) -> None:
    """Take the time of every decision of schedulers made from now on."""
    original = getattr(engines.Engine, "_timed_original", None) or engines.Engine._decide

    def decide(self: engines.Engine, queued: Any) -> None:
        began = time.perf_counter()
        original(self, queued)
        into.append(time.perf_counter() - began)

    engines.Engine._timed_original = original  # type: ignore[attr-defined]
    engines.Engine._decide = decide  # type: ignore[method-assign]


async def run(workload: Workload, scale: float) -> dict[str, Any]:
    async with Rig(workload, scale) as rig:
        await rig.prepare()
        garbage.settle()  # As a server does.
        rig.watch.decisions.clear()
        churning = asyncio.ensure_future(rig.churn()) if workload.churns else None
        amount = rig.scaled(workload.measured)
        began, cpu = time.perf_counter(), time.process_time()
        await rig.place(workload.pods, amount)
        took, used = time.perf_counter() - began, time.process_time() - cpu
        if churning is not None:
            churning.cancel()
        ordered = sorted(rig.watch.decisions)
    gc.unfreeze()
    return {
        "pods_per_second": round(amount / took),
        "threshold": workload.threshold,
        "kubernetes_1_36": workload.reference,
        "times_threshold": round(amount / took / workload.threshold, 1),
        "cpu_us_per_pod": round(used / amount * 1e6),
        "decision_us_p50": round(statistics.median(ordered) * 1e6),
        "decision_us_p99": round(ordered[int(len(ordered) * 0.99)] * 1e6),
        "decision_us_max": round(ordered[-1] * 1e6),
    }


def curve() -> dict[str, Any]:
    """The cost of one decision by the number of nodes: for pods of one template, and for pods that are all different."""
    return {str(nodes): _costs(nodes) for nodes in (100, 1000, 5000, 15_000)}


def _costs(nodes: int) -> dict[str, int]:
    from random import Random

    from navarch.scheduler.cycle import schedule
    from navarch.scheduler.vectors import Templates

    snapshot = Snapshot()
    for number in range(nodes):
        snapshot.set_node(node(number, ("a", "b", "c")))
    plugins, templates, random, numbers = _plugins(snapshot), Templates(snapshot), Random(1), count()

    def decide(template: Object) -> float:
        name = f"p{next(numbers)}"
        info = PodInfo({**template, "metadata": {**template["metadata"], "name": name, "namespace": "a", "uid": name}})
        began = time.perf_counter()
        decision = schedule(plugins, templates, info, random)
        took = time.perf_counter() - began
        snapshot.add_pod(info, decision.node)
        return took

    same = [decide(BASIC) for _ in range(300)]
    other = [decide(pod({"number": str(number)})) for number in range(100)]
    return {
        "same_template_us": round(statistics.median(same) * 1e6),
        "other_templates_us": round(statistics.median(other) * 1e6),
    }


def _plugins(snapshot: Snapshot) -> Any:
    from random import Random

    from navarch.scheduler.framework import Handle
    from navarch.scheduler.profiles import Profile, build

    class Nothing:
        def get(self, *_: Any, **__: Any) -> Any:
            return self

        def add_handler(self, *_: Any) -> None:
            pass

        def list(self, *_: Any) -> list[Object]:
            return []

    nothing: Any = Nothing()
    return build(Profile(), Handle(nothing, nothing, snapshot, nothing, Random, lambda: 0.0))


def memory() -> dict[str, int]:
    """What the snapshot needs for a node and for a pod, without the objects themselves, which informers have anyway."""
    nodes = [node(number, ("a", "b", "c")) for number in range(5000)]
    pods = []
    for number in range(50_000):
        metadata = {"generateName": "pod-", "name": f"pod-{number}", "namespace": "a", "uid": f"uid-{number}"}
        pods.append({**BASIC, "metadata": {**metadata, "labels": {"app": str(number // 100)}}})
    gc.collect()
    tracemalloc.start()
    snapshot = Snapshot()
    for obj in nodes:
        snapshot.set_node(obj)
    of_nodes = tracemalloc.get_traced_memory()[0]
    for number, obj in enumerate(pods):
        snapshot.add_pod(PodInfo(obj), f"scheduler-perf-{number % 5000}")
    of_pods = tracemalloc.get_traced_memory()[0] - of_nodes
    tracemalloc.stop()
    return {"bytes_per_node": of_nodes // len(nodes), "bytes_per_pod": of_pods // len(pods)}


async def hopeless(scale: float) -> dict[str, Any]:
    """What 10,000 pods that fit nowhere cost while small pods come and go."""
    workload = Workload("hopeless", 1, BASIC, 1)
    results = {}
    for waiting in (0, 10_000):
        async with Rig(workload, scale) as rig:
            await rig.prepare()
            await rig.place(pod(cpu="9"), int(waiting * scale), wait=False, init=True)
            await rig.told(int(waiting * scale))
            began, cpu = time.perf_counter(), time.process_time()
            client = rig.cluster.client
            for _ in range(100):
                made = await client.create("pods", BASIC, "sched-1")
                await asyncio.sleep(0.05)
                await client.delete("pods", made["metadata"]["name"], "sched-1", grace_period_seconds=0)
                await asyncio.sleep(0.05)
            results[waiting] = (time.process_time() - cpu) / (time.perf_counter() - began) * 100
    percent = round(results[10_000] - results[0], 2)
    return {"percent_of_a_core": percent, "without": round(results[0], 2), "with": round(results[10_000], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="a workload, or a part of its name")
    parser.add_argument("--scale", type=float, default=1.0, help="of nodes and pods")
    for name in ("curve", "memory", "hopeless"):
        parser.add_argument(f"--{name}", action="store_true", help="nothing but this")
    options = parser.parse_args()
    everything = not (options.only or options.curve or options.memory or options.hopeless)
    found: dict[str, Any] = {"baseline": uvloop.run(baseline(3000))}
    print(f"the API alone, CPU per pod: {found['baseline']}", flush=True)
    for workload in WORKLOADS:
        if everything or any(part in workload.name for part in options.only):
            result = found[workload.name] = uvloop.run(run(workload, options.scale))
            print(
                f"{workload.name:48} {result['pods_per_second']:6}/s  {result['times_threshold']:5.1f} x {workload.threshold:3}"
                f"  {workload.reference:>8}  {result['cpu_us_per_pod']:5} us CPU/pod"
                f"  decision {result['decision_us_p50']}/{result['decision_us_p99']} us",
                flush=True,
            )
    if everything or options.curve:
        found["curve"] = curve()
        for nodes, costs in found["curve"].items():
            same, other = costs["same_template_us"], costs["other_templates_us"]
            print(f"{nodes:>6} nodes: {same} us a decision, of a new template {other} us")
    if everything or options.memory:
        found["memory"] = memory()
        print(f"snapshot: {found['memory']}")
    if everything or options.hopeless:
        found["hopeless"] = uvloop.run(hopeless(options.scale))
        print(f"10,000 hopeless pods: {found['hopeless']}")
    found["max_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(found))


if __name__ == "__main__":
    main()

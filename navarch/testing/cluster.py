"""The synchronous face of a simulated cluster."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import PATCH_TYPES
from navarch.component import clock
from navarch.simulation import action as faults
from navarch.simulation import actions, arguments, manifests
from navarch.simulation.checkers import every
from navarch.simulation.checkers.checker import State
from navarch.simulation.cluster import Parts, SimulatedCluster
from navarch.simulation.defects import Defects
from navarch.simulation.document import nearest
from navarch.simulation.guard import Guard
from navarch.simulation.loop import START_SECONDS, SimulatedClock, SimulatedLoop
from navarch.simulation.nodefaults import BOOT_SECONDS
from navarch.simulation.record import Log
from navarch.simulation.resources import Resources, UnknownResourceError, describe
from navarch.simulation.stage import Stage
from navarch.simulation.watchdog import Watchdog

if TYPE_CHECKING:
    from navarch.simulation.stages.definition import StageDefinition

T = TypeVar("T")
F = TypeVar("F", bound=Callable[[State], Any])
Objects = list[Object]
Condition = str | Callable[[Object], Any]

WAIT_SECONDS = 600.0
REAL_WAIT_SECONDS = 30.0
FIRST_STEP_SECONDS, STEP_MAX_SECONDS = 0.001, 1.0
REAL_STEP_SECONDS = 0.02
NOT_RUNNING = "the cluster does not run: use it inside `with`, or between start and stop"


class WaitError(AssertionError):
    """What was waited for did not come about; says how things stand."""


class InvariantError(AssertionError):
    """A checker or an invariant has found something that must not be."""


class Fault:
    """A fault under way. `end` it, or let a ``with`` do that."""

    def __init__(self, cluster: Cluster, fault: faults.Fault, begun: Any) -> None:
        self._cluster = cluster
        self._fault = fault
        self._begun = begun
        self._has_ended = False

    def end(self) -> None:
        """Undo it."""
        if not self._has_ended:
            self._has_ended = True
            self._cluster.run(self._fault.end(self._cluster.stage, self._begun))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()


def _stages(files: Sequence[str | Path]) -> tuple[StageDefinition, ...]:
    if not files:
        return ()
    from navarch.simulation.stages import definition

    return definition.of_objects(definition.load(map(Path, files)))


class Nodes(dict[str, "Node"]):
    """Nodes by name; one that is not there is told with the name that comes nearest."""

    def __missing__(self, name: str) -> Node:
        raise UnknownResourceError(f"no node is {name!r}{nearest(str(name), self)}")


class Node:
    """One node of the cluster, and what can happen to it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self.name = name

    def crash(self) -> None:
        """Lose power: whatever ran there is gone, and the node is silent."""
        self._cluster._call(lambda node: node.crash(), self.name)

    def boot(self) -> None:
        """Come back after a crash."""
        self._cluster._call(lambda node: node.boot(), self.name)

    def freeze(self) -> None:
        """Hang: what runs there goes on, and nobody hears of it."""
        self._cluster._call(lambda node: node.freeze(), self.name)

    def thaw(self) -> None:
        self._cluster._call(lambda node: node.thaw(), self.name)

    def cut(self) -> None:
        """Cut its connection to the API server."""
        self._cluster._call(lambda node: node.cut(), self.name)

    def heal(self) -> None:
        self._cluster._call(lambda node: node.heal(), self.name)

    def reboot(self, seconds: float = BOOT_SECONDS) -> None:
        """Crash, and boot so many seconds later; returns when it has."""
        self.crash()
        self._cluster.advance(seconds=seconds)
        self.boot()

    def skew(self, seconds: float) -> None:
        """Its wall clock is wrong by so much from now on."""

        def skew(node: Any) -> None:
            node.clock.skew_seconds = seconds

        self._cluster._call(skew, self.name)

    @property
    def object(self) -> Object:
        """The API's Node."""
        return self._cluster.get(f"node/{self.name}")


class Cluster:
    """A cluster for tests; a context manager."""

    def __init__(
        self,
        *,
        nodes: int = 3,
        controllers: bool = True,
        scheduler: bool = True,
        seed: int = 0,
        http: bool = False,
        port: int = 0,
        time: Literal["virtual", "held", "real"] | None = None,
        namespace: str = "default",
        heartbeat_seconds: float = 10.0,
        written_heartbeats: bool = False,
        checkers: bool = True,
        control_planes: int = 1,
        stages: Sequence[str | Path] = (),
    ) -> None:
        """`nodes` pretended nodes; without `controllers` and `scheduler` objects are stored, and nothing comes of them.

        `seed`: of all that is left to chance. `time`: ``virtual`` (no waiting; the default), or with `http` ``real`` (the
        default there) or ``held`` (time stands still but in `advance` and `wait`). `written_heartbeats`: every heartbeat of
        a node is a write, as in life. `checkers`: what must hold in every cluster is watched, and InvariantError raised by
        whatever method runs when it does not. `control_planes`: of several one leads, elected as in life. `stages`: files of
        KWOK's Stages, which say what pods and nodes go through; raises ScenarioError for what they cannot say.
        """
        for option, value, least in (("nodes", nodes, 0), ("control_planes", control_planes, 1), ("port", port, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{option}: {value!r} should be a whole number, {least} or more")
        if heartbeat_seconds <= 0:
            raise ValueError(f"heartbeat_seconds: {heartbeat_seconds!r} should be more than 0")
        pace = time or ("real" if http else "virtual")
        if http == (pace == "virtual"):
            raise ValueError("over HTTP time is real or held, without it virtual")
        if http and control_planes > 1:
            raise ValueError("over HTTP there is one control plane")
        self.namespace = namespace
        self._parts = Parts(
            nodes=nodes,
            controllers=controllers,
            scheduler=scheduler and nodes > 0,
            http=http,
            port=port,
            heartbeat_seconds=heartbeat_seconds,
            written_heartbeats=written_heartbeats,
            control_planes=control_planes,
            stages=_stages(stages),
        )
        self._checks = checkers
        self._watchdog: Watchdog | None = None
        self._reported = 0
        """So many findings have been told."""
        self._pace = pace
        self.seed = seed
        self._guard: AbstractContextManager[Any] = nullcontext()
        """On while the cluster's time passes."""
        self._defects: Defects | None = None
        self._thread: threading.Thread | None = None
        self._cluster: SimulatedCluster | None = None
        self.resources: Resources = None  # type: ignore[assignment]
        self.stage: Stage = None  # type: ignore[assignment]

    # Life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Until the API answers, and with controllers until pods can be made."""
        self._loop = SimulatedLoop()
        # Over HTTP certificates count, whose time is the clients' time.
        self._clock = SimulatedClock(self._loop, self.seed, _real_seconds() if self._parts.http else START_SECONDS)
        if self._parts.http:
            self._loop.pace = "real"
            self._thread = threading.Thread(target=self._loop.run_forever, name="navarch", daemon=True)
            self._thread.start()
        self._cluster = cluster = SimulatedCluster(self._parts)
        # Who does not end it, as in an interactive session, leaves nothing behind either.
        atexit.register(self.stop)
        try:
            self.run(self._start(cluster))
            self.resources = Resources(cluster.client)
            if self._parts.controllers:
                self.wait_until(lambda: self.find("serviceaccount/default"))
            if self._pace == "held":
                self._loop.call_soon_threadsafe(self._set_pace, self._pace)
        except BaseException:
            self.stop()
            raise

    async def _start(self, cluster: SimulatedCluster) -> None:
        record = Watchdog.new_record("test", "", self.seed)
        self._watchdog = Watchdog(cluster, record, Log(), every.checkers() if self._checks else ())
        if self._checks:
            self._defects = Defects(self._loop, self._watchdog.reporter("defects"))
            self._defects.__enter__()
            if self._pace == "virtual":
                self._guard = Guard(self._watchdog.reporter("clock"))
        await cluster.start()
        self.stage = Stage(cluster, self.seed, self.namespace)

    def stop(self) -> None:
        """End it, and leave nothing behind."""
        cluster, self._cluster = self._cluster, None
        if cluster is None:
            return
        atexit.unregister(self.stop)
        if self._defects is not None:
            self._defects.__exit__(None, None, None)
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._set_pace, "real")
        try:
            self._run(cluster.stop())
            self._run(self._loop.shutdown_asyncgens())
        finally:
            if self._thread is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
            self._loop.close()

    def _set_pace(self, pace: Any) -> None:
        self._loop.pace = pace

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine inside the cluster, such as one that uses `client`; its result."""
        if self._cluster is None:
            coroutine.close()
            raise RuntimeError(NOT_RUNNING)
        result = self._run(coroutine)
        self._tell_findings()
        return result

    @property
    def _circumstances(self) -> str:
        """When something has failed, and with which seed."""
        return f"(seed {self.seed}, {arguments.show_duration(self._clock.monotonic())} after the start)"

    def _tell_findings(self) -> None:
        findings = self._watchdog.record.findings if self._watchdog is not None else []
        if len(findings) > self._reported:
            new, self._reported = findings[self._reported :], len(findings)
            raise InvariantError("\n".join([*map(str, new), self._circumstances]))

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async def timed() -> T:
            self._clock.use()
            return await coroutine

        if self._thread is not None:
            return asyncio.run_coroutine_threadsafe(timed(), self._loop).result()
        with self._guard:
            return self._loop.run_until_complete(timed())

    def _call(self, change: Callable[[Any], None], node: str) -> None:
        """Something happens to a node."""

        async def happen() -> None:
            change(self._simulated.nodes[node])

        self.run(happen())

    @property
    def _simulated(self) -> SimulatedCluster:
        if self._cluster is None:
            raise RuntimeError(NOT_RUNNING)
        return self._cluster

    @property
    def client(self) -> Any:
        """`navarch.client.client.Client` as an administrator, for coroutines that are given to `run`."""
        return self._simulated.client

    # For clients outside

    @property
    def url(self) -> str:
        """Where the API is served."""
        if not self._parts.http:
            raise ValueError("not served over HTTP: make the cluster with http=True")
        return f"https://127.0.0.1:{self._simulated.server.port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; gone with the cluster."""
        self.url  # noqa: B018 - it says what is wrong
        file = self._simulated.directory / "kubeconfig"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(self._simulated.kubeconfig())
        return file

    # Time

    @property
    def now(self) -> datetime:
        """The cluster's time."""

        async def read() -> datetime:
            return clock.now()

        return self.run(read())

    def advance(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Let so much time pass, with all that happens in it. Raises ValueError for less than none."""
        passes = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
        if passes < timedelta():
            raise ValueError(f"time does not go back: {passes.total_seconds():g} s")
        self._pass(passes.total_seconds())

    def _pass(self, seconds: float) -> None:
        if self._pace != "held":
            self.run(asyncio.sleep(seconds))
            return

        async def skip() -> None:
            self._loop.pace = "virtual"
            try:
                await asyncio.sleep(seconds)
            finally:
                self._loop.pace = "held"

        self.run(skip())

    # Objects

    def apply(self, objects: manifests.Manifests, *, namespace: str = "", field_manager: str = "navarch-testing") -> Objects:
        """Apply objects (server-side, taking over what others manage): a file, a directory, YAML, a dict or several.

        Returns them as they are then. Raises StatusError for what the API refuses, ValueError for one without a name.
        """
        return [self.run(self._apply(obj, namespace, field_manager)) for obj in manifests.read(objects)]

    async def _apply(self, obj: Object, namespace: str, field_manager: str) -> Object:
        kind = await self.resources.of_object(obj)
        if not manifests.has_name(obj):
            raise ValueError(f"{kind.kind}: an object that is applied has a metadata.name; `create` makes others")
        metadata = obj.get("metadata") or {}
        where = (metadata.get("namespace") or namespace or self.namespace) if kind.namespaced else ""
        obj = {**obj, "metadata": {**metadata, "namespace": where}} if where else obj
        applied: Object = await self.client.patch(
            kind, metadata.get("name", ""), obj, where, patch_type="apply", force="true", fieldManager=field_manager
        )
        return applied

    def create(self, obj: Mapping[str, Any], *, namespace: str = "") -> Object:
        """Create one object. Raises StatusError."""

        async def create() -> Object:
            kind = await self.resources.of_object(obj)
            where = ((obj.get("metadata") or {}).get("namespace") or namespace or self.namespace) if kind.namespaced else ""
            created: Object = await self.client.create(kind, dict(obj), where)
            return created

        return self.run(create())

    def get(self, name: str, *, namespace: str = "") -> Object:
        """One object: ``deployment/web``, ``po/a``, ``widgets.example.com/b``. Raises StatusError."""

        async def get() -> Object:
            kind, obj_name = await self.resources.of_name(name)
            found: Object = await self.client.get(kind, obj_name, (namespace or self.namespace) if kind.namespaced else "")
            return found

        return self.run(get())

    def find(self, name: str, *, namespace: str = "") -> Object | None:
        """The same, or None where there is none."""
        try:
            return self.get(name, namespace=namespace)
        except StatusError as error:
            if error.is_not_found:
                return None
            raise

    def list(self, resource: str, selector: str = "", *, namespace: str | None = None, fields: str = "") -> Objects:
        """Objects of a resource, by label `selector` and field selector; ``namespace=""`` is all namespaces."""

        async def found() -> Objects:
            kind = await self.resources.of_resource(resource)
            where = (self.namespace if namespace is None else namespace) if kind.namespaced else ""
            answer = await self.client.list(kind, where, label_selector=selector, field_selector=fields)
            return [*answer["items"]]

        return self.run(found())

    def patch(self, name: str, patch: Any, *, namespace: str = "", type: str = "merge", subresource: str = "") -> Object:
        """Patch an object; `type` is merge, json, strategic or apply. Raises StatusError, ValueError for another type."""
        if type not in PATCH_TYPES:
            raise ValueError(f"no patch is {type!r}{nearest(type, PATCH_TYPES)}")

        async def patched() -> Object:
            kind, obj_name = await self.resources.of_name(name)
            where = (namespace or self.namespace) if kind.namespaced else ""
            result: Object = await self.client.patch(kind, obj_name, patch, where, patch_type=type, subresource=subresource)
            return result

        return self.run(patched())

    def scale(self, name: str, replicas: int, *, namespace: str = "") -> None:
        """Set the replicas of a workload."""
        self.patch(name, {"spec": {"replicas": replicas}}, namespace=namespace, subresource="scale")

    def delete(self, name: str, *, namespace: str = "", grace_seconds: int | None = None, propagation: str = "") -> None:
        """Begin to delete an object. Raises StatusError."""

        async def delete() -> None:
            kind, obj_name = await self.resources.of_name(name)
            where = (namespace or self.namespace) if kind.namespaced else ""
            options = {"grace_period_seconds": grace_seconds, "propagation_policy": propagation}
            await self.client.delete(kind, obj_name, where, **options)

        self.run(delete())

    def pods(self, selector: str = "", *, ready: bool | None = None, namespace: str | None = None) -> Objects:
        """Pods that are not being deleted, by label selector; `ready`: only those that are, or are not."""
        found = [pod for pod in self.list("pods", selector, namespace=namespace) if not meta.being_deleted(pod)]
        return found if ready is None else [pod for pod in found if meta.is_condition_true(pod, "Ready") is ready]

    def events(self, name: str = "", *, namespace: str | None = None) -> Objects:
        """Events, the oldest first; `name`: those about one object."""
        found = self.list("events", namespace=namespace)
        if name:
            kind, obj_name = self.run(self.resources.of_name(name))
            found = [
                event
                for event in found
                if (event["involvedObject"].get("kind"), event["involvedObject"].get("name")) == (kind.kind, obj_name)
            ]
        return sorted(found, key=lambda event: (_second(event), meta.resource_version(event)))

    def logs(self, pod: str, container: str = "", *, namespace: str = "", previous: bool = False) -> str:
        """What a container has written: what its pod's annotations say that it writes.

        Raises StatusError for a pod that is not there, LookupError for a container that has not run.
        """
        found = self.get(f"pod/{pod}", namespace=namespace)
        name = container or found["spec"]["containers"][0]["name"]
        node = self._simulated.nodes.get(found["spec"].get("nodeName", ""))
        simulated = node.pods.get(meta.uid(found)) if node is not None else None
        if simulated is None:
            raise LookupError(f"no container of pod {pod!r} has run")
        return "".join(f"{line}\n" for _, line in simulated.log(name, previous=previous))

    # Nodes

    @property
    def nodes(self) -> dict[str, Node]:
        """By name."""
        return Nodes({name: Node(self, name) for name in self._simulated.nodes})

    def add_node(self, name: str = "", **options: Any) -> Node:
        """One more node; `options`: capacity, labels, taints. Raises ValueError where there is one of that name."""
        return Node(self, self.run(self._simulated.add_node(name, **options)).name)

    # Faults, and what must hold

    def do(self, action: str, **said: Any) -> Fault | None:
        """Do what a scenario's timeline can say, with the same arguments (``for_`` for `for`, underscores for hyphens).

        A fault lasts until it is ended: ``with cluster.do("fail-requests", code=500, share=0.3): ...``. Other actions are done
        when this returns. Raises ValueError for what there is not; ActionError, StatusError for what cannot be done.
        """
        made = actions.made(action, {key.rstrip("_").replace("_", "-"): value for key, value in said.items()})
        begun = self.run(made.begin(self.stage))
        if not isinstance(made, faults.Fault):
            return None
        fault = Fault(self, made, begun)
        if made.lasts_seconds and "for_" in said:
            self.advance(seconds=made.lasts_seconds)
            fault.end()
        return fault

    def invariant(self, function: F) -> F:
        """Have a function called from now on whenever something has changed; a decorator (`navarch.testing.invariant`)."""
        assert self._watchdog is not None, "the cluster does not run"
        self._watchdog.add(function)
        return function

    def settle(self, *, seconds: float = 0, minutes: float = 15) -> None:
        """Let so much time pass, after which every workload must have become what it is asked to be. Raises InvariantError."""
        self.advance(seconds=seconds, minutes=minutes)
        assert self._watchdog is not None
        self._watchdog.settled()
        self._tell_findings()

    # Waiting

    def wait(self, name: str, condition: Condition = "", *, namespace: str = "", timeout: float | None = None) -> Object:
        """Let time pass until an object is so; the object then.

        `condition`: a status condition (``Available``, ``Ready=False``), ``delete`` for its being gone, a function of the
        object, or nothing for its being there. `timeout` is seconds of the cluster's time. Raises WaitError.
        """
        last: list[Object | None] = [None]

        def holds() -> Any:
            found = last[0] = self.find(name, namespace=namespace)
            if condition == "delete":
                return found is None
            return found is not None and _holds(found, condition)

        try:
            self.wait_until(holds, timeout=timeout)
        except WaitError:
            wanted = condition if isinstance(condition, str) else f"as {_named(condition)} would have it"
            text = f"{name} is not {wanted or 'there'} within {self._patience(timeout):g} s"
            stands = describe(last[0], self.events(name, namespace=namespace or None))
            raise WaitError(f"{text}: {stands}\n{self._circumstances}") from None
        return last[0] or {}

    def wait_until(self, condition: Callable[[], T], *, timeout: float | None = None) -> T:
        """Let time pass until `condition()`, which may ask the cluster, is true; its value. Raises WaitError."""
        patience, passed = self._patience(timeout), 0.0
        step = REAL_STEP_SECONDS if self._pace == "real" else FIRST_STEP_SECONDS
        while not (value := condition()):
            if passed >= patience:
                raise WaitError(f"{_named(condition)} is not so within {patience:g} s\n{self._circumstances}")
            self._pass(step)
            passed += step
            if self._pace != "real":
                step = min(step * 2, STEP_MAX_SECONDS)
        return value

    def _patience(self, timeout: float | None) -> float:
        return timeout if timeout is not None else REAL_WAIT_SECONDS if self._pace == "real" else WAIT_SECONDS


def _real_seconds() -> float:
    return clock.SystemClock().time()


def _holds(obj: Object, condition: Condition) -> Any:
    if callable(condition):
        return condition(obj)
    if not condition:
        return True
    type_, _, value = condition.partition("=")
    found = meta.condition(obj, type_)
    generation = (obj.get("status") or {}).get("observedGeneration")
    # What is said of an older version of the object is no answer.
    is_current = generation is None or generation >= obj["metadata"].get("generation", 0)
    return found is not None and is_current and str(found["status"]).lower() == (value or "True").lower()


def _named(condition: Callable[..., Any]) -> str:
    """A function's name, if it has one."""
    name = getattr(condition, "__name__", "<lambda>")
    return "it" if name == "<lambda>" else name


def _second(event: Object) -> str:
    """When it was last seen. No closer than that, of Events of either kind."""
    series = event.get("series") or {}
    seen = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or ""
    return str(seen)[: len("2026-01-02T03:04:05")]

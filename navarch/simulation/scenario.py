"""A scenario: nodes, objects, a timeline of actions and faults, and what is expected of it all. Read from a file of YAML.

`read` and `parse` check everything that can be checked before a cluster is there. `draw` turns the timeline into steps at fixed
moments, with what is left to chance drawn from a seed: the same steps for the same seed. `write` is the file that says just
these steps, which needs no chance any more: so a run can be made smaller, and replayed.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from navarch.apimachinery import yamlcodec
from navarch.apimachinery.errors import Object
from navarch.simulation import actions, arguments, invariants, manifests, resources, stage
from navarch.simulation.action import Action, Fault
from navarch.simulation.arguments import ArgumentError, duration, show_duration
from navarch.simulation.controlplanefaults import FreezeLeader
from navarch.simulation.document import Document, Place, ScenarioError, nearest
from navarch.simulation.expectation import Expectation
from navarch.simulation.operations import AddNodes, Apply
from navarch.simulation.stages import definition

NODES, SECONDS, SETTLE_SECONDS = 3, 3600.0, 900.0
CONTROL_PLANES = (1, 2, 3)
NO_OTHERS = "nobody could take over; say control-planes: 2"
STEPS_LIMIT = 100_000
NODES_LIMIT = 100_000
REPEAT_LIMIT = 100_000

_FIELDS = (
    "name",
    "nodes",
    "namespace",
    "for",
    "settle",
    "caches",
    "control-planes",
    "stages",
    "objects",
    "timeline",
    "chaos",
    "expect",
    "invariants",
)
_TIMING = ("at", "every", "times", "from", "until")
_GROUP = ("count", "labels", "capacity", "taints")
_CHAOS = ("per-hour", "from", "until", "faults")


@dataclass(frozen=True)
class NodeGroup:
    """Nodes that are alike."""

    count: int
    labels: Mapping[str, str]
    capacity: Mapping[str, str] | None = None
    taints: tuple[Object, ...] = ()
    line: int = 0
    """Where the scenario says so."""


@dataclass(frozen=True)
class Entry:
    """One line of a timeline: an action, and when: once, every so often, or at so many moments drawn from the seed."""

    action: Action
    line: int
    at: float | None = None
    every: float | None = None
    times: int | None = None
    start: float = 0.0
    until: float | None = None

    def moments(self, seconds: float, chance: random.Random) -> Iterator[float]:
        """When it happens in a scenario that lasts so long."""
        end = seconds if self.until is None else min(self.until, seconds)
        if self.times is not None:
            yield from sorted(_milliseconds(chance.uniform(self.start, end)) for _ in range(self.times) if end > self.start)
        elif self.every is not None:
            count = 0
            while (moment := self.start + count * self.every) <= end:
                yield moment
                count += 1
        elif self.at is not None and self.at <= seconds:
            yield self.at


@dataclass(frozen=True)
class Chaos:
    """Faults that are left to chance."""

    per_hour: float
    start: float
    until: float | None
    faults: tuple[type[Fault], ...]


@dataclass(frozen=True)
class Step:
    """An action at a moment."""

    at: float
    action: Action
    line: int = 0
    """Where the scenario says so; 0: chance says so."""


@dataclass(frozen=True)
class Expected:
    """An expectation, and where the scenario has it."""

    expectation: Expectation
    line: int


@dataclass(frozen=True)
class Scenario:
    """All that a file says."""

    name: str
    file: str
    nodes: tuple[NodeGroup, ...]
    namespace: str
    seconds: float
    settle_seconds: float
    separate_caches: bool
    objects: tuple[Object, ...]
    timeline: tuple[Entry, ...]
    chaos: Chaos | None
    expectations: tuple[Expected, ...]
    invariants: tuple[Path, ...] = ()
    """Python files with functions that are marked as invariants."""
    control_planes: int = 1
    stages: tuple[Object, ...] = ()
    """What pods and nodes go through (navarch/simulation/stages)."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Where the file has objects, by `object_key`."""

    def where(self, obj: Object) -> str:
        """File and line of an object."""
        return f"{self.file}:{self.lines.get(object_key(obj), 1)}"

    def draw(self, seed: int) -> list[Step]:
        """What happens with a seed, in order."""
        chance = random.Random(f"{seed}/timeline")
        names = list(self.node_labels)
        steps = [
            Step(moment, entry.action.drawn(chance, names), entry.line)
            for entry in self.timeline
            for moment in entry.moments(self.seconds, chance)
        ]
        steps += self._draw_chaos(random.Random(f"{seed}/chaos"), names)
        return sorted(steps, key=lambda step: step.at)

    def _draw_chaos(self, chance: random.Random, names: Sequence[str]) -> Iterator[Step]:
        if self.chaos is None or not names:
            return
        start = self.chaos.start
        until = self.seconds if self.chaos.until is None else min(self.chaos.until, self.seconds)
        for _ in range(round(self.chaos.per_hour * max(until - start, 0.0) / 3600)):
            moment = _milliseconds(chance.uniform(start, until))
            yield Step(moment, chance.choice(self.chaos.faults).random(chance, names))

    @property
    def node_labels(self) -> dict[str, Mapping[str, str]]:
        """Of the nodes that are there from the start, by name."""
        found: dict[str, Mapping[str, str]] = {}
        for group in self.nodes:
            for _ in range(group.count):
                found[f"node-{len(found) + 1}"] = group.labels
        return found

    def with_nodes(self, count: int) -> Scenario:
        """The same with so many nodes in all, its groups in proportion."""
        before = max(1, sum(group.count for group in self.nodes))
        groups, given = [], 0
        for index, group in enumerate(self.nodes):
            share = count - given if index == len(self.nodes) - 1 else group.count * count // before
            groups.append(replace(group, count=share))
            given += share
        return replace(self, nodes=tuple(groups))


def object_key(obj: Object) -> str:
    """What tells an object of a scenario from others: ``Deployment default/web``, without the namespace where it has none."""
    metadata = obj.get("metadata") or {}
    return f"{obj['kind']} {'/'.join(str(metadata[key]) for key in ('namespace', 'name') if metadata.get(key))}"


def _milliseconds(seconds: float) -> float:
    """What is drawn is rounded to what a file can say."""
    return round(seconds, 3)


def read(path: Path) -> Scenario:
    """A scenario of a file. Raises ScenarioError."""
    return _Reader(Document.read(path), path.parent).scenario()


def parse(text: str, file: str = "scenario", directory: Path | None = None) -> Scenario:
    """A scenario of text. Raises ScenarioError."""
    return _Reader(Document(text, file), directory or Path()).scenario()


def write(scenario: Scenario, steps: Sequence[Step]) -> str:
    """The file that says the same with just these steps."""
    groups = [
        {key: value for key, value in vars(group).items() if key != "line" and value not in (None, (), {})}
        | ({"taints": list(group.taints)} if group.taints else {})
        for group in scenario.nodes
    ]
    said: dict[str, Any] = {
        "name": scenario.name,
        "nodes": groups,
        "namespace": scenario.namespace,
        "for": show_duration(scenario.seconds),
        "settle": show_duration(scenario.settle_seconds),
        "caches": "separate" if scenario.separate_caches else "shared",
        "control-planes": scenario.control_planes if scenario.control_planes > 1 else None,
        "stages": list(scenario.stages),
        "objects": list(scenario.objects),
        "timeline": [
            {"at": show_duration(step.at), "do": step.action.name, **arguments.written(step.action)} for step in steps
        ],
        "invariants": [str(path.absolute()) for path in scenario.invariants],
        "expect": [arguments.written(expected.expectation) for expected in scenario.expectations],
    }
    return yamlcodec.dump({key: value for key, value in said.items() if value or key == "nodes"}).decode()


class _Reader:
    """Makes a scenario of a document."""

    def __init__(self, document: Document, directory: Path) -> None:
        self._document = document
        self._directory = directory
        self._lines: dict[str, int] = {}

    def scenario(self) -> Scenario:
        document = self._document
        said = document.mapping((), document.value, _FIELDS)
        nodes = tuple(self._groups(said.get("nodes", NODES)))
        timeline = tuple(self._entry(place, item) for place, item in document.items(("timeline",), said.get("timeline")))
        control_planes = self._value(("control-planes",), said, arguments.any_of(*CONTROL_PLANES), 1)
        chaos = self._chaos(said["chaos"], has_others=control_planes > 1) if "chaos" in said else None
        found = Scenario(
            name=self._value(("name",), said, arguments.text, Path(document.file).stem),
            file=document.file,
            nodes=nodes,
            namespace=self._value(("namespace",), said, arguments.text, "default"),
            seconds=self._value(("for",), said, duration, SECONDS),
            settle_seconds=self._value(("settle",), said, duration, SETTLE_SECONDS),
            separate_caches=self._value(("caches",), said, arguments.one_of("separate", "shared"), "separate") == "separate",
            control_planes=control_planes,
            stages=tuple(self._stages(said.get("stages"))),
            objects=tuple(self._objects(said.get("objects"))),
            timeline=timeline,
            chaos=chaos,
            expectations=tuple(self._expected(place, item) for place, item in document.items(("expect",), said.get("expect"))),
            lines=self._lines,
        )
        self._check_targets(found)
        self._check_times(found)
        return replace(found, invariants=tuple(self._invariants(said.get("invariants"))))

    def _invariants(self, value: Any) -> Iterator[Path]:
        for place, item in self._document.items(("invariants",), value):
            path = self._directory / str(item)
            if not path.is_file():
                raise self._document.error(place, f"{path} is no file")
            try:
                made = list(invariants.read([path]))
            except SyntaxError as error:
                raise self._document.error(place, f"{path}:{error.lineno or 1}: {error.msg}") from None
            except Exception as error:  # noqa: BLE001 - it is the user's
                last = traceback.extract_tb(error.__traceback__)[-1]
                raise self._document.error(place, f"{last.filename}:{last.lineno}: {type(error).__name__}: {error}") from None
            if not made:
                raise self._document.error(place, f"{path}: no function there is marked with navarch.testing.invariant")
            for function in made:
                try:
                    invariants.resources(function)
                except ValueError as error:
                    raise self._document.error(place, f"{path}: {error}") from None
            yield path

    def _value(self, place: Place, said: Mapping[str, Any], read_value: Any, default: Any) -> Any:
        """A field by its rule; `default` where there is none."""
        key = place[-1]
        if key not in said:
            return default
        try:
            return read_value(said[str(key)])
        except ValueError as error:
            raise self._document.error(place, f"{key}: {error}") from None

    def _groups(self, value: Any) -> Iterator[NodeGroup]:
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value <= NODES_LIMIT:
                raise self._document.error(("nodes",), f"nodes: {value} is not between 0 and {NODES_LIMIT}")
            yield NodeGroup(value, {}, line=self._document.line(("nodes",)))
            return
        for place, item in self._document.items(("nodes",), value):
            said = self._document.mapping(place, item, _GROUP)
            count = self._value((*place, "count"), said, arguments.integer, 1)
            labels = self._value((*place, "labels"), said, arguments.labels, {})
            capacity = self._value((*place, "capacity"), said, arguments.labels, None)
            taints = tuple(taint for _, taint in self._document.items((*place, "taints"), said.get("taints")))
            yield NodeGroup(count, labels, capacity, taints, self._document.line(place))

    def _objects(self, value: Any) -> Iterator[Object]:
        for place, item in self._document.items(("objects",), value):
            for obj in self._objects_of(place, item):
                self._lines.setdefault(object_key(obj), self._document.line(place))
                yield obj

    def _objects_of(self, place: Place, item: Any) -> Iterator[Object]:
        if isinstance(item, str):
            try:
                for obj in manifests.read(self._directory / item):
                    yield self._object(place, obj)
            except (OSError, yamlcodec.YAMLError) as error:
                raise self._document.error(place, f"{item}: {error}") from None
            return
        said = item if isinstance(item, dict) else {}
        if "repeat" in said:
            self._document.mapping(place, item, ("repeat", "object"))
            count = self._value((*place, "repeat"), said, arguments.integer, 0)
            if count > REPEAT_LIMIT:
                raise self._document.error((*place, "repeat"), f"repeat: {count} is more than {REPEAT_LIMIT}")
            for number in range(1, count + 1):
                yield self._object((*place, "object"), _numbered(said.get("object"), number))
        else:
            yield self._object(place, item)

    def _stages(self, value: Any) -> Iterator[Object]:
        for place, item in self._document.items(("stages",), value):
            if isinstance(item, str):
                yield from definition.load([self._directory / item])
            else:
                definition.read(self._document, place, item)
                yield item

    def _object(self, place: Place, item: Any) -> Object:
        if not isinstance(item, dict) or not all(isinstance(item.get(field), str) for field in ("apiVersion", "kind")):
            raise self._document.error(place, "an object has an apiVersion and a kind, both strings")
        if not manifests.has_name(item):
            raise self._document.error(place, f"{item['kind']}: an object that is applied has a metadata.name")
        return item

    def _entry(self, place: Place, item: Any) -> Entry:
        document = self._document
        if not isinstance(item, dict) or not isinstance(item.get("do"), str):
            raise document.error(place, f"what is to be done? `do` names it{nearest('', actions.BY_NAME)}")
        action = actions.BY_NAME.get(item["do"])
        if action is None:
            raise document.error((*place, "do"), f"unknown action {item['do']!r}{nearest(item['do'], actions.BY_NAME)}")
        timing = {key: item[key] for key in _TIMING if key in item}
        said = {key: value for key, value in item.items() if key not in (*_TIMING, "do")}
        if sum(key in timing for key in ("at", "every", "times")) != 1:
            raise document.error(place, f"when is {action.name} to be done? Say one of at, every, times")
        if "at" in timing and len(timing) > 1:
            raise document.error(place, "`from` and `until` go with every and times")
        try:
            made = arguments.read(action, said)
        except ArgumentError as error:
            raise document.error((*place, error.key), f"{action.name}: {error}") from None
        entry = Entry(
            made,
            document.line(place),
            self._value((*place, "at"), timing, duration, None),
            self._value((*place, "every"), timing, duration, None),
            self._value((*place, "times"), timing, arguments.integer, None),
            self._value((*place, "from"), timing, duration, 0.0),
            self._value((*place, "until"), timing, duration, None),
        )
        if entry.every is not None and entry.every <= 0:
            raise document.error((*place, "every"), "every: it should be more than 0")
        if (entry.times or 0) > STEPS_LIMIT:
            raise document.error((*place, "times"), f"times: {entry.times} is more than {STEPS_LIMIT}")
        return entry

    def _chaos(self, value: Any, *, has_others: bool) -> Chaos:
        document, place = self._document, ("chaos",)
        said = document.mapping(place, value, _CHAOS)
        faults = []
        for where, name in document.items((*place, "faults"), said.get("faults")):
            fault = actions.FAULTS_BY_NAME.get(str(name))
            if fault is None:
                raise document.error(where, f"unknown fault {name!r}{nearest(str(name), actions.FAULTS_BY_NAME)}")
            if fault is FreezeLeader and not has_others:
                raise document.error(where, f"{name}: {NO_OTHERS}")
            faults.append(fault)
        per_hour = self._value((*place, "per-hour"), said, arguments.integer, 12)
        if per_hour > STEPS_LIMIT:
            raise document.error((*place, "per-hour"), f"per-hour: {per_hour} is more than {STEPS_LIMIT}")
        return Chaos(
            float(per_hour),
            self._value((*place, "from"), said, duration, 0.0),
            self._value((*place, "until"), said, duration, None),
            tuple(faults) or tuple(fault for fault in actions.FAULTS if has_others or fault is not FreezeLeader),
        )

    def _expected(self, place: Place, item: Any) -> Expected:
        said = self._document.mapping(place, item, arguments.rules(Expectation))
        try:
            expectation = arguments.read(Expectation, said)
        except ArgumentError as error:
            raise self._document.error((*place, error.key), str(error)) from None
        if expectation.problem:
            raise self._document.error(place, expectation.problem)
        return Expected(expectation, self._document.line(place))

    # Targets

    def _check_targets(self, scenario: Scenario) -> None:
        nodes = dict(scenario.node_labels)
        for entry in scenario.timeline:
            if isinstance(entry.action, AddNodes):
                for _ in range(entry.action.count):
                    nodes[f"node-{len(nodes) + 1}"] = entry.action.labels or {}
        applied = [entry.action.object for entry in scenario.timeline if isinstance(entry.action, Apply)]
        known = _Objects([*scenario.objects, *applied])
        for index, entry in enumerate(scenario.timeline):
            if isinstance(entry.action, FreezeLeader) and scenario.control_planes == 1:
                raise self._document.error(("timeline", index), f"{entry.action.name}: {NO_OTHERS}")
            for key, (each, rule) in arguments.rules(type(entry.action)).items():
                value = getattr(entry.action, each.name)
                problem = ""
                if rule.read is arguments.node_target:
                    problem = stage.unknown_target(value, nodes)
                elif rule.read is arguments.object_name:
                    problem = known.unknown(value)
                elif rule.read is arguments.requester:
                    problem = stage.unknown_requester(value, nodes)
                elif rule.read is arguments.resource:
                    problem = known.unknown_plural(value)
                elif rule.read is arguments.webhook:
                    problem = known.unknown_webhook(value)
                if problem:
                    raise self._document.error(("timeline", index, key), f"{entry.action.name}: {problem}")
        for index, expected in enumerate(scenario.expectations):
            problem = known.unknown(expected.expectation.object) if expected.expectation.object else ""
            if problem:
                raise self._document.error(("expect", index, "object"), problem)
            problem = stage.unknown_target(expected.expectation.node, nodes) if expected.expectation.node else ""
            if problem:
                raise self._document.error(("expect", index, "node"), problem)

    def _check_times(self, scenario: Scenario) -> None:
        """What would never happen is not meant."""
        ends = arguments.show_duration(scenario.seconds)
        for index, entry in enumerate(scenario.timeline):
            start = entry.at if entry.at is not None else entry.start
            if start > scenario.seconds:
                key = "at" if entry.at is not None else "from"
                raise self._document.error(("timeline", index, key), f"{entry.action.name}: the scenario ends after {ends}")
            if entry.until is not None and entry.until < entry.start:
                raise self._document.error(("timeline", index, "until"), f"{entry.action.name}: `until` is before `from`")
        whole = scenario.seconds + scenario.settle_seconds
        for index, expected in enumerate(scenario.expectations):
            at = expected.expectation.at
            if at is not None and at > whole:
                text = f"at: the scenario ends after {ends}, and has settled {arguments.show_duration(whole)} after its start"
                raise self._document.error(("expect", index, "at"), text)


class _Objects:
    """What a scenario makes, to be held against what it names."""

    def __init__(self, objects: Sequence[Mapping[str, Any]]) -> None:
        self._kinds = resources.builtin()
        self._named: dict[str, list[str]] = {}
        for obj in objects:
            self._named.setdefault(str(obj["kind"]), []).append(str((obj.get("metadata") or {}).get("name")))
        defines = "CustomResourceDefinition" in self._named
        self._takes_any_kind = defines
        self._webhooks = [
            name
            for obj in objects
            if str(obj["kind"]).endswith("WebhookConfiguration")
            for hook in obj.get("webhooks") or ()
            for name in _webhook_names(hook)
        ]

    def unknown(self, name: str) -> str:
        """Why no object can be called so, or ""."""
        resource, _, found = name.partition("/")
        kind = self._kinds.get(resource.lower())
        if kind is None:
            return "" if self._takes_any_kind else f"no resource is called {resource!r}{nearest(resource, self._kinds)}"
        named = self._named.get(kind.kind)
        if not named or found in named or kind.kind in _MADE_BY_CONTROLLERS:
            return ""
        return f"unknown target: there is no {kind.kind} {found!r}{nearest(found, named)}"

    def unknown_plural(self, pattern: str) -> str:
        """Why no resource can be called so, or ""."""
        return "" if self._takes_any_kind else stage.unknown_plural(pattern, {kind.plural for kind in self._kinds.values()})

    def unknown_webhook(self, pattern: str) -> str:
        """Why no webhook can be called so, or ""; conversions have hosts, too."""
        if pattern == "*" or self._takes_any_kind or any(fnmatchcase(name, pattern) for name in self._webhooks):
            return ""
        return f"unknown target: no webhook is {pattern!r}{nearest(pattern, self._webhooks)}"


def _webhook_names(hook: Mapping[str, Any]) -> Iterator[str]:
    """What a webhook may be called by a fault: its name, and the host that it is at."""
    said = hook.get("clientConfig") or {}
    yield str(hook.get("name"))
    if said.get("url"):
        yield str(urlsplit(str(said["url"])).hostname)
    service = said.get("service") or {}
    if service:
        yield f"{service.get('name')}.{service.get('namespace')}.svc"


# Of these a scenario can name what it has not made.
_MADE_BY_CONTROLLERS = frozenset({
    "ConfigMap", "ControllerRevision", "Endpoints", "EndpointSlice", "Event", "Job", "Lease", "Namespace", "Node",
    "PersistentVolume", "PersistentVolumeClaim", "Pod", "PriorityClass", "ReplicaSet", "Secret", "Service", "ServiceAccount",
})  # fmt: skip


def _numbered(value: Any, number: int) -> Any:
    """The same with ``{n}`` in all its strings replaced."""
    if isinstance(value, str):
        return value.replace("{n}", str(number))
    if isinstance(value, dict):
        return {_numbered(key, number): _numbered(item, number) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbered(item, number) for item in value]
    return value


__all__ = ["Chaos", "Entry", "Expected", "NodeGroup", "Scenario", "ScenarioError", "Step", "parse", "read", "write"]

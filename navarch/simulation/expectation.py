"""What a scenario expects of its cluster at a moment, or at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.simulation import arguments
from navarch.simulation.arguments import argument
from navarch.simulation.stage import Stage

OBJECT, PODS = "object", "pods"


def anything(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Expectation:
    """Either of an object, or of the number of pods."""

    object: str = argument(arguments.object_name, "")
    namespace: str = argument(arguments.text, "")
    condition: str = argument(arguments.text, "")
    """A status condition, such as ``Available`` or ``Ready=False``."""
    gone: bool = argument(arguments.boolean, False)
    """It is not there."""
    field: str = argument(arguments.text, "")
    """A path such as ``status.readyReplicas``…"""
    equals: str | int | bool | None = argument(anything, None)
    """…and what stands there."""
    pods: str = argument(arguments.selector, "")
    """A label selector; ``""`` would be every pod and is written ``all``."""
    ready: int | None = argument(arguments.integer, None)
    """So many of them are ready."""
    count: int | None = argument(arguments.integer, None)
    """So many there are, whatever their state, but those that are being deleted."""
    at_least: int | None = argument(arguments.integer, None)
    """So many of them or more are ready."""
    at_most: int | None = argument(arguments.integer, None)
    """There are so many or fewer, but for those that are being deleted."""
    node: str = argument(arguments.node_target, "")
    """Only those on these nodes are counted."""
    at: float | None = argument(arguments.duration, None)
    """When; otherwise at the end."""
    until: float | None = argument(arguments.duration, None)
    """From `at` on it is so all the time until then."""
    within: float = argument(arguments.duration, 0.0)
    """It may take so long until it is so."""

    def __str__(self) -> str:
        said = {key: value for key, value in arguments.written(self).items() if key not in ("at", "until", "within")}
        return " ".join(f"{key}={value}" for key, value in said.items())

    @property
    def problem(self) -> str:
        """Why it cannot be meant, or ""."""
        if bool(self.object) == bool(self.pods):
            return "an expectation is either of an object or of pods"
        if self.object and sum((bool(self.condition), self.gone, bool(self.field))) > 1:
            return "an expectation of an object is one of condition, gone, field"
        if self.pods and all(number is None for number in (self.ready, self.count, self.at_least, self.at_most)):
            return "an expectation of pods says how many: ready, count, at-least or at-most"
        if self.until is not None and (self.at is None or self.until < self.at):
            return "`until` goes with an earlier `at`"
        return ""

    async def unmet(self, stage: Stage) -> str:
        """Why it is not so at the moment, or "". Raises StatusError, ConnectionError where nobody can tell."""
        return await (self._unmet_object(stage) if self.object else self._unmet_pods(stage))

    async def _unmet_object(self, stage: Stage) -> str:
        found = await stage.find(self.object, self.namespace)
        if self.gone:
            return "" if found is None else "it is still there"
        if found is None:
            return "there is no such object"
        if self.field:
            value = meta.get_path(found, *self.field.split("."))
            return "" if value == self.equals else f"{self.field} is {value!r}"
        return _unmet_condition(found, self.condition) if self.condition else ""

    async def _unmet_pods(self, stage: Stage) -> str:
        found = await stage.pods("" if self.pods == arguments.ALL else self.pods, self.namespace)
        if self.node:
            names = {node.name for node in stage.nodes(self.node)}
            found = [pod for pod in found if pod["spec"].get("nodeName") in names]
        ready = sum(meta.is_condition_true(pod, "Ready") for pod in found)
        wrong = (
            (self.ready is not None and ready != self.ready)
            or (self.count is not None and len(found) != self.count)
            or (self.at_least is not None and ready < self.at_least)
            or (self.at_most is not None and len(found) > self.at_most)
        )
        return f"there are {len(found)}, {ready} of them ready" if wrong else ""


def _unmet_condition(obj: Object, wanted: str) -> str:
    type_, _, value = wanted.partition("=")
    found = meta.condition(obj, type_)
    generation = (obj.get("status") or {}).get("observedGeneration")
    if generation is not None and generation < obj["metadata"].get("generation", 0):
        return "its controller has not seen its newest generation"
    if found is None:
        return f"it has no condition {type_}"
    is_so = str(found["status"]).lower() == (value or "True").lower()
    why = found.get("message") or found.get("reason") or "no reason is given"
    return "" if is_so else f"{type_} is {found['status']}: {why}"

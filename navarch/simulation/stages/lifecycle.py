"""Which stage an object goes through next, when, and what is then asked of the API: decided from the object, time and chance.

The rules are KWOK's: of the stages that select an object one is drawn by weight; its delay is between its duration and its
jitter's, and either may stand in the object as a duration or as a moment.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from navarch.apimachinery import meta, yamlcodec
from navarch.apimachinery.errors import Object
from navarch.simulation.stages import execute, jq
from navarch.simulation.stages.definition import (
    Amount,
    ChangeFinalizers,
    Delete,
    Patch,
    Requirement,
    Selector,
    SendEvent,
    StageDefinition,
)
from navarch.simulation.stages.gotemplate import TemplateError

_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_STRATEGIC = ("Node", "Pod")


# Selecting


def matching(stages: Sequence[StageDefinition], obj: Object) -> list[StageDefinition]:
    """The stages whose selectors an object meets."""
    return [stage for stage in stages if stage.selector is not None and _meets(stage.selector, obj)]


def _meets(selector: Selector, obj: Object) -> bool:
    return (
        selector.labels.items() <= meta.labels(obj).items()
        and selector.annotations.items() <= meta.annotations(obj).items()
        and all(_fulfils(requirement, obj) for requirement in selector.requirements)
    )


def _fulfils(requirement: Requirement, obj: Object) -> bool:
    # A program that fails has found nothing.
    found = jq.results(requirement.program, obj) or ()
    if requirement.operator in ("In", "NotIn"):
        has = any(_as_text(value) in requirement.values for value in found)
    else:
        has = any(value is not None for value in found)
    return has is (requirement.operator in ("In", "Exists"))


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


def choose(stages: Sequence[StageDefinition], obj: Object, chance: random.Random) -> StageDefinition | None:
    """One of the stages that select an object, drawn by weight. Where all weights are 0 each is as likely as the others."""
    if len(stages) < 2:
        return stages[0] if stages else None
    weights = [_weight(stage.weight, obj) for stage in stages]
    known = [weight for weight in weights if weight is not None]
    total = sum(known)
    if not known or (not total and len(known) == len(stages)):
        return stages[chance.randrange(len(stages))]
    if not total:
        weighted = [stage for stage, weight in zip(stages, weights, strict=True) if weight is not None]
        return weighted[chance.randrange(len(weighted))]
    mark = chance.randrange(total)
    for stage, weight in zip(stages, weights, strict=True):
        mark -= weight or 0
        if weight and mark < 0:
            return stage
    raise AssertionError("a mark below the total falls on a stage")


def _weight(amount: Amount, obj: Object) -> int | None:
    """None where what the object says is no number."""
    if amount.source is None:
        return amount.value
    found = jq.results(amount.source, obj)
    value = found[0] if found else None
    if isinstance(value, str):
        try:
            return max(0, int(value, 0))
        except ValueError:
            return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return max(0, int(value))
    return amount.value


# Time


def delay_seconds(stage: StageDefinition, obj: Object, now: float, chance: random.Random) -> float:
    """How long an object waits for a stage. `now`: seconds since the epoch."""
    if stage.delay is None:
        return 0.0
    duration = _seconds(stage.delay.duration, obj, now)
    if duration is None:
        return 0.0
    jitter = _seconds(stage.delay.jitter, obj, now) if stage.delay.jitter is not None else None
    if jitter is None:
        return max(0.0, duration)
    return max(0.0, chance.uniform(duration, jitter) if jitter > duration else jitter)


def _seconds(amount: Amount, obj: Object, now: float) -> float | None:
    """None where nothing says how long."""
    found = jq.results(amount.source, obj) if amount.source is not None else None
    value = found[0] if found else None
    if isinstance(value, str):
        if not value:
            return None
        said = go_duration(value)
        if said is not None:
            return said
        try:
            return meta.parse_time(value).timestamp() - now
        except ValueError:
            pass
    return None if amount.value is None else amount.value / 1000


def go_duration(text: str) -> float | None:
    """Seconds of a duration as Go writes it, such as ``1h30m`` or ``-1.5s``; None for what is none."""
    unsigned = text.lstrip("+-") if text[:1] in ("+", "-") else text
    if len(text) - len(unsigned) > 1:
        return None
    if unsigned == "0":
        return 0.0
    parts = _DURATION_PART.findall(unsigned)
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        return None
    seconds = sum(float(number) * _UNITS_SECONDS[unit] for number, unit in parts)
    return -seconds if text.startswith("-") else seconds


# What is done


@dataclass(frozen=True)
class Event:
    """An Event about the object."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True)
class Change:
    """A patch of the object."""

    patch: Any
    type: str
    subresource: str


@dataclass(frozen=True)
class Removal:
    """The object is deleted at once."""


Doing = Event | Change | Removal


def doings(stage: StageDefinition, obj: Object, functions: Mapping[str, Callable[..., Any]]) -> Iterator[Doing]:
    """What a stage asks of the API, in order. After the deletion only Events follow. Raises TemplateError."""
    is_deleted = False
    for step in stage.steps:
        if isinstance(step, SendEvent):
            yield Event(step.type, step.reason, execute.render(step.message, obj, functions))
        elif is_deleted:
            continue
        elif isinstance(step, ChangeFinalizers):
            before: list[str] = obj["metadata"].get("finalizers") or []
            after = changed_finalizers(before, step)
            if after != before:
                # With the version: whoever else changes them meanwhile is not to be undone.
                metadata = {"finalizers": after or None, "resourceVersion": obj["metadata"].get("resourceVersion")}
                yield Change({"metadata": metadata}, "merge", "")
        elif isinstance(step, Delete):
            is_deleted = True
            yield Removal()
        else:
            yield _change(step, stage, obj, functions)


def changed_finalizers(before: Sequence[str], change: ChangeFinalizers) -> list[str]:
    """What finalizers become."""
    kept = [] if change.empty else [each for each in before if each not in change.remove]
    return [*kept, *(each for each in change.add if each not in kept)]


def _change(step: Patch, stage: StageDefinition, obj: Object, functions: Mapping[str, Callable[..., Any]]) -> Change:
    text = execute.render(step.template, obj, functions)
    try:
        made = yamlcodec.load(text)[0]
    except yamlcodec.YAMLError as error:
        raise TemplateError(1, f"what it makes is no YAML: {error}") from None
    type_ = step.type or ("strategic" if stage.kind.kind in _STRATEGIC and not stage.kind.group else "merge")
    if type_ == "json":
        return Change(_below(step.root, made), type_, step.subresource)
    return Change({step.root: made} if step.root else made, type_, step.subresource)


def _below(root: str, operations: Any) -> Any:
    """Operations of a JSON patch with all their paths below a field."""
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        raise TemplateError(1, "what it makes is no JSON patch")
    if not root:
        return operations
    return [{**each, "path": f"/{root}{each.get('path', '')}"} for each in operations]

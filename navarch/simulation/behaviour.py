"""What a pretended container does: how long it takes to come up, how it ends. Said by annotations of its pod.

    simulation.navarch.local/run-seconds: "90"            every container of the pod runs so long
    simulation.navarch.local/exit-code.worker: "1"        the container named worker ends with this code

Without a word a container starts within a second, is ready at once and runs for ever; an init container, and the pod of a Job,
ends well after a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from typing import Any, TypeVar

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.simulation.document import nearest

B = TypeVar("B")
PREFIX = "simulation.navarch.local/"
CONVERGES = f"{PREFIX}converges"
"""Says something else: whether an object can become what it is asked to be (checkers/convergence.py)."""
START_SECONDS = 0.5
SHORT_RUN_SECONDS = 1.0
EXIT_CODE_MAX = 255
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Of one container. Times are seconds; infinite is never."""

    pull_seconds: float = 0.0
    """How long its image is pulled."""
    pull_error: str = ""
    """What pulling it fails with."""
    start_seconds: float = START_SECONDS
    """From then on until it runs."""
    ready_seconds: float = 0.0
    """From then on until it is ready."""
    live_seconds: float = math.inf
    """How long its liveness probe, if it has one, is content."""
    run_seconds: float = math.inf
    """How long it runs."""
    exit_code: int = 0
    """How it ends."""
    stop_seconds: float = 0.0
    """How long it takes to end when it is told to."""
    log: str = ""
    """What it writes when it starts."""


class BehaviourError(ValueError):
    """An annotation that says nothing."""


def of(pod: Object, container: Object, *, is_init: bool = False) -> Behaviour:
    """The behaviour of one container of a pod. Raises BehaviourError."""
    owner = meta.controller_of(pod)
    short = is_init or (owner is not None and owner.get("kind") == "Job")
    found = said(pod, container["name"], Behaviour(run_seconds=SHORT_RUN_SECONDS) if short else Behaviour())
    if not 0 <= found.exit_code <= EXIT_CODE_MAX:
        raise BehaviourError(f"{PREFIX}exit-code: {found.exit_code} is not between 0 and {EXIT_CODE_MAX}")
    return found


def check(pod: Object) -> None:
    """Raises BehaviourError for what annotations say of containers that the pod does not have."""
    spec = pod["spec"]
    names = [container["name"] for field in CONTAINERS for container in spec.get(field) or ()]
    for key in pod["metadata"].get("annotations") or {}:
        name = key.removeprefix(PREFIX).partition(".")[2] if key.startswith(PREFIX) else ""
        if name and name not in names:
            raise BehaviourError(f"{key}: the pod has no container {name!r}{nearest(name, names)}")


def said(obj: Object, part: str, default: B) -> B:
    """What the annotations of an object say of all its parts, or of the one of that name. Raises BehaviourError."""
    annotations = obj["metadata"].get("annotations") or {}
    found = tuple(sorted((key, value) for key, value in annotations.items() if key.startswith(PREFIX) and key != CONVERGES))
    return _read(found, part, default) if found else default


@lru_cache(1024)
def _read(annotations: tuple[tuple[str, str], ...], part: str, default: B) -> B:
    readers = _readers(type(default))  # type: ignore[arg-type]
    general: dict[str, object] = {}
    own: dict[str, object] = {}
    for key, value in annotations:
        word, _, name = key.removeprefix(PREFIX).partition(".")
        read = readers.get(word)
        if read is None:
            raise BehaviourError(f"{key}: unknown; there are {', '.join(sorted(readers))}")
        try:
            found = read(value)
        except ValueError:
            raise BehaviourError(f"{key}: {value!r} is not what it should be") from None
        if not name:
            general[word.replace("-", "_")] = found
        elif name == part:
            own[word.replace("-", "_")] = found
    return replace(default, **{**general, **own})  # type: ignore[type-var]


def _seconds(text: str) -> float:
    value = math.inf if text == "forever" else float(text)
    if math.isnan(value) or value < 0:
        raise ValueError(text)
    return value


_KINDS: Mapping[str, Callable[[str], object]] = {"float": _seconds, "int": int, "str": str}


@cache
def _readers(behaviour: Any) -> Mapping[str, Callable[[str], object]]:
    return {field.name.replace("_", "-"): _KINDS[str(field.type)] for field in fields(behaviour)}

"""What a check of the Pod Security Standards is, and how its findings are worded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a check does not allow a pod."""

    reason: str
    """In few words, the same for many pods."""
    detail: str
    """What of this pod it is."""


Annotations = Mapping[str, str]
CheckPod = Callable[[Annotations, Object], Violation | None]
"""From a pod's annotations and its spec; None if it is allowed. Pure."""


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of a level, with all that it has been."""

    name: str
    """Kubernetes' ID of the check, by which findings are in order."""
    level: str
    revisions: tuple[tuple[int, CheckPod], ...]
    """Since which minor version it is what; oldest first."""
    overrides: str = ""
    """The check of the baseline in whose place it is."""

    def at(self, version: int) -> CheckPod | None:
        """What it is at a version, if it is there then."""
        found = None
        for since, check in self.revisions:
            if since <= version:
                found = check
        return found


def containers(spec: Object) -> Iterator[Object]:
    """All of a pod: init containers, those that run, and ephemeral ones."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def security(holder: Object) -> Mapping[str, object]:
    """The security context of a pod's spec or of a container."""
    return holder.get("securityContext") or meta.EMPTY


def part(holder: Object, field: str) -> Object | None:
    """An object in a security context; None where there is none."""
    found = security(holder).get(field)
    return found if isinstance(found, dict) else None


def names(found: Iterable[Object]) -> list[str]:
    return [each.get("name", "") for each in found]


def plural(singular: str, several: str, count: int) -> str:
    return singular if count == 1 else several


def quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def named(containers: Sequence[str]) -> str:
    """``container "a"``, ``containers "a", "b"``."""
    return f"{plural('container', 'containers', len(containers))} {quoted(containers)}"


def setters(is_pod: bool, containers: Sequence[str]) -> str:
    """Who sets something: the pod, containers, or both; "" if nobody does."""
    return " and ".join([*(["pod"] if is_pod else []), *([named(containers)] if containers else [])])


def is_windows(spec: Object) -> bool:
    """Whether the pod says that it is for Windows, where much of Linux is not there to be secured."""
    return (spec.get("os") or meta.EMPTY).get("name") == "windows"


def has_user_namespace(spec: Object) -> bool:
    """Whether root in the pod is nobody on the node (KEP-127)."""
    return spec.get("hostUsers") is False


def except_for(exempt: Callable[[Object], bool], check: CheckPod) -> CheckPod:
    """The same check, which allows what is exempt."""
    return lambda annotations, spec: None if exempt(spec) else check(annotations, spec)


def shown(annotation: str, value: str) -> str:
    return f"{annotation}={json.dumps(value, ensure_ascii=False)}"

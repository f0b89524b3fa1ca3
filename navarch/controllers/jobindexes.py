"""Sets of completion indexes, as a Job's status writes them: ``1,3-5,7``. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object

ANNOTATION = "batch.kubernetes.io/job-completion-index"
FAILURES_ANNOTATION = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES_ANNOTATION = "batch.kubernetes.io/job-index-ignored-failure-count"
DIGITS_LIMIT = 10


def parse(text: str | None, limit: int) -> set[int]:
    """The indexes below `limit`; what cannot be read is left out."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        start, end = _number(first), _number(last or first)
        if start is not None and end is not None:
            found.update(range(start, min(end + 1, limit)))
    return found


def write(indexes: Iterable[int]) -> str:
    """Two neighbours are written ``1,2``, three and more ``1-3``."""
    runs: list[list[int]] = []
    for index in sorted(set(indexes)):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    parts = []
    for first, last in runs:
        if first == last:
            parts.append(str(first))
        elif last == first + 1:
            parts.append(f"{first},{last}")
        else:
            parts.append(f"{first}-{last}")
    return ",".join(parts)


def of_pod(pod: Object) -> int | None:
    """The index that a pod works on."""
    return _number(meta.annotations(pod).get(ANNOTATION, ""))


def failures(pod: Object) -> int:
    """How often the pod's index had failed before this pod."""
    return _count(pod, FAILURES_ANNOTATION)


def ignored_failures(pod: Object) -> int:
    """How often it had failed before in a way that does not count."""
    return _count(pod, IGNORED_FAILURES_ANNOTATION)


def all_failures(pod: Object) -> int:
    return failures(pod) + ignored_failures(pod)


def _count(pod: Object, annotation: str) -> int:
    return _number(meta.annotations(pod).get(annotation, "")) or 0


def _number(text: str) -> int | None:
    """What an annotation or a status says, if it is a number that the API could hold."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_LIMIT else None

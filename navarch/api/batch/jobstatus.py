"""What a Job's status must keep to, whoever manages it (KEP-4368).

Most rules are asked only where what they are about changes: a status that broke one before may otherwise go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from navarch.api.batch import indexes
from navarch.api.core.nonnegative import nonnegative
from navarch.api.internalform import invalid_struct
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, duplicate, invalid_unshown, invalid_value, required

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_UNCOUNTED = "io.k8s.api.batch.v1.UncountedTerminatedPods"


@dataclass(frozen=True)
class _Update:
    """A Job's status before and now."""

    new: Object
    old: Object

    @cached_property
    def now(self) -> Object:
        return self.new.get("status") or {}

    @cached_property
    def before(self) -> Object:
        return self.old.get("status") or {}

    def has(self, *types: str) -> bool:
        """Whether one of the conditions is true."""
        return any(meta.is_condition_true(self.new, type_) for type_ in types)

    def had(self, *types: str) -> bool:
        return any(meta.is_condition_true(self.old, type_) for type_ in types)

    def turns(self, *types: str) -> bool:
        return self.has(*types) != self.had(*types)

    def changes(self, *fields: str) -> bool:
        """Whether one of the fields does; nothing and zero are the same."""
        return any((self.now.get(field) or None) != (self.before.get(field) or None) for field in fields)

    @cached_property
    def is_finished(self) -> bool:
        return self.has("Complete", "Failed")

    @cached_property
    def finishes(self) -> bool:
        """Whether it is finished now and was not before, or the other way round."""
        return self.turns("Complete", "Failed")


def validate(new: Object, old: Object) -> Iterator[FieldError]:
    update = _Update(new, old)
    for field in _COUNTS:
        if (update.now.get(field) or 0) < 0:
            yield nonnegative(f"status.{field}", update.now[field])
    yield from _uncounted(update.now.get("uncountedTerminatedPods") or {})
    for rules in (_ends, _times, _finished, _indexes, _running, _success, _kept):
        yield from rules(update)


def _uncounted(uncounted: Object) -> Iterator[FieldError]:
    seen: set[str] = set()
    for field in ("succeeded", "failed"):
        for index, uid in enumerate(uncounted.get(field) or ()):
            path = f"status.uncountedTerminatedPods.{field}[{index}]"
            if not uid:
                yield invalid_value(path, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(path, uid)
            seen.add(uid)


def _ends(update: _Update) -> Iterator[FieldError]:
    """A Job ends in one way."""
    if update.has("Complete"):
        if (update.turns("Complete") or update.turns("Failed")) and update.has("Failed"):
            yield invalid_unshown("status.conditions", "cannot set Complete=True and Failed=true conditions")
        if (update.turns("Complete") or update.turns("FailureTarget")) and update.has("FailureTarget"):
            yield invalid_unshown("status.conditions", "cannot set Complete=True and FailureTarget=true conditions")


def _times(update: _Update) -> Iterator[FieldError]:
    started, completed = update.now.get("startTime"), update.now.get("completionTime")
    path = "status.completionTime"
    if update.turns("Complete") or update.changes("completionTime"):
        if completed is not None and not update.has("Complete"):
            text = "cannot set completionTime when there is no Complete=True condition"
            yield invalid_value(path, completed, text)
        if completed is None and update.has("Complete"):
            yield required(path, "completionTime is required for Complete jobs")
    are_new = update.changes("startTime", "completionTime")
    if are_new and started and completed and meta.parse_time(completed) < meta.parse_time(started):
        yield invalid_value(path, completed, "completionTime cannot be set before startTime")


def _finished(update: _Update) -> Iterator[FieldError]:
    """What is there at the end, and what is not."""
    announced = (
        ("Failed", "FailureTarget", "cannot set Failed=True condition without the FailureTarget=true condition"),
        ("Complete", "SuccessCriteriaMet", "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"),
    )
    for end, announcement, text in announced:
        if (update.turns(end) or update.turns(announcement)) and update.has(end) and not update.has(announcement):
            yield invalid_unshown("status.conditions", text)
    if not update.is_finished:
        return
    spec, status = update.new["spec"], update.now
    if (update.finishes or update.changes("active")) and status.get("active", 0) > 0:
        yield invalid_value("status.active", status["active"], "active>0 is invalid for finished job")
    never_started = bool(spec.get("suspend")) and spec.get("completions") == 0
    if (update.finishes or update.changes("startTime")) and status.get("startTime") is None and not never_started:
        yield required("status.startTime", "startTime is required for finished job")
    uncounted = status.get("uncountedTerminatedPods") or {}
    if (update.finishes or update.changes("uncountedTerminatedPods")) and any(uncounted.values()):
        text = "uncountedTerminatedPods needs to be empty for finished job"
        yield invalid_struct("status.uncountedTerminatedPods", uncounted, _UNCOUNTED, text)


def _indexes(update: _Update) -> Iterator[FieldError]:
    spec = update.new["spec"]
    completions, per_index = spec.get("completions"), spec.get("backoffLimitPerIndex")
    completed, failed = update.now.get("completedIndexes", ""), update.now.get("failedIndexes")
    completed_changes, failed_changes = update.changes("completedIndexes"), failed != update.before.get("failedIndexes")
    if completed_changes and completions is not None:
        yield from _parsed(completed, completions, "completedIndexes")
    if failed_changes and completions is not None and per_index is not None and failed is not None:
        yield from _parsed(failed, completions, "failedIndexes")
    if completed_changes and completed and spec.get("completionMode") != "Indexed":
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield invalid_value("status.completedIndexes", completed, text)
    if failed is None:
        return
    if failed_changes and per_index is None:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield invalid_value("status.failedIndexes", failed, text)
    if (failed_changes or completed_changes) and completions is not None:
        common = indexes.overlap(completed, failed, completions)
        if common is not None:
            text = f"failedIndexes and completedIndexes overlap at index: {common}"
            yield invalid_value("status.failedIndexes", failed, text)


def _parsed(text: str, completions: int, field: str) -> Iterator[FieldError]:
    try:
        indexes.count(text, completions)
    except ValueError as error:
        yield invalid_value(f"status.{field}", text, f"error parsing {field}: {error}")


def _running(update: _Update) -> Iterator[FieldError]:
    terminating, ready, active = (update.now.get(field) or 0 for field in ("terminating", "ready", "active"))
    if update.is_finished and (update.finishes or update.changes("terminating")) and terminating > 0:
        yield invalid_value("status.terminating", terminating, "terminating>0 is invalid for finished job")
    if update.changes("ready", "active") and ready > active:
        yield invalid_value("status.ready", ready, "cannot set more ready pods than active")


def _success(update: _Update) -> Iterator[FieldError]:
    has_succeeded = update.has("SuccessCriteriaMet")
    for failure in ("Failed", "FailureTarget"):
        if has_succeeded and update.has(failure):
            text = f"cannot set SuccessCriteriaMet=True and {failure}=true conditions"
            yield invalid_unshown("status.conditions", text)
    if update.new["spec"].get("successPolicy") is not None and update.has("Complete") and not has_succeeded:
        text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        yield invalid_unshown("status.conditions", text)


def _kept(update: _Update) -> Iterator[FieldError]:
    """What is never taken back."""
    spec = update.new["spec"]
    for type_ in ("Failed", "Complete", "FailureTarget"):
        if update.had(type_) and not update.has(type_):
            yield invalid_unshown("status.conditions", f"cannot disable the terminal {type_}=True condition")
    # An indexed Job whose pods all may run at once may shrink.
    may_shrink = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for field in ("failed", *(() if may_shrink else ("succeeded",))):
        if (update.now.get(field) or 0) < (update.before.get(field) or 0):
            yield invalid_value(f"status.{field}", update.now.get(field) or 0, f"cannot decrease the {field} counter")
    completed, completed_before = update.now.get("completionTime"), update.before.get("completionTime")
    if None not in (completed, completed_before) and completed != completed_before:
        yield invalid_value("status.completionTime", completed, "completionTime cannot be mutated")
    resumes = update.had("Suspended") and not update.has("Suspended")
    if update.before.get("startTime") and update.changes("startTime") and not spec.get("suspend") and not resumes:
        text = "field is immutable for unsuspended job once set"
        yield invalid_value("status.startTime", update.now.get("startTime"), text)
    if update.had("SuccessCriteriaMet") and not update.has("SuccessCriteriaMet"):
        yield invalid_unshown("status.conditions", "cannot disable the SuccessCriteriaMet=True condition")
    if update.had("Complete") and update.turns("SuccessCriteriaMet") and update.has("SuccessCriteriaMet"):
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        yield invalid_unshown("status.conditions", text)

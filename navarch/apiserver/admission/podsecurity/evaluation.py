"""Pods held against a level as a version defines it. Pure; what was found of a spec that many pods share is found once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from navarch.apimachinery import meta, remember
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.podsecurity import hostchecks, privilegechecks, profilechecks
from navarch.apiserver.admission.podsecurity.check import Annotations, Check, CheckPod
from navarch.apiserver.admission.podsecurity.levels import BASELINE, PRIVILEGED, RESTRICTED, LevelVersion

CHECKS: tuple[Check, ...] = (*hostchecks.CHECKS, *privilegechecks.CHECKS, *profilechecks.CHECKS)
NEWEST = max(since for check in CHECKS for since, _ in check.revisions)
"""The version in which something has changed last; all that are newer ask for the same."""
ANNOTATION_PREFIXES = (profilechecks.APP_ARMOR_PREFIX, profilechecks.SECCOMP_PREFIX, profilechecks.SECCOMP_POD)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all checks say of one pod."""

    reason: str = ""
    """In few words, the same for many pods; "" if all allow it."""
    detail: str = ""
    """The same, and what of this pod it is."""

    @property
    def allows(self) -> bool:
        return not self.reason


ALLOWED = Verdict()


@lru_cache(2 * (NEWEST + 1))
def checks(level: str, version: int) -> tuple[CheckPod, ...]:
    """What applies at a version (at most `NEWEST`), in the order in which it is said: what the baseline asks for first."""
    found = {check: check.at(version) for check in CHECKS if level == RESTRICTED or check.level == BASELINE}
    overridden = {check.overrides for check, revision in found.items() if revision is not None}
    ordered = sorted(found, key=lambda check: (check.level == RESTRICTED, check.name))
    applying = (found[check] for check in ordered if check.name not in overridden)
    return tuple(revision for revision in applying if revision is not None)


def evaluate(asked: LevelVersion, pod: Object) -> Verdict:
    """Hold a pod, or what pods are made from, against what is asked."""
    if asked.level == PRIVILEGED:
        return ALLOWED
    spec, version = pod.get("spec") or {}, min(asked.version, NEWEST)
    annotations = (pod.get("metadata") or meta.EMPTY).get("annotations") or meta.EMPTY
    relevant = tuple(
        sorted(item for item in annotations.items() if item[0].startswith(ANNOTATION_PREFIXES)) if annotations else ()
    )
    key = evaluate, asked.level, version, relevant
    return remember.of(spec, key, lambda: _evaluate(checks(asked.level, version), dict(relevant), spec))


def _evaluate(applying: tuple[CheckPod, ...], annotations: Annotations, spec: Object) -> Verdict:
    found = [violation for check in applying if (violation := check(annotations, spec)) is not None]
    if not found:
        return ALLOWED
    details = (f"{violation.reason} ({violation.detail})" for violation in found)
    return Verdict(", ".join(violation.reason for violation in found), ", ".join(details))

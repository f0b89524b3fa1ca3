"""Going back to an earlier revision of a Deployment, as an annotation from before apps/v1 may ask for it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import rollout
from navarch.controllers.rollout import ROLLBACK_TO, Sets


@dataclass(frozen=True, slots=True)
class Rollback:
    deployment: Object
    """As it is to be written, no longer asking for it."""
    type: str
    reason: str
    message: str
    """The event."""


def revision_wanted(deployment: Object) -> int | None:
    """Which revision to go back to, 0 being the last one; None if to none."""
    text = meta.annotations(deployment).get(ROLLBACK_TO, "")
    return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else None


def plan(deployment: Object, sets: Sets, number: int) -> Rollback:
    """How the Deployment goes back to that revision, and what there is to say of it."""
    kept = {key: value for key, value in meta.annotations(deployment).items() if key != ROLLBACK_TO}
    asked = meta.set_path(deployment, kept, "metadata", "annotations")
    if not number:
        number = _last_but_one([rollout.revision(item) for item in sets.all])
        if not number:
            return Rollback(asked, "Warning", "DeploymentRollbackRevisionNotFound", "Unable to find last revision.")
    target = next((item for item in sets.all if rollout.revision(item) == number), None)
    if target is None:
        text = "Unable to find the revision to rollback to."
        return Rollback(asked, "Warning", "DeploymentRollbackRevisionNotFound", text)
    name = meta.name(deployment)
    if rollout.has_template(target, deployment["spec"]["template"]):
        text = f'The rollback revision contains the same template as current deployment "{name}"'
        return Rollback(asked, "Warning", "DeploymentRollbackTemplateUnchanged", text)
    back = meta.set_path(asked, rollout.without_hash(target["spec"]["template"]), "spec", "template")
    annotations = {key: value for key, value in kept.items() if key in rollout.NOT_COPIED}
    annotations |= {key: value for key, value in meta.annotations(target).items() if key not in rollout.NOT_COPIED}
    back = meta.set_path(back, annotations, "metadata", "annotations")
    return Rollback(back, "Normal", "DeploymentRollback", f'Rolled back deployment "{name}" to revision {number}')


def _last_but_one(revisions: list[int]) -> int:
    return ([0, 0, *sorted(revisions)])[-2]

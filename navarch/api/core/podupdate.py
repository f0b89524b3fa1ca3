"""What holds for pods however they are written, and what updates may change of them.

The rules are those of k8s.io/kubernetes/pkg/apis/core/validation and pkg/registry/core/pod.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

from navarch.api import internalform, objectmeta
from navarch.api.core import podannotations, podcontainers, podscheduling, podspec
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, required

UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_CHANGEABLE = ("activeDeadlineSeconds", "tolerations", "schedulingGates")
_TERMS = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"


def validate(pod: Object) -> Iterator[FieldError]:
    """What is wrong with a pod, new or changed, beside its metadata."""
    spec, annotations = pod["spec"], pod["metadata"].get("annotations")
    if annotations:
        yield from podannotations.validate(annotations, spec, "metadata.annotations")
    yield from podspec.validate(spec, "spec", metadata=pod["metadata"], is_pod=True)
    if not spec.get("serviceAccountName"):
        yield from _without_account(spec.get("volumes") or ())
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            image = container.get("image", "")
            if image != image.strip():
                yield invalid_value(f"spec.{field}[{index}].image", image, podcontainers.WHITESPACE)


def _without_account(volumes: Sequence[Object]) -> Iterator[FieldError]:
    for index, volume in enumerate(volumes):
        for position, source in enumerate((volume.get("projected") or meta.EMPTY).get("sources") or ()):
            if source.get("serviceAccountToken") is not None:
                where = f"spec.volumes[{index}].projected.sources[{position}].serviceAccountToken"
                yield forbidden_field(where, "must not be specified when serviceAccountName is not set")


# Updates of the pod itself


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    """What an update changes that it may not."""
    now, before = new["spec"], old["spec"]
    yield from _annotations(new, old)
    if now == before:
        return
    for field in ("containers", "initContainers"):
        if len(now.get(field) or ()) != len(before.get(field) or ()):
            yield forbidden_field(f"spec.{field}", "pod updates may not add or remove containers")
            return
    for field in ("containers", "initContainers"):
        for index, container in enumerate(now.get(field) or ()):
            yield from _image(container.get("image", ""), f"spec.{field}[{index}].image")
    problems = list(_deadline(now.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")))
    if problems:
        yield from problems
        return
    if now.get("tolerations") != before.get("tolerations"):
        yield from _tolerations_added(now.get("tolerations") or [], before.get("tolerations") or [])
    yield from _gates_removed(now.get("schedulingGates") or [], before.get("schedulingGates") or [])
    gated = bool(before.get("schedulingGates"))
    if gated:
        yield from _directives_tightened(now, before)
    compared = _compared(now, before, gated)
    if _without_empty(compared) != _without_empty(before):
        difference = internalform.difference(before, compared, f"{internalform.CORE}PodSpec")
        yield forbidden_field("spec", f"{UPDATABLE}\n{difference}")


def _annotations(new: Object, old: Object) -> Iterator[FieldError]:
    """What holds for annotations anyway is said again here, as upstream does."""
    if new["metadata"].get("annotations") or old["metadata"].get("annotations"):
        yield from podannotations.validate_update(meta.annotations(new), meta.annotations(old), "metadata.annotations")
        yield from podannotations.validate(meta.annotations(new), new["spec"], "metadata.annotations")


def _image(image: str, path: str) -> Iterator[FieldError]:
    if not image:
        yield required(path)
    elif image != image.strip():
        yield invalid_value(path, image, podcontainers.WHITESPACE)


def _deadline(now: int | None, before: int | None) -> Iterator[FieldError]:
    path = "spec.activeDeadlineSeconds"
    if now is not None:
        if not 0 <= now <= podspec.DEADLINE_LIMIT_SECONDS:
            text = f"must be between 0 and {podspec.DEADLINE_LIMIT_SECONDS}, inclusive"
            yield invalid_value(path, now, text)
        elif before is not None and now > before:
            yield invalid_value(path, now, "must be less than or equal to previous value")
    elif before is not None:
        # Go's nil is shown as a text.
        yield invalid_value(path, "null", "must not update from a positive integer to nil value")


def _tolerations_added(now: Sequence[Object], before: Sequence[Object]) -> Iterator[FieldError]:
    present = [_without(toleration, "tolerationSeconds") for toleration in now]
    if any(_without(toleration, "tolerationSeconds") not in present for toleration in before):
        yield forbidden_field("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
        return
    yield from podscheduling.validate_tolerations(now, "spec.tolerations")


def _without(obj: Object, *fields: str) -> Object:
    return {key: value for key, value in obj.items() if key not in fields}


def _gates_removed(now: Sequence[Object], before: Sequence[Object]) -> Iterator[FieldError]:
    for index, gate in enumerate(now):
        if gate not in before:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'"
            yield forbidden_field(f"spec.schedulingGates[{index}].name", text)


def _directives_tightened(now: Object, before: Object) -> Iterator[FieldError]:
    """What says where a pod may go can only become stricter, while it waits (KEP-3838)."""
    chosen = now.get("nodeSelector") or {}
    if any(chosen.get(key) != value for key, value in (before.get("nodeSelector") or {}).items()):
        text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield invalid_value("spec.nodeSelector", now.get("nodeSelector"), text)
    old_terms, terms = _required_terms(before), _required_terms(now)
    if old_terms and terms != old_terms:
        shown = [internalform.internal(term, f"{internalform.CORE}NodeSelectorTerm") for term in terms]
        if len(terms) != len(old_terms):
            text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
            yield internalform.invalid_internal(_TERMS, shown or None, text)
            return
        for index, (term, old_term) in enumerate(zip(terms, old_terms, strict=True)):
            if not _extends(term, old_term):
                text = "only additions are allowed (no mutations or deletions)"
                yield internalform.invalid_internal(f"{_TERMS}[{index}]", shown[index], text)


def _required_terms(spec: Object) -> list[Object]:
    found = meta.get_path(spec, "affinity", "nodeAffinity", podscheduling.REQUIRED, "nodeSelectorTerms")
    return list(found or ())


def _extends(term: Object, old_term: Object) -> bool:
    if not old_term.get("matchExpressions") and not old_term.get("matchFields"):
        # It matches nothing; anything more would match something.
        return not term.get("matchExpressions") and not term.get("matchFields")
    for field in ("matchExpressions", "matchFields"):
        old_list, new_list = old_term.get(field) or [], term.get(field) or []
        if new_list[: len(old_list)] != old_list:
            return False
    return True


def _compared(now: Object, before: Object, gated: bool) -> Object:
    """`now`, with what an update may change as it was before."""
    compared = _as_in(now, before, *_CHANGEABLE, *(("nodeSelector",) if gated else ()))
    if before.get("terminationGracePeriodSeconds", 0) < 0 and now.get("terminationGracePeriodSeconds") == 1:
        compared["terminationGracePeriodSeconds"] = before["terminationGracePeriodSeconds"]
    affinity, old_affinity = now.get("affinity") or {}, before.get("affinity") or {}
    if gated and affinity.get("nodeAffinity") != old_affinity.get("nodeAffinity"):
        # What it requires has been looked at, preferences may be anything while a pod waits.
        affinity = _as_in(affinity, old_affinity, "nodeAffinity")
        compared = _as_in(compared, {"affinity": affinity} if affinity or "affinity" in before else {}, "affinity")
    for field in ("containers", "initContainers"):
        if now.get(field):
            pairs = zip(now[field], before[field], strict=True)
            compared[field] = [_as_in(container, old_container, "image") for container, old_container in pairs]
    return compared


def _as_in(obj: Object, other: Object, *fields: str) -> Object:
    """`obj`, but for the fields, which are as `other` has them."""
    return {**_without(obj, *fields), **{field: other[field] for field in fields if field in other}}


def _without_empty(spec: Object) -> Object:
    return {key: value for key, value in spec.items() if value not in (None, [], {}, "", False)}


# Ephemeral containers


def prepare_ephemeral(new: Object, old: Object) -> Object:
    """`old` with the ephemeral containers of `new`, and as much of its metadata as a write of the status changes."""
    containers = new["spec"].get("ephemeralContainers") if isinstance(new.get("spec"), dict) else None
    spec = {**old["spec"]}
    if containers:
        known = old["spec"].get("ephemeralContainers") or ()
        spec["ephemeralContainers"] = [container if container in known else _defaulted(container) for container in containers]
    else:
        spec.pop("ephemeralContainers", None)
    return {**old, "metadata": metadata_of_part(new, old), "spec": spec}


def metadata_of_part(new: Object, old: Object) -> Object:
    """What a write of a part of the pod makes of its metadata."""
    before = old["metadata"]
    sent = {field: value for field, value in new["metadata"].items() if field not in objectmeta.RESET_FOR_STATUS}
    return {**sent, **{field: before[field] for field in objectmeta.RESET_FOR_STATUS if field in before}}


def _defaulted(container: Object) -> Object:
    container = copy.deepcopy(container)
    podcontainers.default(container)
    return container


def validate_ephemeral(new: Object, old: Object) -> Iterator[FieldError]:
    """Ephemeral containers are added, never changed or taken away."""
    if podannotations.is_mirror(old["metadata"]):
        yield forbidden_field("", "static pods do not support ephemeral containers")
        return
    yield from validate(new)
    yield from _annotations(new, old)
    present = {container.get("name", ""): container for container in new["spec"].get("ephemeralContainers") or ()}
    for container in old["spec"].get("ephemeralContainers") or ():
        name = container.get("name", "")
        if name not in present:
            text = f'existing ephemeral containers "{name}" may not be removed\n'
            yield forbidden_field("spec.ephemeralContainers", text)
        elif present[name] != container:
            difference = internalform.difference(container, present[name], f"{internalform.CORE}EphemeralContainer")
            text = f'existing ephemeral containers "{name}" may not be changed\n{difference}'
            yield forbidden_field("spec.ephemeralContainers", text)

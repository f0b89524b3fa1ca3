"""Which claims a pod uses, and whether it still needs them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import pods

POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
"""Annotation of a claim that was made for a pod: which of the pod's claims it is."""
FINALIZER = "resource.kubernetes.io/delete-protection"
CONSUMERS_LIMIT = 256
# With a hyphen and five characters more, a name is no longer than 63.
GENERATED_NAME_BASE_LIMIT = 57


def wanted(pod: Object) -> list[Object]:
    """The entries of spec.resourceClaims."""
    return pod["spec"].get("resourceClaims") or []


def recorded(pod: Object) -> dict[str, str | None]:
    """What was made from templates: entry -> claim; None where none is needed."""
    statuses = (pod.get("status") or meta.EMPTY).get("resourceClaimStatuses") or ()
    return {status["name"]: status.get("resourceClaimName") for status in statuses}


def claim_names(pod: Object) -> Iterator[tuple[str, bool]]:
    """(name, whether it was made for the pod) of each claim of the pod that is known by name."""
    made = recorded(pod)
    for entry in wanted(pod):
        if entry.get("resourceClaimName") is not None:
            yield entry["resourceClaimName"], False
        elif made.get(entry["name"]):
            yield str(made[entry["name"]]), True
    extended = (pod.get("status") or meta.EMPTY).get("extendedResourceClaimStatus")
    if extended is not None:
        yield extended["resourceClaimName"], True  # Of the scheduler's making.


def by_claim(pod: Object) -> Iterable[str]:
    """Index of pods by the keys of their claims."""
    return [f"{meta.namespace(pod)}/{name}" for name, _ in claim_names(pod)]


def is_done(pod: Object) -> bool:
    """Whether nothing of the pod runs or ever will."""
    return pods.is_finished(pod) or (meta.being_deleted(pod) and not pods.node_name(pod))


def is_made_for(claim: Object, pod: Object) -> bool:
    return meta.namespace(claim) == meta.namespace(pod) and meta.is_controlled_by(claim, pod)


def consumers(claim: Object) -> list[Object]:
    return (claim.get("status") or meta.EMPTY).get("reservedFor") or []


def may_reserve(claim: Object, pod: Object) -> bool:
    """Whether a claim is allocated, not reserved for the pod, and can be."""
    present = consumers(claim)
    if (claim.get("status") or meta.EMPTY).get("allocation") is None or len(present) >= CONSUMERS_LIMIT:
        return False
    return not any(consumer.get("uid") == meta.uid(pod) for consumer in present)


def reserved_for(claim: Object, pod: Object) -> Object:
    """The claim, reserved for one pod more."""
    consumer = {"resource": "pods", "name": meta.name(pod), "uid": meta.uid(pod)}
    return meta.set_path(claim, [*consumers(claim), consumer], "status", "reservedFor")


def made_from(template: Object, pod: Object, entry: str) -> Object:
    """The claim that a template makes for a pod."""
    source = template["spec"].get("metadata") or meta.EMPTY
    metadata: Object = {
        "generateName": generated_name(meta.name(pod), entry),
        "annotations": {**(source.get("annotations") or {}), POD_CLAIM: entry},
        "ownerReferences": [meta.owner_reference({"apiVersion": "v1", "kind": "Pod", **pod})],
    }
    if source.get("labels"):
        metadata["labels"] = source["labels"]
    return {"metadata": metadata, "spec": template["spec"]["spec"]}


def generated_name(pod: str, entry: str) -> str:
    """The beginning of a claim's name; of long names both parts are shortened alike."""
    whole = f"{pod}-{entry}-"
    if len(whole) <= GENERATED_NAME_BASE_LIMIT:
        return whole
    kept = [part[: len(part) * GENERATED_NAME_BASE_LIMIT // len(whole)] for part in (pod, entry)]
    return "-".join(kept)

"""The volume claims of a StatefulSet's pods: what they are like, and who owns them, by which they go or stay (KEP-1847).

A claim that is to go with the set is owned by the set; one that is to go when the set shrinks is owned by its pod from then on,
and the garbage collector does the rest. A claim that somebody else controls, or that is owned by an earlier set or pod of the
same name, is left alone.
"""

from __future__ import annotations

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.controllers.controller import Cluster, is_namespace_terminating

RESOURCE = "persistentvolumeclaims"
RETAIN, DELETE = "Retain", "Delete"
# In Kubernetes' own words and letters.
CONFLICTING = (
    "PersistentVolumeClaim {} has a conflicting OwnerReference that acts as a manging controller, "
    "the retention policy is ignored for this claim"
)


def claims(owner: Object, number: int) -> dict[str, Object]:
    """Volume -> the claim that the pod of that number has for it."""
    found = {}
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        labels = {**meta.labels(template), **(meta.get_path(owner["spec"], "selector", "matchLabels") or {})}
        own = {"name": name_of(template, owner, number), "namespace": meta.namespace(owner), "labels": labels}
        claim: Object = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {**template["metadata"], **own}}
        found[meta.name(template)] = {**claim, "spec": template.get("spec") or {}}
    return found


def name_of(template: Object, owner: Object, number: int) -> str:
    return f"{meta.name(template)}-{meta.name(owner)}-{number}"


def with_volumes(spec: Object, owner: Object, number: int) -> Object:
    """A pod's spec with a volume for each of its claims, in the place of others of the same name."""
    claimed = claims(owner, number)
    if not claimed:
        return spec
    volumes: list[Object] = [
        {"name": volume, "persistentVolumeClaim": {"claimName": meta.name(claim)}} for volume, claim in claimed.items()
    ]
    return {**spec, "volumes": volumes + [item for item in spec.get("volumes") or () if item["name"] not in claimed]}


def has_volumes(pod: Object, owner: Object, number: int) -> bool:
    """Whether a pod uses its claims."""
    templates = owner["spec"].get("volumeClaimTemplates")
    if not templates:
        return True
    volumes = pod["spec"].get("volumes") or ()
    used = {item["name"]: (item.get("persistentVolumeClaim") or meta.EMPTY).get("claimName") for item in volumes}
    return all(used.get(meta.name(template)) == name_of(template, owner, number) for template in templates)


# Who owns them


def policy(owner: Object) -> tuple[str, str]:
    """What becomes of claims when the set shrinks, and when it is deleted."""
    found = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or meta.EMPTY
    return found.get("whenScaled", RETAIN), found.get("whenDeleted", RETAIN)


def is_stale(claim: Object, owner: Object, pod_name: str) -> bool:
    """Whether a claim is that of an earlier pod, and about to go with it: no pod of that name is made meanwhile."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod_name, "uid": ""}}
    return policy(owner)[0] != RETAIN and _is_of_earlier(claim, pod)


def owners(claim: Object, owner: Object, pod: Object, *, surplus: bool) -> list[Object] | None:
    """The references that a claim should have; None: those that it has. `surplus`: the set has shrunk, and the pod is to go."""
    references = claim["metadata"].get("ownerReferences") or []
    if any(_is_of_earlier(claim, one) for one in (owner, pod)):
        return None
    ours = {meta.uid(owner), meta.uid(pod)}
    have = {reference["uid"] for reference in references} & ours
    when_scaled, when_deleted = policy(owner)
    wanted = []
    if is_controlled_by_others(claim, owner, pod):
        if not have:
            return None
    elif when_scaled == DELETE and surplus:
        wanted.append(pod)
    elif when_deleted == DELETE:
        wanted.append(owner)
    is_controlled = all(reference.get("controller") for reference in references if reference["uid"] in ours)
    if is_controlled and have == {meta.uid(one) for one in wanted}:
        return None
    kept = [reference for reference in references if not _is_to(reference, owner) and not _is_to(reference, pod)]
    return kept + [meta.owner_reference(one) for one in wanted]


def is_controlled_by_others(claim: Object, owner: Object, pod: Object) -> bool:
    """Whether neither the set nor the pod may own a claim, where the set wants to."""
    if policy(owner) == (RETAIN, RETAIN):
        return False
    if any(_is_of_earlier(claim, one) for one in (owner, pod)):
        return True
    references = claim["metadata"].get("ownerReferences") or ()
    return any(item.get("controller") and not _is_to(item, owner) and not _is_to(item, pod) for item in references)


def _is_to(reference: Object, obj: Object) -> bool:
    """Whether a reference is to an object of that kind and name, be it that one or an earlier one."""
    names = (reference["apiVersion"], reference["kind"], reference["name"])
    return names == (obj["apiVersion"], obj["kind"], meta.name(obj))


def _is_of_earlier(claim: Object, obj: Object) -> bool:
    references = claim["metadata"].get("ownerReferences") or ()
    first = next((reference for reference in references if _is_to(reference, obj)), None)
    return first is not None and first["uid"] != meta.uid(obj)


# Making them, and handing them over


def present(owner: Object, number: int, cluster: Cluster) -> list[Object]:
    """Those that are there of a pod's claims."""
    namespace, templates = meta.namespace(owner), owner["spec"].get("volumeClaimTemplates") or ()
    found = [cluster.cached(RESOURCE, name_of(item, owner, number), namespace) for item in templates]
    return [claim for claim in found if claim is not None]


async def make(owner: Object, number: int, cluster: Cluster) -> None:
    """Make a pod's claims that are missing. Raises OSError where one is not to be had now."""
    problems = []
    pod, of_set = f"{meta.name(owner)}-{number}", f"in StatefulSet {meta.name(owner)}"
    for claim in claims(owner, number).values():
        name = meta.name(claim)
        there = cluster.cached(RESOURCE, name, meta.namespace(owner))
        if there is not None:
            if meta.being_deleted(there):
                problems.append(f"pvc {name} is being deleted")
            continue
        try:
            await cluster.create(RESOURCE, claim)
        except StatusError as error:
            if is_namespace_terminating(error):
                raise
            problems.append(f"failed to create PVC {name}: {error.message}")
            if not error.is_already_exists:
                text = f"create Claim {name} for Pod {pod} {of_set} failed error: {error.message}"
                cluster.event(owner, "Warning", "FailedCreate", text)
        else:
            cluster.event(owner, "Normal", "SuccessfulCreate", f"create Claim {name} Pod {pod} {of_set} success")
    if problems:
        raise OSError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")


async def hand_over(owner: Object, pod: Object, number: int, cluster: Cluster, *, surplus: bool) -> bool:
    """Make a pod's claims theirs who take them along when they go; whether there was something to do."""
    is_changed = False
    for claim in present(owner, number, cluster):
        wanted = owners(claim, owner, pod, surplus=surplus)
        if wanted is None:
            continue
        if is_controlled_by_others(claim, owner, pod):
            cluster.event(owner, "Warning", "ConflictingController", CONFLICTING.format(meta.name(claim)))
        await cluster.update(RESOURCE, meta.set_path(claim, wanted, "metadata", "ownerReferences"))
        is_changed = True
    return is_changed

"""Past templates of DaemonSets and StatefulSets, as ControllerRevisions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.selectors import Selector
from navarch.controllers.controller import Cluster
from navarch.controllers.rollout import template_hash

RESOURCE = "controllerrevisions.apps"
HASH_LABEL = "controller-revision-hash"
"""Of pods: the hash of a DaemonSet's revision, the name of a StatefulSet's."""
REVISION_LABELS = {"DaemonSet": HASH_LABEL, "StatefulSet": "controller.kubernetes.io/hash"}
"""Of revisions, by the kind of their owner: their hash."""


@dataclass(slots=True)
class History:
    """An owner's revisions."""

    current: Object | None
    """The one of the owner's present template."""
    others: list[Object]
    """Oldest first."""

    @property
    def newest(self) -> int:
        return max((int(item.get("revision", 0)) for item in self.others), default=0)


def snapshot(owner: Object) -> Object:
    """What a revision keeps: a strategic merge patch that brings the owner's template back."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def hash_of(revision: Object) -> str:
    """What the revision's pods are labelled with."""
    return meta.labels(revision).get(HASH_LABEL) or meta.name(revision)


def split(owner: Object, revisions: Iterable[Object]) -> History:
    """The newest revision that equals the owner's template, and the others."""
    ordered = sorted(revisions, key=lambda item: (int(item.get("revision", 0)), meta.name(item)))
    wanted = snapshot(owner)
    current = next((item for item in reversed(ordered) if item.get("data") == wanted), None)
    return History(current, [item for item in ordered if item is not current])


def new_revision(owner: Object, number: int, collisions: int) -> Object:
    """A revision of the owner's present template."""
    data = snapshot(owner)
    hashed = template_hash(data, collisions)
    labels = {**((owner["spec"]["template"].get("metadata") or {}).get("labels") or {})}
    labels[REVISION_LABELS[owner["kind"]]] = hashed
    metadata: Object = {
        "name": f"{meta.name(owner)}-{hashed}",
        "namespace": meta.namespace(owner),
        "labels": labels,
        "ownerReferences": [meta.owner_reference(owner)],
    }
    if meta.annotations(owner):
        metadata["annotations"] = dict(meta.annotations(owner))
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": data, "revision": number}


async def sync(owner: Object, resource: str, selector: Selector, cluster: Cluster) -> History | None:
    """The owner's history, its present template being the newest; None if a name collided (then try again)."""
    found = split(owner, await cluster.claim(owner, RESOURCE, selector))
    collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
    if found.current is None:
        wanted = new_revision(owner, found.newest + 1, collisions)
        try:
            found.current = await cluster.create(RESOURCE, wanted)
        except StatusError as error:
            if not error.is_already_exists:
                raise
            present = await cluster.client.get(RESOURCE, meta.name(wanted), meta.namespace(owner))
            if present.get("data") != wanted["data"]:
                status = {**(owner.get("status") or {}), "collisionCount": collisions + 1}
                await cluster.update_status(resource, {**owner, "status": status})
                return None
            found.current = present
    elif int(found.current.get("revision", 0)) <= found.newest and found.others:
        found.current = await cluster.patch(RESOURCE, found.current, {"revision": found.newest + 1})
    return found


def outdated(owner: Object, found: History, pods: Sequence[Object], keep: Iterable[str] = ()) -> list[Object]:
    """Revisions beyond the limit that no pod uses, oldest first. Those whose hash is in `keep` stay too.

    A negative limit keeps all.
    """
    limit = owner["spec"].get("revisionHistoryLimit")
    used = {meta.labels(pod).get(HASH_LABEL) for pod in pods} | set(keep)
    unused = [item for item in found.others if hash_of(item) not in used]
    if limit is not None and limit < 0:
        return []
    return unused[: max(len(unused) - (10 if limit is None else limit), 0)]

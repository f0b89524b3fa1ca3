"""Empty a namespace that is being deleted, then let it go.

Pods go first and everything else after them (KEP-5080), so that no pod outlives the NetworkPolicy or Secret it relies on. The
conditions say what is still there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Resource
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.controllers import customkinds
from navarch.controllers import pods as podrules
from navarch.controllers.controller import Cluster, Controller, Watch

FINALIZER = "kubernetes"
RECHECK_SECONDS = 1.0
"""How soon to look again at content that others (the kubelet, finalizers) have to take away."""


@dataclass(slots=True)
class Remains:
    """What is left in a namespace after everything was asked to go."""

    resources: dict[str, int] = field(default_factory=dict)
    """``plural.group`` -> how many; of the core group ``plural.``, as Kubernetes writes it."""
    finalizers: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.resources and not self.failures


def conditions(remains: Remains, present: Sequence[Object], stamp: str) -> list[Object]:
    """The namespace's conditions, `present` ones kept where they say the same."""
    content = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remains.resources.items()))
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(remains.finalizers.items()))
    failed = f"Failed to delete all resource types, {len(remains.failures)} remaining: {', '.join(sorted(remains.failures))}"
    deleted = "All content successfully deleted, may be waiting on finalization"
    found: list[tuple[str, bool, str, str]] = [
        ("NamespaceDeletionDiscoveryFailure", False, "ResourcesDiscovered", "All resources successfully discovered"),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            False,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        ("NamespaceDeletionContentFailure", True, "ContentDeletionFailed", failed)
        if remains.failures
        else ("NamespaceDeletionContentFailure", False, "ContentDeleted", deleted),
        ("NamespaceContentRemaining", True, "SomeResourcesRemain", f"Some resources are remaining: {content}")
        if content
        else ("NamespaceContentRemaining", False, "ContentRemoved", "All content successfully removed"),
        (
            "NamespaceFinalizersRemaining",
            True,
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {held}",
        )
        if held
        else ("NamespaceFinalizersRemaining", False, "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    ]
    result = list(present)
    for type_, status, reason, message in found:
        new = {
            "type": type_,
            "status": "True" if status else "False",
            "lastTransitionTime": stamp,
            "reason": reason,
            "message": message,
        }
        result = meta.with_condition(result, new)
    return result


def content_kinds(kinds: Iterable[Kind]) -> list[Kind]:
    """The kinds whose objects live in namespaces, each stored form once."""
    found: dict[str, Kind] = {}
    for kind in kinds:
        if kind.namespaced and "delete" in kind.verbs and "list" in kind.verbs:
            found.setdefault(kind.key_prefix, kind)
    return list(found.values())


async def reconcile(namespace: Object, cluster: Cluster) -> float | None:
    if not meta.being_deleted(namespace) or FINALIZER not in (namespace.get("spec") or {}).get("finalizers", ()):
        return None
    if namespace.get("status", {}).get("phase") != "Terminating":
        namespace = await cluster.update_status("namespaces", meta.set_path(namespace, "Terminating", "status", "phase"))
    defined = customkinds.one_each(cluster.informer(customkinds.DEFINITIONS).list())
    kinds = content_kinds((*registry.kinds(), *defined))
    remains = Remains()
    pods = [kind for kind in kinds if kind.resource == "pods"]
    for kind in pods:
        await _delete_all(kind, namespace, cluster, remains)
    if remains.is_empty:
        for kind in kinds:
            if kind not in pods:
                await _delete_all(kind, namespace, cluster, remains)
    before = namespace.get("status", {}).get("conditions") or []
    after = conditions(remains, before, clock.timestamp())
    if after != before:
        namespace = await cluster.update_status("namespaces", meta.set_path(namespace, after, "status", "conditions"))
    if not remains.is_empty:
        return RECHECK_SECONDS
    left = [item for item in namespace["spec"]["finalizers"] if item != FINALIZER]
    finalized = meta.set_path(namespace, left, "spec", "finalizers")
    await cluster.client.update("namespaces", finalized, subresource="finalize")
    return None


async def _delete_all(kind: Kind, namespace: Object, cluster: Cluster, remains: Remains) -> None:
    """Ask every object of `kind` to go, and note those that do not go at once."""
    name = meta.name(namespace)
    try:
        items = await _items(kind, name, cluster)
        for item in items:
            if not meta.being_deleted(item):
                await cluster.client.delete_if_exists(_asked(kind), meta.name(item), name, propagation_policy="Background")
        left = await _items(kind, name, cluster) if items else []
    except StatusError as error:
        remains.failures.append(error.message)
        return
    if left:
        remains.resources[f"{kind.plural}.{kind.group}"] = len(left)
    for item in left:
        for finalizer in item["metadata"].get("finalizers") or ():
            remains.finalizers[finalizer] = remains.finalizers.get(finalizer, 0) + 1
    passed = clock.now() - meta.parse_time(namespace["metadata"]["deletionTimestamp"])
    grace_seconds = _grace_seconds(items) if kind.resource == "pods" else 0
    is_held = any(item["metadata"].get("finalizers") for item in left)
    if left and not is_held and passed.total_seconds() >= grace_seconds:
        gvr = f"{kind.group}/{kind.version}, Resource={kind.plural}"
        remains.failures.append(f"unexpected items still remain in namespace: {name} for gvr: {gvr}")


def _grace_seconds(pods: Iterable[Object]) -> int:
    """How long pods may take to end."""
    return max(
        (pod["spec"].get("terminationGracePeriodSeconds") or 0 for pod in pods if not podrules.is_finished(pod)), default=0
    )


async def _items(kind: Kind, namespace: str, cluster: Cluster) -> Sequence[Object]:
    answer: Mapping[str, Sequence[Object]] = await cluster.client.list(_asked(kind), namespace)
    return answer.get("items") or ()


def _asked(kind: Kind) -> Resource:
    return kind if kind.is_custom else kind.resource


def _nobody(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    return ()


def _terminating(old: Object | None, new: Object | None) -> bool:
    return new is not None and meta.being_deleted(new)


def _namespace_of_gone(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    # A pod that has gone may have been the last thing to wait for.
    if new is None and old is not None and meta.being_deleted(informers.get("namespaces").get(meta.namespace(old)) or old):
        yield meta.namespace(old)


CONTROLLER = Controller(
    "namespace-controller",
    "namespaces",
    reconcile,
    relevant=_terminating,
    watches=(Watch("pods", _namespace_of_gone), Watch(customkinds.DEFINITIONS, _nobody)),
)

"""Quotas are never exceeded by what is made: not the number of objects, nor what pods ask for."""

from __future__ import annotations

from navarch.api.core import podresources
from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.simulation.checkers.checker import Checker, Report, State
from navarch.simulation.observer import Seen

QUOTAS = "resourcequotas"
FINAL = ("Succeeded", "Failed")
PODS = "pods"
COUNTED = (
    PODS,
    "services",
    "configmaps",
    "secrets",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "jobs.batch",
    "cronjobs.batch",
)
ASKED = {"cpu": "cpu", "memory": "memory", "requests.cpu": "cpu", "requests.memory": "memory"}


class Quotas(Checker):
    """Counts for itself what there is in each namespace."""

    name = "quotas"
    resources = (*COUNTED, QUOTAS)

    def __init__(self, state: State, report: Report) -> None:
        super().__init__(state, report)
        self._there: dict[tuple[str, str], set[str]] = {}
        """Uids by (namespace, resource); of pods those that have not ended."""
        self._asked: dict[str, dict[str, Object]] = {}
        """What pods that have not ended ask for, by namespace and uid; only in namespaces with quotas."""
        self._hard: dict[str, dict[str, Object]] = {}
        """By namespace and name: what is enforced."""

    def changed(self, seen: Seen) -> None:
        namespace, uid = meta.namespace(seen.object), meta.uid(seen.object)
        if seen.resource == QUOTAS:
            hard = self._hard.setdefault(namespace, {})
            if seen.type == "DELETED":
                hard.pop(meta.name(seen.object), None)
            elif not (seen.object.get("spec") or {}).get("scopes") and not (seen.object["spec"].get("scopeSelector")):
                hard[meta.name(seen.object)] = (seen.object.get("status") or {}).get("hard") or {}
            return
        there = self._there.setdefault((namespace, seen.resource), set())
        has_ended = seen.resource == PODS and (seen.object.get("status") or {}).get("phase") in FINAL
        if seen.type == "DELETED" or has_ended:
            there.discard(uid)
            self._asked.get(namespace, {}).pop(uid, None)
            return
        is_new = uid not in there
        there.add(uid)
        if seen.resource == PODS and is_new:
            self._asked.setdefault(namespace, {})[uid] = seen.object
        if seen.type == "ADDED" and self._hard.get(namespace):
            self._hold(seen, namespace)

    def _hold(self, seen: Seen, namespace: str) -> None:
        """Whether an object that was just made is within all quotas of its namespace."""
        for name, hard in self._hard[namespace].items():
            for what, limit in hard.items():
                used = self._used(namespace, what, seen.resource)
                if used is not None and used > quantity.milli(limit):
                    self.report(seen.name, f"ResourceQuota {name} allows {limit} of {what}, and this is one too many")

    def _used(self, namespace: str, what: str, resource: str) -> int | None:
        """How much of something there is, in thousandths; None where an object of that resource uses none of it."""
        counted = what.removeprefix("count/")
        if counted == resource:
            return 1000 * len(self._there[namespace, resource])
        if resource == PODS and what in ASKED:
            pods = self._asked.get(namespace, {}).values()
            return sum(quantity.milli(podresources.requests(pod).get(ASKED[what], "0")) for pod in pods)
        return None

"""Evictions keep to PodDisruptionBudgets: each of a ready pod is charged to the budget that guards it, if that has any left."""

from __future__ import annotations

from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object
from navarch.simulation.checkers.checker import Checker, Report, State
from navarch.simulation.observer import Seen

EVICTED = "EvictionByEvictionAPI"
BUDGETS = "poddisruptionbudgets.policy"


class Budgets(Checker):
    """Holds evictions against the budgets as they were stored just before."""

    name = "budgets"
    resources = ("pods", BUDGETS)

    def __init__(self, state: State, report: Report) -> None:
        super().__init__(state, report)
        self._budgets: dict[str, Object] = {}
        self._ready: dict[str, bool] = {}
        """Whether a pod was ready and to stay when it was last seen without a mark, by uid."""
        self._marked: set[str] = set()

    def changed(self, seen: Seen) -> None:
        if seen.resource == BUDGETS:
            self._budget(seen)
            return
        uid = meta.uid(seen.object)
        if seen.type == "DELETED":
            self._ready.pop(uid, None)
            self._marked.discard(uid)
        elif (meta.condition(seen.object, "DisruptionTarget") or {}).get("reason") == EVICTED:
            if uid not in self._marked:
                self._marked.add(uid)
                self._evicted(seen, self._ready.get(uid, False))
        else:
            # Who goes already needs nobody's leave.
            self._ready[uid] = meta.is_condition_true(seen.object, "Ready") and not meta.being_deleted(seen.object)

    def _budget(self, seen: Seen) -> None:
        if seen.type == "DELETED":
            self._budgets.pop(seen.key, None)
            return
        before, now = self._budgets.get(seen.key), seen.object
        self._budgets[seen.key] = now
        charged = set(_disrupted(now)) - set(_disrupted(before))
        allowed = ((before or {}).get("status") or {}).get("disruptionsAllowed", 0)
        if charged and len(charged) > allowed:
            self.report(seen.name, f"{', '.join(sorted(charged))} may go, where only {allowed} might")

    def _evicted(self, seen: Seen, was_ready: bool) -> None:
        namespace = f"{meta.namespace(seen.object)}/"
        for key, budget in self._budgets.items():
            selector = selectors.from_label_selector((budget.get("spec") or {}).get("selector"))
            if not key.startswith(namespace) or not selector.matches(meta.labels(seen.object)):
                continue
            if was_ready and meta.name(seen.object) not in _disrupted(budget):
                self.report(seen.name, f"it is evicted, and PodDisruptionBudget {key} has not been asked")


def _disrupted(budget: Object | None) -> Object:
    found: Object = ((budget or {}).get("status") or {}).get("disruptedPods") or {}
    return found

"""Which pods belong together where they don't say so themselves: those of one Service and of one controller."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from navarch.api import registry
from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object
from navarch.apimachinery.selectors import Selector
from navarch.client.informer import Informer, Informers
from navarch.scheduler.podinfo import PodInfo

CACHE_LIMIT = 4096
OWNERS = {
    "ReplicaSet": "replicasets.apps",
    "StatefulSet": "statefulsets.apps",
    "ReplicationController": "replicationcontrollers",
}


class DefaultSelectors:
    """Selectors of pods' Services and controllers, remembered by template until one of those changes."""

    def __init__(self, informers: Informers, on_change: Callable[[], None]) -> None:
        """`on_change` is called when what has been said of a template is true no longer."""
        known = {kind.resource for kind in registry.kinds()}
        self._services = informers.get("services")
        self._owners: dict[str, Informer] = {kind: informers.get(name) for kind, name in OWNERS.items() if name in known}
        self._on_change = on_change
        self._found: dict[bytes, tuple[PodInfo, Selector | None]] = {}
        for informer in (self._services, *self._owners.values()):
            informer.add_handler(self._changed)

    def of(self, pod: PodInfo) -> Selector | None:
        """None: nobody knows of any."""
        key = pod.template.key
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= CACHE_LIMIT:
                self._found.clear()
            found = self._found[key] = (pod, self._find(pod))
        return found[1]

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and _selector(old) == _selector(new):
            return
        obj = new if new is not None else old
        assert obj is not None
        is_true = True
        for key, (pod, before) in list(self._found.items()):
            if pod.namespace == meta.namespace(obj):
                after = self._find(pod)
                is_true &= before == after
                self._found[key] = (pod, after)
        if not is_true:
            self._on_change()

    def _find(self, pod: PodInfo) -> Selector | None:
        labels: dict[str, str] = {}
        for selector in self._service_selectors(pod.namespace):
            if all(pod.labels.get(name) == value for name, value in selector.items()):
                labels |= selector
        requirements = selectors.from_set(labels).requirements
        owner = pod.template.controller
        informer = self._owners.get(owner["kind"]) if owner else None
        controller = informer.get(f"{pod.namespace}/{owner['name']}") if informer is not None and owner else None
        if controller is not None and meta.uid(controller) == (owner or {}).get("uid"):
            selector = controller["spec"].get("selector")
            if controller["kind"] == "ReplicationController":
                requirements += selectors.from_set(selector).requirements
            else:
                requirements += selectors.from_label_selector(selector).requirements
        return Selector(requirements) if requirements else None

    def _service_selectors(self, namespace: str) -> Iterable[dict[str, str]]:
        for service in self._services.list(namespace):
            selector = service["spec"].get("selector")
            if selector:
                yield selector


def _selector(obj: Object) -> object:
    return obj["spec"].get("selector")

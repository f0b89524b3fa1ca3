"""What is allocated is allocated once: ClusterIPs, node ports, nodes' pod networks, and the addresses of a node's pods."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.simulation.checkers.checker import Checker, Report, State
from navarch.simulation.observer import Seen

FINAL = ("Succeeded", "Failed")


class Addresses(Checker):
    """Remembers who has what."""

    name = "addresses"
    resources = ("services", "nodes", "pods")

    def __init__(self, state: State, report: Report) -> None:
        super().__init__(state, report)
        self._holder: dict[str, str] = {}
        """Uid by what is allocated."""
        self._held: dict[str, tuple[str, ...]] = {}
        """The inverse."""
        self._names: dict[str, str] = {}

    def changed(self, seen: Seen) -> None:
        uid = meta.uid(seen.object)
        has = () if seen.type == "DELETED" else tuple(allocated(seen.resource, seen.object))
        before = self._held.get(uid, ())
        if has == before:
            return
        for what in before:
            if what not in has and self._holder.get(what) == uid:
                del self._holder[what]
        for what in has:
            holder = self._holder.setdefault(what, uid)
            if holder != uid:
                self.report(seen.name, f"{what} is allocated to {self._names.get(holder, holder)} too")
        if has:
            self._held[uid], self._names[uid] = has, seen.name
        else:
            self._held.pop(uid, None)
            self._names.pop(uid, None)


def allocated(resource: str, obj: Object) -> Iterator[str]:
    """What an object has been given."""
    spec: Object = obj.get("spec") or {}
    if resource == "services":
        for ip in spec.get("clusterIPs") or ():
            if ip != "None":
                yield f"ClusterIP {ip}"
        for port in spec.get("ports") or ():
            if port.get("nodePort"):
                yield f"node port {port['nodePort']}/{port.get('protocol', 'TCP')}"
    elif resource == "nodes":
        for network in spec.get("podCIDRs") or ():
            yield f"pod network {network}"
    elif not spec.get("hostNetwork"):
        status: Object = obj.get("status") or {}
        if status.get("phase") not in FINAL and status.get("podIP"):
            yield f"pod address {status['podIP']} on {spec.get('nodeName')}"

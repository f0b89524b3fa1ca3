"""Of several control planes only who holds the Lease writes: a leader that was frozen writes nothing when it goes on."""

from __future__ import annotations

from navarch.simulation.checkers.checker import Checker, Report, State

NAMESPACE = "kube-system"


class Leaders(Checker):
    """Holds what leaders write against the Lease of their component."""

    name = "leaders"
    resources = ("leases.coordination.k8s.io",)

    def __init__(self, state: State, report: Report) -> None:
        super().__init__(state, report)
        state.cluster.on_leaders_write.append(self._write)

    def _write(self, component: str, identity: str, request: str) -> None:
        lease = self.state.get("leases", component, NAMESPACE)
        holder = ((lease or {}).get("spec") or {}).get("holderIdentity") or ""
        if holder not in ("", identity):
            self.report(component, f"{identity} writes ({request}), but {holder} holds the Lease")

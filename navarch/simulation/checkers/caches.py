"""When all is quiet, whoever keeps a copy of objects has what the store has: no event was lost on the way to it."""

from __future__ import annotations

from navarch.simulation.checkers.checker import Checker

LEASES = "leases.coordination.k8s.io"


class Caches(Checker):
    """Compares every informer of the cluster's own components with the store."""

    name = "caches"
    resources = ("nodes",)

    def settled(self) -> None:
        for owner, informers in self.state.cluster.caches.items():
            for informer in informers:
                if not informer.has_synced:
                    self.report("", f"{owner} has never got its list of {informer.resource}")
                    continue
                stored = self.state.versions(informer.resource)
                if stored is None:
                    continue
                known = informer.versions()
                missing = stored.keys() - known.keys() if not informer.is_selective else set()
                for key in sorted(missing | (known.keys() - stored.keys())):
                    has, wants = ("still has", "is gone") if key in known else ("does not have", "is there")
                    self.report(f"{informer.resource} {key}", f"{owner} {has} what {wants}")
                if informer.resource == LEASES and self.state.cluster.control_planes is not None:
                    # Leaders renew theirs all the time, also at this moment.
                    continue
                for key in sorted(stored.keys() & known.keys()):
                    if stored[key] != known[key]:
                        text = f"{owner} has revision {known[key]}, and {stored[key]} is the newest"
                        self.report(f"{informer.resource} {key}", text)

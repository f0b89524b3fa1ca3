"""Tell on every ValidatingAdmissionPolicy what is wrong with its expressions in view of the kinds that it is about."""

from __future__ import annotations

from navarch.api import registry
from navarch.apimachinery.errors import Object
from navarch.controllers import customkinds
from navarch.controllers.controller import Cluster, Controller, Watch

POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"


def plan(policy: Object, definitions: list[Object]) -> Object | None:
    """The status of a policy; None where it has been looked at already."""
    # Whoever has no policies need not load the language.
    from navarch.api.admissionregistration import typechecking

    generation = policy["metadata"].get("generation", 0)
    if (policy.get("status") or {}).get("observedGeneration", 0) >= generation:
        return None
    custom = [kind for definition in definitions for kind in customkinds.served(definition)]
    found = typechecking.warnings(policy, (*registry.kinds(), *custom))
    return {"observedGeneration": generation, "typeChecking": {"expressionWarnings": found} if found else {}}


async def _reconcile(policy: Object, cluster: Cluster) -> None:
    status = plan(policy, list(cluster.informer(customkinds.DEFINITIONS).list()))
    if status is not None:
        await cluster.patch(POLICIES, policy, {"status": status}, subresource="status")


CONTROLLER = Controller(
    "validatingadmissionpolicy-status-controller",
    POLICIES,
    _reconcile,
    watches=(Watch(customkinds.DEFINITIONS, lambda old, new, informers: ()),),
)

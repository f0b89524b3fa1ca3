"""Who may claim devices that others use (KEP-5018), and who may write what in the status of claims (KEP-4817).

Administrators' access is for namespaces that are labeled for it. The status is written by schedulers, who need the permission
for ``resourceclaims/binding``, and by drivers, who need that for ``resourceclaims/driver`` with their own name; its verb says
whether the driver's pod must be on the node that the claim was allocated for.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.core import namespace as namespaces
from navarch.api.resource import allocation, deviceclaim, resourceclaimtemplate
from navarch.apimachinery import errors, meta, names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.authorization import AuthorizerChain, Decision, refusal
from navarch.apiserver.request import User
from navarch.storage.store import Store

ADMIN_ACCESS_LABEL = "resource.kubernetes.io/admin-access"
NODE_NAME = "authentication.kubernetes.io/node-name"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
ASSOCIATED_NODE, ARBITRARY_NODE = "associated-node:", "arbitrary-node:"


class DeviceAccess:
    """Guards ResourceClaims and ResourceClaimTemplates."""

    def __init__(self, store: Store, authorizer: AuthorizerChain) -> None:
        self._store = store
        self._authorizer = authorizer

    def problems(self, attributes: Attributes, obj: Object, old: Object | None) -> Iterator[FieldError]:
        if old is None:
            template = attributes.kind is resourceclaimtemplate.KIND
            spec = obj["spec"]["spec"] if template else obj["spec"]
            index = deviceclaim.admin_access(spec["devices"])
            if index is not None:
                yield from self._admin(attributes.namespace, f"spec.devices.requests[{index}].adminAccess")
        elif attributes.subresource == "status":
            yield from self._status(attributes, obj.get("status") or {}, old.get("status") or {})

    def _admin(self, namespace: str, path: str) -> Iterator[FieldError]:
        kind = namespaces.KIND
        record = self._store.latest(kind.key_prefix, kind.key("", namespace))
        if record is None:
            missing = errors.not_found(kind.group, kind.plural, namespace).message
            text = f"Internal error: could not retrieve namespace to verify admin access: {missing}"
            yield FieldError("InternalError", path, text)
        elif meta.labels(record.object()).get(ADMIN_ACCESS_LABEL) != "true":
            needed = f"`{ADMIN_ACCESS_LABEL}: true`"
            yield forbidden_field(path, f"admin access to devices requires the {needed} label on the containing namespace")

    def _status(self, attributes: Attributes, now: Object, before: Object) -> Iterator[FieldError]:
        index = allocation.admin_access(now.get("allocation"))
        if index is not None and allocation.admin_access(before.get("allocation")) is None:
            path = f"status.allocation.devices.results[{index}].adminAccess"
            yield from self._admin(attributes.namespace, path)
        reserved, was_reserved = now.get("reservedFor") or [], before.get("reservedFor") or []
        if now.get("allocation") != before.get("allocation") or reserved != was_reserved:
            yield from self._binding(attributes)
        drivers = _changed_drivers(now, before)
        if drivers:
            yield from self._drivers(attributes, drivers, _node_of(now.get("allocation")))

    def _binding(self, attributes: Attributes) -> Iterator[FieldError]:
        verb = attributes.request.info.verb
        refused = self._refused(attributes, verb, "binding", "", "")
        if refused:
            needed = f'resource="resourceclaims/binding", verb="{verb}"'
            yield forbidden_field(
                "status", f"changing status.allocation or status.reservedFor requires {needed} permission: {refused}"
            )

    def _drivers(self, attributes: Attributes, drivers: list[str], node: str) -> Iterator[FieldError]:
        verb = attributes.request.info.verb
        verbs = [ARBITRARY_NODE + verb]
        if node and _runs_on(attributes.request.user, node):
            verbs.insert(0, ASSOCIATED_NODE + verb)
        for driver in drivers:
            refusals = [self._refused(attributes, asked, "driver", attributes.namespace, driver) for asked in verbs]
            if all(refusals):
                needed = f'resource="resourceclaims/driver", verb="[{" ".join(verbs)}]"'
                yield forbidden_field("status.devices", f"changing status.devices requires {needed} permission: {refusals[0]}")

    def _refused(self, attributes: Attributes, verb: str, subresource: str, namespace: str, name: str) -> str:
        """Why the user may not; "" if they may."""
        user, info = attributes.request.user, attributes.request.info
        info = info._replace(verb=verb, subresource=subresource, namespace=namespace, name=name)
        verdict = self._authorizer.authorize(user, info)
        return "" if verdict.decision is Decision.ALLOW else refusal(user, info, verdict.reason).message


def _changed_drivers(now: Object, before: Object) -> list[str]:
    """Those that something else is reported of than before."""
    old = {allocation.device_id(device): device for device in before.get("devices") or ()}
    changed = set()
    for device in now.get("devices") or ():
        if old.pop(allocation.device_id(device), None) != device:
            changed.add(device.get("driver", ""))
    return sorted(changed | {device.get("driver", "") for device in old.values()})


def _node_of(allocated: Object | None) -> str:
    """The one node that devices were allocated on; "" if they are not bound to one by its name."""
    match (allocated or {}).get("nodeSelector"):
        case {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}], **more}]}:
            return "" if more.get("matchExpressions") else str(node)
    return ""


def _runs_on(user: User, node: str) -> bool:
    """Whether the user is a service account of a pod on that node."""
    found = list(user.extra.get(NODE_NAME) or ())
    is_account = user.name.startswith(SERVICE_ACCOUNT_PREFIX) and user.name.count(":") == 3
    return is_account and found == [node] and not names.dns1123_subdomain(node)

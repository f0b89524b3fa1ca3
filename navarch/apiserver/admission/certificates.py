"""Certificate signing requests: who asked, and who may approve and sign (CertificateApproval, -Signing, -SubjectRestriction).

It writes what only the server knows: the user who asks, and when conditions changed.
"""

from __future__ import annotations

from navarch.api.certificates import certificatesigningrequest as requests
from navarch.api.certificates import pkcs10
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.apiserver.authorization import AuthorizerChain, Decision
from navarch.apiserver.request import MASTERS_GROUP, User
from navarch.apiserver.requestinfo import RequestInfo
from navarch.component import clock

API_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class Certificates(AdmissionPlugin):
    def __init__(self, authorizer: AuthorizerChain) -> None:
        self._authorizer = authorizer

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is requests.KIND

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        if attributes.operation == "CREATE":
            kept = {key: value for key, value in obj["spec"].items() if key not in ("username", "uid", "groups", "extra")}
            return {**obj, "spec": kept | attributes.request.user.info}
        if attributes.subresource in ("approval", "status") and requests.conditions(obj):
            assert old is not None
            return meta.set_path(obj, [_stamped(item, old) for item in requests.conditions(obj)], "status", "conditions")
        return obj

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        if obj is None:
            return
        if attributes.operation == "CREATE":
            spec = obj["spec"]
            if spec["signerName"] == API_CLIENT_SIGNER and MASTERS_GROUP in pkcs10.parse(spec["request"]).organizations:
                text = f"use of {API_CLIENT_SIGNER} signer with {MASTERS_GROUP} group is not allowed"
                raise errors.forbidden(requests.KIND.group, requests.KIND.plural, attributes.name, text)
            return
        assert old is not None
        if attributes.subresource == "approval":
            self._require(attributes, "approve", old)
        elif attributes.subresource == "status" and obj.get("status") != old.get("status"):
            self._require(attributes, "sign", old)

    def _require(self, attributes: Attributes, verb: str, request: Object) -> None:
        """Refuse unless the user may do that for the request's signer, or for all signers of its domain."""
        signer = request["spec"]["signerName"]
        for name in (signer, f"{signer.partition('/')[0]}/*"):
            if self._may(attributes.request.user, verb, name):
                return
        text = f'user not permitted to {verb} requests with signerName "{signer}"'
        raise errors.forbidden(requests.KIND.group, requests.KIND.plural, attributes.name, text)

    def _may(self, user: User, verb: str, signer: str) -> bool:
        info = RequestInfo("", verb, True, requests.KIND.group, "*", "", "signers", signer)
        return self._authorizer.authorize(user, info).decision is Decision.ALLOW


def _stamped(condition: Object, old: Object) -> Object:
    now = clock.timestamp()
    transition = now
    for before in requests.conditions(old):
        if (before.get("type"), before.get("status")) == (condition.get("type"), condition.get("status")):
            transition = before.get("lastTransitionTime") or now
            break
    return {"lastUpdateTime": now, "lastTransitionTime": transition, **condition}

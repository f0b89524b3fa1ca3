"""Certificate signing requests: nodes' own are approved, approved ones of Kubernetes' signers are issued, old ones removed."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime, timedelta

from navarch.api.certificates import certificatesigningrequest as requests
from navarch.api.certificates import pkcs10
from navarch.api.certificates.pkcs10 import SigningRequest
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component.signing import Authority, end_of
from navarch.controllers.config import ControllerConfig
from navarch.controllers.controller import Cluster, Controller

RESOURCE = "certificatesigningrequests.certificates.k8s.io"
ACCESS_REVIEWS = "subjectaccessreviews.authorization.k8s.io"
API_CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
NODES_GROUP, NODE_PREFIX = "system:nodes", "system:node:"
LIFETIME = timedelta(days=365)
LIFETIME_MIN = timedelta(minutes=10)
# How long requests are kept once nothing more comes of them.
DECIDED_KEPT = timedelta(hours=1)
# How long somebody has to decide, and to sign.
PENDING_KEPT = timedelta(hours=24)
_ENCIPHERMENT = frozenset({"key encipherment"})
_NODE_USAGES = {
    KUBELET_CLIENT: frozenset({"digital signature", "key encipherment", "client auth"}),
    KUBELET_SERVING: frozenset({"digital signature", "key encipherment", "server auth"}),
}


# Whose requests may be signed


def problem(signer: str, wanted: SigningRequest, usages: Iterable[str]) -> str:
    """What keeps a signer of Kubernetes' own from signing, or "". The rules are in the signers' documentation."""
    if signer == API_CLIENT:
        return _api_client_problem(list(usages))
    if wanted.organizations != (NODES_GROUP,):
        return f"subject organization is not {NODES_GROUP}"
    if signer == KUBELET_CLIENT and wanted.dns_names:
        return "DNS subjectAltNames are not allowed"
    if signer == KUBELET_SERVING and not wanted.dns_names and not wanted.ip_addresses:
        return "DNS or IP subjectAltName is required"
    if wanted.email_addresses:
        return "Email subjectAltNames are not allowed"
    if signer == KUBELET_CLIENT and wanted.ip_addresses:
        return "IP subjectAltNames are not allowed"
    if wanted.uris:
        return "URI subjectAltNames are not allowed"
    named = wanted.common_name.startswith(NODE_PREFIX)
    if signer == KUBELET_CLIENT and not named:
        return f"subject common name does not begin with {NODE_PREFIX}"
    needed = _NODE_USAGES[signer]
    if frozenset(usages) not in (needed, needed - _ENCIPHERMENT):
        order = ("client auth", "digital signature", "key encipherment", "server auth")
        return f"usages did not match [{' '.join(usage for usage in order if usage in needed)}]"
    return "" if named else f"subject common name does not begin with {NODE_PREFIX}"


def _api_client_problem(usages: list[str]) -> str:
    for usage in usages:
        if usage not in _NODE_USAGES[KUBELET_CLIENT]:
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def lifetime(request: Object) -> timedelta:
    """How long the certificate is to be good for."""
    seconds = request["spec"].get("expirationSeconds")
    return LIFETIME if seconds is None else min(max(timedelta(seconds=seconds), LIFETIME_MIN), LIFETIME)


# Approving


async def approve(request: Object, cluster: Cluster) -> None:
    """Approve a kubelet's client certificate, if the one who asks may have it."""
    spec = request["spec"]
    decided = {item.get("type") for item in requests.conditions(request)} & {"Approved", "Denied"}
    if requests.certificate(request) or decided or spec["signerName"] != KUBELET_CLIENT:
        return
    wanted = pkcs10.parse(spec["request"])
    if problem(KUBELET_CLIENT, wanted, spec["usages"]):
        return
    ways = [("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")]
    if spec.get("username") == wanted.common_name:
        ways.insert(0, ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."))
    for subresource, message in ways:
        if await _may(spec, subresource, cluster):
            condition = {"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}
            status = {**(request.get("status") or {}), "conditions": [*requests.conditions(request), condition]}
            await cluster.update_subresource(RESOURCE, {**request, "status": status}, "approval")
            return


async def _may(spec: Object, subresource: str, cluster: Cluster) -> bool:
    attributes = {
        "group": "certificates.k8s.io",
        "resource": "certificatesigningrequests",
        "subresource": subresource,
        "verb": "create",
    }
    who = {"user": spec.get("username", ""), "uid": spec.get("uid", ""), "groups": spec.get("groups") or []}
    review = {"spec": {**who, "extra": spec.get("extra") or {}, "resourceAttributes": attributes}}
    answer = await cluster.client.create(ACCESS_REVIEWS, review)
    return bool(answer["status"].get("allowed"))


# Signing


def _signer(authority: Authority) -> Controller:
    async def sign(request: Object, cluster: Cluster) -> None:
        signer = request["spec"]["signerName"]
        if signer not in (API_CLIENT, KUBELET_CLIENT, KUBELET_SERVING) or requests.certificate(request):
            return
        if not requests.has_condition(request, "Approved") or requests.has_condition(request, "Failed"):
            return
        status = dict(request.get("status") or {})
        wanted, usages = pkcs10.parse(request["spec"]["request"]), request["spec"]["usages"]
        refused = problem(signer, wanted, usages)
        if refused:
            condition = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": refused}
            status["conditions"] = [*requests.conditions(request), condition]
        else:
            issued = authority.sign(wanted.x509, usages, lifetime(request), cluster.now())
            status["certificate"] = base64.b64encode(issued).decode()
        await cluster.update_status(RESOURCE, {**request, "status": status})

    return Controller("csrsigning", RESOURCE, sign)


# Removing


def expiry(request: Object) -> datetime | None:
    """When a request is of no more use to anybody; None if that is open."""
    items, ends = requests.conditions(request), []
    issued = requests.certificate(request)
    if not items:
        ends.append(meta.parse_time(request["metadata"]["creationTimestamp"]) + PENDING_KEPT)
    for item in items:
        if item.get("type") not in ("Approved", "Denied", "Failed"):
            continue
        if item["type"] == "Approved" and issued:
            ends += filter(None, [end_of(base64.b64decode(issued))])
        if item.get("lastUpdateTime"):
            kept = PENDING_KEPT if item["type"] == "Approved" and not issued else DECIDED_KEPT
            ends.append(meta.parse_time(item["lastUpdateTime"]) + kept)
    return min(ends) if ends else None


async def clean(request: Object, cluster: Cluster) -> float | None:
    end = expiry(request)
    if end is None or meta.being_deleted(request):
        return None
    left_seconds = (end - cluster.now()).total_seconds()
    if left_seconds > 0:
        return left_seconds
    await cluster.delete(RESOURCE, request)
    return None


def controllers(config: ControllerConfig) -> tuple[Controller, ...]:
    """All that look after requests; without the authority's files nothing is signed here."""
    found = [Controller("csrapproving", RESOURCE, approve), Controller("csrcleaner", RESOURCE, clean)]
    if config.signing_certificate_file is not None and config.signing_key_file is not None:
        found.append(_signer(Authority(config.signing_certificate_file, config.signing_key_file)))
    return tuple(found)

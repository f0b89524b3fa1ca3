"""token: a token for a service account (TokenRequest)."""

from __future__ import annotations

from datetime import UTC, datetime

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.apiserver import body
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.resources import Resources, check_namespace
from navarch.apiserver.tokens import EXPIRATION_MAX_SECONDS, EXPIRATION_MIN_SECONDS, TokenAuthority

TOKEN_REQUEST = "io.k8s.api.authentication.v1.TokenRequest"
DEFAULT_SECONDS = 3600
# Asked for by the volume that admission adds; such tokens live a year, for clients that never read theirs again.
EXTENDED_FOR_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600
_BINDABLE = {("v1", "Pod"): "pods", ("v1", "Secret"): "secrets"}


async def serve(resources: Resources, tokens: TokenAuthority, request: APIRequest, kind: Kind) -> ObjectAnswer:
    if request.info.verb != "create":
        raise errors.method_not_allowed()
    asked = body.decode_definition(request, TOKEN_REQUEST)
    metadata, name = asked.get("metadata") or {}, request.info.name
    check_namespace(request.info, metadata)
    if metadata.get("name", name) != name:
        text = "must match the service account name if specified"
        problem = errors.invalid_value("metadata.name", metadata["name"], text)
        raise errors.invalid("authentication.k8s.io", "TokenRequest", name, [problem])
    attributes = Attributes(request, kind, "CREATE", request.info.namespace, request.info.name, "token")
    asked = await resources.admission.ask(attributes, asked)
    account = resources.reading.get(request, kind).decoded()
    spec = asked.get("spec") or {}
    seconds = spec.get("expirationSeconds") or DEFAULT_SECONDS
    problems = []
    if seconds < EXPIRATION_MIN_SECONDS:
        text = "may not specify a duration less than 10 minutes"
        problems.append(errors.invalid_value("spec.expirationSeconds", seconds, text))
    elif seconds > EXPIRATION_MAX_SECONDS:
        text = "may not specify a duration larger than 2^32 seconds"
        problems.append(errors.invalid_value("spec.expirationSeconds", seconds, text))
    if problems:
        raise errors.invalid("authentication.k8s.io", "TokenRequest", "", problems)
    bound = _bound(resources, meta.namespace(account), spec.get("boundObjectRef"))
    audiences = list(spec.get("audiences") or tokens.audiences)
    lifetime = EXTENDED_SECONDS if seconds == EXTENDED_FOR_SECONDS and bound is not None else seconds
    token, expires = tokens.issue(account, bound, audiences, lifetime)
    # What the client is told, so that it refreshes in time.
    told = expires - lifetime + seconds
    answer = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": meta.name(account), "namespace": meta.namespace(account)},
        "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
        "status": {"token": token, "expirationTimestamp": meta.format_time(datetime.fromtimestamp(told, UTC))},
    }
    return ObjectAnswer(kind, object=answer, status=201)


def _bound(resources: Resources, namespace: str, reference: Object | None) -> Object | None:
    """The object a token is to be bound to, which must exist and be the one that is meant."""
    if not reference:
        return None
    resource = _BINDABLE.get((reference.get("apiVersion", "v1"), reference.get("kind", "")))
    if resource is None:
        spoken = f"{reference.get('apiVersion')}, Kind={reference.get('kind')}"
        raise errors.bad_request(f"cannot bind token for serviceaccount to object of type {spoken}")
    kind = registry.resource(resource)
    record = resources.store.latest(kind.key_prefix, kind.key(namespace, reference.get("name", "")))
    if record is None:
        raise errors.not_found("", resource, reference.get("name", ""))
    found = record.object()
    if reference.get("uid") and reference["uid"] != meta.uid(found):
        text = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
        text += "The object might have been deleted and then recreated"
        raise errors.conflict("", resource, reference["name"], text)
    return found

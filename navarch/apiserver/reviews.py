"""TokenReview, SelfSubjectReview and the access reviews: questions that are answered at once and never stored."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.authentication import reviews as authentication
from navarch.api.authorization import reviews as authorization
from navarch.api.kind import Kind
from navarch.apimachinery import errors, selectors
from navarch.apimachinery.errors import Object
from navarch.apiserver import body, fieldmanagement, options
from navarch.apiserver.authorization import AuthorizerChain, Decision
from navarch.apiserver.request import APIRequest, ObjectAnswer, User
from navarch.apiserver.requestinfo import RequestInfo
from navarch.apiserver.resources import MISMATCHED_NAMESPACE
from navarch.apiserver.tokens import TokenAuthority
from navarch.component import clock
from navarch.component.jwt import InvalidToken

KINDS = frozenset(
    {
        authentication.TOKEN_REVIEW,
        authentication.SELF_SUBJECT_REVIEW,
        authorization.SELF_SUBJECT_ACCESS_REVIEW,
        authorization.SUBJECT_ACCESS_REVIEW,
        authorization.LOCAL_SUBJECT_ACCESS_REVIEW,
        authorization.SELF_SUBJECT_RULES_REVIEW,
    }
)


class Reviews:
    """Answers reviews."""

    def __init__(self, tokens: TokenAuthority, authorizer: AuthorizerChain) -> None:
        self._tokens = tokens
        self._authorizer = authorizer

    def create(self, request: APIRequest, kind: Kind) -> ObjectAnswer:
        options.check_writing(request)
        review = self._asked(request, kind)
        if kind is authentication.TOKEN_REVIEW:
            status = self._token(review)
        elif kind is authentication.SELF_SUBJECT_REVIEW:
            status = {"userInfo": request.user.info}
            review = {**_type(kind), "metadata": {"creationTimestamp": clock.timestamp()}}
        elif kind is authorization.SELF_SUBJECT_RULES_REVIEW:
            status = self._rules(request, review)
            review = {**_type(kind), "metadata": {}, "spec": {}}
        else:
            problems = list(kind.validate(review))
            if problems:
                # Upstream has forgotten by then what kind it is of.
                raise errors.invalid(kind.group, "", "", problems)
            status = self._access(request, kind, review)
        return ObjectAnswer(kind, object={**review, "status": status}, status=201)

    def _asked(self, request: APIRequest, kind: Kind) -> Object:
        """The review in the body, of the namespace of the path, with its managers: as any new object has them."""
        review = body.decode_object(request, kind)
        metadata = dict(review["metadata"])
        if metadata.get("namespace", "") not in ("", request.info.namespace):
            raise errors.bad_request(MISMATCHED_NAMESPACE)
        if kind.namespaced:
            metadata["namespace"] = request.info.namespace
        return fieldmanagement.created(request, kind, {**review, "metadata": metadata})

    def _token(self, review: Object) -> Object:
        spec = review.get("spec") or {}
        if not spec.get("token"):
            raise errors.bad_request("token is required for TokenReview in authentication")
        audiences = tuple(spec.get("audiences") or self._tokens.audiences)
        try:
            user, shared = self._tokens.verify(spec["token"], audiences)
        except InvalidToken as reason:
            return {"user": {}, "error": f"[invalid bearer token, {reason}]"}
        return {"authenticated": True, "user": user.info, "audiences": shared}

    def _rules(self, request: APIRequest, review: Object) -> Object:
        namespace = (review.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise errors.bad_request("no namespace on request")
        rules = self._authorizer.rules(request.user, namespace)
        return {"resourceRules": list(rules.resources), "nonResourceRules": list(rules.paths), "incomplete": False}

    def _access(self, request: APIRequest, kind: Kind, review: Object) -> Object:
        spec = review.get("spec") or {}
        user = request.user
        if kind is not authorization.SELF_SUBJECT_ACCESS_REVIEW:
            user = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), spec.get("extra") or {})
        resource, plain = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        verdict = self._authorizer.authorize(user, _info(resource, plain))
        status: Object = {"allowed": verdict.decision is Decision.ALLOW}
        if verdict.decision is Decision.DENY:
            status["denied"] = True
        if verdict.reason:
            status["reason"] = verdict.reason
        ignored = "; ".join(_ignored(resource or {}))
        if ignored:
            status["evaluationError"] = ignored
        return status


def _type(kind: Kind) -> Object:
    return {"kind": kind.kind, "apiVersion": kind.api_version}


# Selectors: nobody here decides by them, but who asks is told what of them could not be understood.


def _ignored(resource: Object) -> Iterator[str]:
    for field, parse, is_understood in (
        ("fieldSelector", selectors.parse_fields, _is_field_requirement),
        ("labelSelector", selectors.parse, _is_label_requirement),
    ):
        selector = resource.get(field) or {}
        understood = [is_understood(requirement) for requirement in selector.get("requirements") or ()]
        try:
            parse(selector.get("rawSelector") or "")
        except ValueError:
            understood = [False]
        if not all(understood):
            how_much = "partially ignored" if any(understood) else "ignored"
            yield f"spec.resourceAttributes.{field} {how_much} due to parse error"


def _is_field_requirement(requirement: Object) -> bool:
    return requirement.get("operator") in ("In", "NotIn") and len(requirement.get("values") or ()) == 1


def _is_label_requirement(requirement: Object) -> bool:
    return requirement.get("operator") in ("In", "NotIn", "Exists", "DoesNotExist")


def _info(resource: Object | None, plain: Object | None) -> RequestInfo:
    if plain is not None:
        return RequestInfo(plain.get("path", ""), plain.get("verb", ""))
    assert resource is not None
    return RequestInfo(
        "",
        resource.get("verb", ""),
        True,
        resource.get("group", ""),
        resource.get("version", ""),
        resource.get("namespace", ""),
        resource.get("resource", ""),
        resource.get("name", ""),
        resource.get("subresource", ""),
    )

"""TokenReview, SelfSubjectReview and the access reviews: questions that are answered at once and never stored."""

from __future__ import annotations

from navarch.api.authentication import reviews as authentication
from navarch.api.authorization import reviews as authorization
from navarch.api.kind import Kind
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.apiserver import body
from navarch.apiserver.authorization import AuthorizerChain, Decision
from navarch.apiserver.request import APIRequest, ObjectAnswer, User
from navarch.apiserver.requestinfo import RequestInfo
from navarch.apiserver.tokens import TokenAuthority

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
        review = body.decode_object(request, kind)
        if kind is authentication.TOKEN_REVIEW:
            status = self._token(review)
        elif kind is authentication.SELF_SUBJECT_REVIEW:
            status = {"userInfo": request.user.info}
        elif kind is authorization.SELF_SUBJECT_RULES_REVIEW:
            status = self._rules(request, review)
            review = {**review, "metadata": {}, "spec": {}}
        else:
            status = self._access(request, kind, review)
        return ObjectAnswer(kind, object={**review, "status": status}, status=201)

    def _token(self, review: Object) -> Object:
        spec = review.get("spec") or {}
        audiences = tuple(spec.get("audiences") or self._tokens.audiences)
        claims = self._tokens.verify(spec.get("token", ""), audiences)
        if claims is None:
            return {"user": {}, "error": "[invalid bearer token, unknown]"}
        shared = [audience for audience in audiences if audience in claims["aud"]]
        return {"authenticated": True, "user": self._tokens.user(claims).info, "audiences": shared}

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
            if not user.name and not user.groups:
                problem = errors.invalid_value("spec.user", "", "at least one of user or group must be specified")
                raise errors.invalid(kind.group, kind.kind, "", [problem])
        resource, plain = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if (resource is None) == (plain is None):
            text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            problem = errors.invalid_value("spec.resourceAttributes", resource, text)
            raise errors.invalid(kind.group, kind.kind, "", [problem])
        verdict = self._authorizer.authorize(user, _info(resource, plain))
        status: Object = {"allowed": verdict.decision is Decision.ALLOW}
        if verdict.decision is Decision.DENY:
            status["denied"] = True
        if verdict.reason:
            status["reason"] = verdict.reason
        return status


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

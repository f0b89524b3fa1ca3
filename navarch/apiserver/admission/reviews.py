"""AdmissionReviews (admission.k8s.io/v1 and v1beta1): what is asked, and whether an answer is one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from navarch.apimachinery.errors import Object

GROUP, KIND = "admission.k8s.io", "AdmissionReview"
STATUS_FIELDS = ("message", "reason", "details")


class InvalidAnswerError(Exception):
    """What a webhook answers is no answer to what it was asked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a webhook says of a request."""

    allowed: bool
    status: Object
    """Why it does not, as far as it says so."""
    patch: str | None = None
    """In base64."""
    patch_type: str = ""
    warnings: list[str] = field(default_factory=list)
    audit_annotations: Mapping[str, str] = field(default_factory=dict)


def review(version: str, request: Object) -> Object:
    return {"kind": KIND, "apiVersion": f"{GROUP}/{version}", "request": request}


def verdict(answer: object, uid: str, version: str, *, mutates: bool) -> Verdict:
    """What is said in an answer. Raises InvalidAnswerError."""
    if not isinstance(answer, dict):
        raise InvalidAnswerError("couldn't get version/kind; json parse error: an object is needed")
    _check_kind(answer, version)
    response = answer.get("response")
    if response is None:
        raise InvalidAnswerError("webhook response was absent")
    _check_types(response)
    patch, patch_type = response.get("patch"), response.get("patchType")
    if version == "v1":
        if response.get("uid", "") != uid:
            raise InvalidAnswerError(f"expected response.uid={_quoted(uid)}, got {_quoted(response.get('uid', ''))}")
        _check_patch(patch, patch_type, mutates)
    elif patch and not patch_type:
        patch_type = "JSONPatch"
    return Verdict(
        bool(response.get("allowed")),
        response.get("status") or {},
        patch or None,
        patch_type or "",
        response.get("warnings") or [],
        response.get("auditAnnotations") or {},
    )


def _check_kind(answer: Object, version: str) -> None:
    group_version, _, kind = str(answer.get("apiVersion") or ""), "", str(answer.get("kind") or "")
    if version == "v1" and (group_version, kind) != (f"{GROUP}/v1", KIND):
        shown = f"{group_version or '/'}, Kind={kind}"
        raise InvalidAnswerError(f"expected webhook response of {GROUP}/v1, Kind={KIND}, got {shown}")


_TYPES: dict[str, type | tuple[type, ...]] = {
    "uid": str,
    "allowed": bool,
    "status": dict,
    "patch": str,
    "patchType": str,
    "warnings": list,
    "auditAnnotations": dict,
}


def _check_types(response: Any) -> None:
    if not isinstance(response, dict):
        raise InvalidAnswerError("json: cannot unmarshal into Go value of type v1.AdmissionResponse")
    for name, wanted in _TYPES.items():
        value = response.get(name)
        if value is not None and not isinstance(value, wanted):
            raise InvalidAnswerError(f"json: cannot unmarshal into Go struct field AdmissionResponse.response.{name}")
    texts = [*(response.get("warnings") or ()), *(response.get("auditAnnotations") or {}).values()]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidAnswerError("json: cannot unmarshal into Go value of type string")


def _check_patch(patch: str | None, patch_type: str | None, mutates: bool) -> None:
    if not mutates:
        for name, value in (("patch", patch), ("patchType", patch_type)):
            if value:
                raise InvalidAnswerError(f"validating webhook may not return response.{name}")
    elif patch and not patch_type:
        raise InvalidAnswerError("webhook returned response.patch but not response.patchType")
    elif patch_type and not patch:
        raise InvalidAnswerError("webhook returned response.patchType but not response.patch")


def refusal(name: str, told: Object) -> Object:
    """The Status of a request that a webhook does not allow."""
    code = told.get("code")
    status: Object = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        **{key: told[key] for key in STATUS_FIELDS if told.get(key)},
        "code": code if isinstance(code, int) and 400 <= code <= 599 else 400,
    }
    denied = f'admission webhook "{name}" denied the request'
    said = told.get("message") or told.get("reason")
    status["message"] = f"{denied}: {said}" if said else f"{denied} without explanation"
    return status


def _quoted(text: Any) -> str:
    return json.dumps(text, ensure_ascii=False)

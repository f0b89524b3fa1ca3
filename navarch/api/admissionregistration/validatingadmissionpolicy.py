"""ValidatingAdmissionPolicy: expressions that objects must satisfy to be let in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from navarch.api import conditions
from navarch.api.admissionregistration import expressions, matching, policies
from navarch.api.admissionregistration.expressions import Variables
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.objectmeta import RESET_FOR_STATUS
from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import FieldError, Object, duplicate, invalid_value, required

REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
AUDIT_ANNOTATIONS_LIMIT, AUDIT_EXPRESSION_LIMIT_BYTES = 20, 5 * 1024
_NOTHING = "validations or auditAnnotations must contain at least one item"


def validate(policy: Object) -> Iterator[FieldError]:
    spec = policy["spec"]
    variables, params = Variables(spec.get("variables") or ()), policies.has_params(spec)
    yield from policies.validate(spec, variables)
    validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not validations and not annotations:
        yield required("spec.validations", _NOTHING)
        yield required("spec.auditAnnotations", _NOTHING)
    for index, validation in enumerate(validations):
        yield from _validation(validation, f"spec.validations[{index}]", variables, params)
    yield from _audit_annotations(annotations, meta.name(policy), variables, params)


def _validation(validation: Object, path: str, variables: Variables, params: bool) -> Iterator[FieldError]:
    message, message_expression = validation.get("message") or "", validation.get("messageExpression") or ""
    expression = validation["expression"]
    if not expression.strip():
        yield required(f"{path}.expression", "expression is not specified")
    else:
        environment = variables.within(expressions.environment(params=params))
        yield from expressions.compile_errors(expression, f"{path}.expression", environment, expressions.BOOL)
    if message_expression and not message_expression.strip():
        yield invalid_value(f"{path}.messageExpression", message_expression, "must be non-empty if specified")
    elif message_expression:
        environment = variables.within(expressions.environment(params=params, authorizer=False))
        yield from expressions.compile_errors(message_expression, f"{path}.messageExpression", environment, expressions.TEXT)
    if message and not message.strip():
        yield invalid_value(f"{path}.message", message, "message must be non-empty if specified")
    elif "\n" in message.strip() or "\r" in message.strip():
        yield invalid_value(f"{path}.message", message, "message must not contain line breaks")
    yield from matching.choice(validation.get("reason"), f"{path}.reason", REASONS)


def _audit_annotations(annotations: Sequence[Object], policy: str, variables: Variables, params: bool) -> Iterator[FieldError]:
    if len(annotations) > AUDIT_ANNOTATIONS_LIMIT:
        shown = [{"Key": item["key"], "ValueExpression": item["valueExpression"]} for item in annotations]
        text = f"must not have more than {AUDIT_ANNOTATIONS_LIMIT} auditAnnotations"
        yield invalid_value("spec.auditAnnotations", shown, text)
    seen = set()
    for index, annotation in enumerate(annotations):
        path, key = f"spec.auditAnnotations[{index}]", annotation["key"]
        whole = f"{policy}/{key}"
        yield from (invalid_value(f"{path}.key", whole, text) for text in names.qualified_name(whole))
        expression = annotation["valueExpression"].strip()
        if not expression:
            yield required(f"{path}.valueExpression", "valueExpression is not specified")
        elif len(expression.encode()) > AUDIT_EXPRESSION_LIMIT_BYTES:
            yield required(f"{path}.valueExpression", f"must not exceed {AUDIT_EXPRESSION_LIMIT_BYTES} bytes in length")
        else:
            environment = variables.within(expressions.environment(params=params))
            yield from expressions.compile_errors(
                expression,
                f"{path}.valueExpression",
                environment,
                expressions.TEXT_OR_NULL,
                shown=annotation["valueExpression"],
            )
        if key in seen:
            yield duplicate(f"{path}.key", key)
        seen.add(key)


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    warnings = (status.get("typeChecking") or {}).get("expressionWarnings") or ()
    for index, warning in enumerate(warnings):
        path = f"status.typeChecking.expressionWarnings[{index}]"
        if not warning["warning"]:
            yield required(f"{path}.warning")
        if not warning["fieldRef"].strip():
            yield required(f"{path}.fieldRef")
    yield from conditions.validate(status.get("conditions") or (), "status.conditions")


def row(policy: Object, now: datetime) -> list[Any]:
    return policies.row(policy, policy["spec"].get("validations") or (), now)


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingAdmissionPolicy",
    plural="validatingadmissionpolicies",
    namespaced=False,
    categories=("api-extensions",),
    subresources=("status",),
    default=policies.default,
    validate=validate,
    validate_status_update=validate_status_update,
    warnings=matching.warnings,
    status_keeps_metadata=RESET_FOR_STATUS,
    allow_unconditional_update=False,
    has_generation=True,
    columns=(
        NAME,
        Column("Validations", "integer"),
        policies.PARAM_KIND,
        AGE,
    ),
    row=row,
)

"""MutatingAdmissionPolicy: expressions that say how objects are changed before they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api.admissionregistration import expressions, matching, policies
from navarch.api.admissionregistration.expressions import Variables
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required

OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
"""What is deleted is not changed any more."""
PATCH_FIELDS = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_RESULTS = {"ApplyConfiguration": expressions.APPLY_CONFIGURATION, "JSONPatch": expressions.JSON_PATCH}


def validate(policy: Object) -> Iterator[FieldError]:
    spec = policy["spec"]
    variables, params = Variables(spec.get("variables") or ()), policies.has_params(spec)
    yield from policies.validate(spec, variables, OPERATIONS)
    mutations, reinvocation = spec.get("mutations") or (), spec.get("reinvocationPolicy") or None
    if not mutations:
        yield required("spec.mutations", "mutations must contain at least one item")
    for index, mutation in enumerate(mutations):
        yield from _mutation(mutation, f"spec.mutations[{index}]", variables, params)
    yield from matching.choice(reinvocation, "spec.reinvocationPolicy", matching.REINVOCATION_POLICIES, needed=True)


def _mutation(mutation: Object, path: str, variables: Variables, params: bool) -> Iterator[FieldError]:
    type_ = mutation["patchType"]
    if not type_:
        yield required(f"{path}.patchType")
        return
    if type_ not in PATCH_FIELDS:
        yield not_supported(f"{path}.patchType", type_, tuple(PATCH_FIELDS))
        return
    field = PATCH_FIELDS[type_]
    if mutation.get(field) is None:
        yield required(f"{path}.{field}", f"must be specified when patchType is {type_}")
    elif not (mutation[field].get("expression") or "").strip():
        yield required(f"{path}.{field}.expression")
    else:
        environment = variables.within(expressions.environment(params=params, patches=True))
        expression = mutation[field]["expression"]
        yield from expressions.compile_errors(expression, f"{path}.{field}.expression", environment, _RESULTS[type_])
    for other in PATCH_FIELDS.values():
        if other != field and mutation.get(other) is not None:
            yield invalid_value(f"{path}.{other}", f"{{{other}}}", f"must not be specified when patchType is {type_}")


def row(policy: Object, now: datetime) -> list[Any]:
    return policies.row(policy, policy["spec"].get("mutations") or (), now)


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingAdmissionPolicy",
    plural="mutatingadmissionpolicies",
    namespaced=False,
    categories=("api-extensions",),
    default=policies.default,
    validate=validate,
    warnings=matching.warnings,
    allow_unconditional_update=False,
    has_generation=True,
    columns=(
        NAME,
        Column("Mutations", "integer"),
        policies.PARAM_KIND,
        AGE,
    ),
    row=row,
)

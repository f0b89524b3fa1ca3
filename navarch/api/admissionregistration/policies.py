"""What validating and mutating admission policies have in common, and their bindings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from navarch.api import labelselector, printing
from navarch.api.admissionregistration import expressions, matching
from navarch.api.admissionregistration.expressions import Variables
from navarch.api.kind import AGE, NAME, Column
from navarch.apimachinery import names
from navarch.apimachinery.cel.escaping import KEYWORDS
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported, required

NOT_FOUND_ACTIONS = ("Deny", "Allow")
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*\Z")
_EXCLUSIVE = "name and selector are mutually exclusive"
PARAM_KIND = Column("ParamKind")
BINDING_COLUMNS = (
    NAME,
    Column("PolicyName"),
    Column("ParamRef"),
    AGE,
)


def default(policy: Object) -> Object:
    spec = policy.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    if spec.get("matchConstraints") is not None:
        matching.default_resources(spec["matchConstraints"])
    return policy


def default_binding(binding: Object) -> Object:
    spec = binding.setdefault("spec", {})
    if spec.get("matchResources") is not None:
        matching.default_resources(spec["matchResources"])
    return binding


def validate(spec: Object, variables: Variables, operations: Sequence[str] = matching.OPERATIONS) -> Iterator[FieldError]:
    """What both kinds of policies have in common; `operations`: those that may be matched. `variables` gets the policy's."""
    yield from matching.choice(spec["failurePolicy"], "spec.failurePolicy", matching.FAILURE_POLICIES)
    if spec.get("paramKind") is not None:
        yield from _param_kind(spec["paramKind"])
    match, path = spec.get("matchConstraints"), "spec.matchConstraints"
    if match is None:
        yield required(path)
    else:
        yield from matching.resources(match, path)
        if not match.get("resourceRules"):
            yield required(f"{path}.resourceRules")
        yield from only_operations(match, path, operations)
    yield from matching.conditions(spec.get("matchConditions") or (), "spec.matchConditions", params=has_params(spec))
    for index, variable in enumerate(spec.get("variables") or ()):
        yield from _variable(variable, f"spec.variables[{index}]", variables, has_params(spec))


def has_params(spec: Object) -> bool:
    """Whether expressions may use ``params``."""
    return spec.get("paramKind") is not None


def only_operations(match: Object, path: str, operations: Sequence[str]) -> Iterator[FieldError]:
    """Not all operations may be matched by every policy."""
    if operations == matching.OPERATIONS:
        return
    for rule in match.get("resourceRules") or ():
        for operation in rule.get("operations") or ():
            yield from matching.choice(operation, f"{path}.resourceRules.operations", operations)


def _param_kind(kind: Object) -> Iterator[FieldError]:
    name, path = kind.get("kind") or "", "spec.paramKind.kind"
    yield from _group_version(kind.get("apiVersion") or "", "spec.paramKind.apiVersion")
    problems = ",".join(names.dns1035_label(name.lower()))
    if not name:
        yield required(path)
    elif problems:
        yield invalid_value(path, name, f"may have mixed case, but should otherwise match: {problems}")


def _group_version(api_version: str, path: str) -> Iterator[FieldError]:
    if not api_version:
        yield required(path)
        return
    if api_version.count("/") > 1:
        yield invalid_value(path, api_version, f"unexpected GroupVersion string: {api_version}")
        return
    group, _, version = api_version.rpartition("/")
    problems = ",".join(names.dns1123_subdomain(group))
    if group and problems:
        yield invalid_value(path, group, problems)
    problems = ",".join(names.dns1035_label(version))
    if not version:
        yield invalid_value(path, api_version, "version must be specified")
    elif problems:
        yield invalid_value(path, version, problems)


def _variable(variable: Object, path: str, variables: Variables, params: bool) -> Iterator[FieldError]:
    name = variable["name"]
    if not name.strip():
        yield required(f"{path}.name", "name is not specified")
    elif not _IDENTIFIER.match(name) or name in KEYWORDS:
        yield invalid_value(f"{path}.name", name, "name is not a valid CEL identifier")
    if not variable["expression"].strip():
        yield required(f"{path}.expression", "expression is not specified")
    else:
        yield from variables.add(variable, f"{path}.expression", expressions.environment(params=params))


def validate_binding(spec: Object) -> Iterator[FieldError]:
    """What both kinds of bindings have in common."""
    name = spec.get("policyName") or ""
    if not name:
        yield required("spec.policyName")
    else:
        yield from (invalid_value("spec.policyName", name, text) for text in names.dns1123_subdomain(name))
    if spec.get("paramRef") is not None:
        yield from _param_ref(spec["paramRef"], "spec.paramRef")
    if spec.get("matchResources") is not None:
        yield from matching.resources(spec["matchResources"], "spec.matchResources")


def _param_ref(reference: Object, path: str) -> Iterator[FieldError]:
    name, selector, action = reference.get("name"), reference.get("selector"), reference.get("parameterNotFoundAction")
    if name:
        yield from (invalid_value(f"{path}.name", name, text) for text in names.path_segment(name))
        if selector is not None:
            yield forbidden_field(f"{path}.name", _EXCLUSIVE)
    if selector is not None:
        yield from labelselector.validate(selector, f"{path}.selector")
        if name:
            yield forbidden_field(f"{path}.selector", _EXCLUSIVE)
    if not name and selector is None:
        yield required(path, "one of name or selector must be specified")
    if not action:
        yield required(f"{path}.parameterNotFoundAction")
    elif action not in NOT_FOUND_ACTIONS:
        yield not_supported(f"{path}.parameterNotFoundAction", action, NOT_FOUND_ACTIONS)


def row(policy: Object, items: Iterable[Any], now: datetime) -> list[Any]:
    """`items`: what the policy consists of."""
    kind = policy["spec"].get("paramKind")
    shown = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind is not None else printing.UNSET
    return [policy["metadata"]["name"], len(list(items)), shown, printing.age(policy, now)]


def binding_row(binding: Object, now: datetime) -> list[Any]:
    spec = binding["spec"]
    return [binding["metadata"]["name"], spec["policyName"], _shown(spec.get("paramRef")), printing.age(binding, now)]


def _shown(reference: Object | None) -> str:
    if reference is None:
        return printing.UNSET
    if reference.get("name"):
        return f"{reference.get('namespace') or '*'}/{reference['name']}"
    return printing.selector_fields(reference.get("selector") or {})

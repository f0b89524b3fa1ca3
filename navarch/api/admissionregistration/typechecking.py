"""What is wrong with the expressions of a ValidatingAdmissionPolicy in view of the kinds that it is about.

Such warnings refuse nothing. Rules with wildcards are about too much to be checked, and of the others at most so many kinds are
looked at (k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from navarch.api import schemas
from navarch.api.admissionregistration import expressions
from navarch.api.admissionregistration.expressions import Variables
from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import Schema

if TYPE_CHECKING:
    from navarch.apimachinery.cel.environment import Environment
    from navarch.apimachinery.cel.types import Type

KINDS_LIMIT = 10
TYPES_REMEMBERED = 64
_ANYTHING: Mapping[str, Any] = {"x-kubernetes-int-or-string": True}
"""What expressions take as of any type."""
_SCALARS: Mapping[str, Mapping[str, Any]] = {
    "string": {"type": "string"},
    "quantity": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
    "microtime": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "format": "byte"},
}


def warnings(policy: Object, kinds: Iterable[Kind]) -> list[Object]:
    """ExpressionWarnings; `kinds` are all that are served."""
    spec, known = policy["spec"], list(kinds)
    checked = list(_kinds(spec, known))
    wanted = spec.get("paramKind")
    params = None
    if wanted is not None:
        place = wanted.get("apiVersion"), wanted.get("kind")
        params = next((_type(kind) for kind in known if (kind.api_version, kind.kind) == place), None)
    environments = [(kind, _environment(spec, kind, params)) for kind in checked]
    found = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for name in ("expression", "messageExpression"):
            problems = [*_problems(validation.get(name) or "", environments)] if validation.get(name) else []
            if problems:
                found.append({"fieldRef": f"spec.validations[{index}].{name}", "warning": "\n".join(problems)})
    return found


def _problems(expression: str, environments: list[tuple[Kind, Environment]]) -> Iterator[str]:
    from navarch.apimachinery.cel.errors import CompileError

    for kind, environment in environments:
        try:
            environment.compile(expression)
        except CompileError as error:
            yield f"{kind.group}/{kind.version}, Kind={kind.kind}: {error}\n"


def _environment(spec: Object, kind: Kind, params: Type | None) -> Environment:
    """The variables of expressions, of the types that they have for this kind."""
    type_ = _type(kind)
    has_params = spec.get("paramKind") is not None
    objects = {} if type_ is None else {"object": type_, "oldObject": type_}
    typed = expressions.environment(params=has_params).extend({**objects, **({"params": params} if params else {})})
    variables = Variables(spec.get("variables") or ())
    for variable in spec.get("variables") or ():
        list(variables.add(variable, "", typed))
    return variables.within(typed)


def _kinds(spec: Object, known: list[Kind]) -> list[Kind]:
    """The kinds that the rules name, in the order of their groups, versions and names."""
    found: dict[tuple[str, str, str], Kind] = {}
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
        if any("*" in text for text in (*groups, *versions)):
            continue
        resources = {text for text in rule.get("resources") or () if not {"*", "/"} & set(text)}
        for kind in known:
            if kind.group in groups and kind.version in versions and kind.plural in resources and len(found) < KINDS_LIMIT:
                found[kind.group, kind.version, kind.kind] = kind
    return [kind for _, kind in sorted(found.items())]


@lru_cache(TYPES_REMEMBERED)
def _type(kind: Kind) -> Type | None:
    from navarch.apimachinery.cel import structural

    source = kind.structural if kind.structural is not None else _source(schemas.of(kind), frozenset())
    return structural.object_type(source, kind.kind, root=True)


def _source(schema: Schema, within: frozenset[str]) -> Mapping[str, Any]:
    """A built-in schema as a custom resource would have it. What is inside of itself may be anything."""
    match schema.type:
        case "struct" if schema.name and schema.name in within:
            return _ANYTHING
        case "struct":
            inside = within | {schema.name}
            return {"type": "object", "properties": {key: _source(node, inside) for key, node in schema.properties.items()}}
        case "map":
            return {"type": "object", "additionalProperties": _source(schema.element, within)}
        case "list":
            return {"type": "array", "items": _source(schema.element, within)}
    return _SCALARS.get(schema.type, _ANYTHING)

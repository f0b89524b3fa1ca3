"""Expressions of policies and match conditions: what they may use, and compiling them.

Compiling is loaded when the first expression comes: most servers start without any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from navarch.apimachinery.errors import FieldError, Object, invalid_value

if TYPE_CHECKING:
    from navarch.apimachinery.cel.environment import Environment
    from navarch.apimachinery.cel.types import Field, Type

BOOL, TEXT, TEXT_OR_NULL = ("bool",), ("string",), ("string", "null_type")
APPLY_CONFIGURATION, JSON_PATCH = ("Object",), ("list(JSONPatch)",)


class Variables:
    """The variables of a policy, which later ones and what follows them can use as ``variables.NAME``."""

    def __init__(self, found: Sequence[Object]) -> None:
        self.declared = bool(found)
        self._fields: dict[str, Field] = {}

    def add(self, variable: Object, path: str, environment: Environment) -> Iterator[FieldError]:
        """Compile one, which may use those before it."""
        from navarch.apimachinery.cel import types
        from navarch.apimachinery.cel.errors import CompileError

        type_ = types.DYN
        try:
            type_ = _declared(self.within(environment).compile(variable["expression"]).type)
        except CompileError as error:
            yield invalid_value(path, variable["expression"], f"compilation failed: {error}")
        self._fields[variable["name"]] = types.Field(type_, variable["name"])

    def within(self, environment: Environment) -> Environment:
        """The environment with these variables."""
        from navarch.apimachinery.cel import types

        if not self.declared:
            return environment
        return environment.extend({"variables": types.object_of("kubernetes.variables", dict(self._fields))})


def _declared(found: Type) -> Type:
    """What a variable is taken to be of: objects and the like are of no type that is known."""
    from navarch.apimachinery.cel import types

    if found.kind in ("list", "map"):
        parameters = [_declared(each) for each in found.parameters]
        return types.list_of(*parameters) if found.kind == "list" else types.map_of(*parameters)
    return types.DYN if found.kind in ("object", "opaque", "null", "type") else found


def compile_errors(
    expression: str, path: str, environment: Environment, wanted: Sequence[str], shown: str | None = None
) -> Iterator[FieldError]:
    """Why it is no expression of this environment whose value is of a wanted type. Errors show `shown`, if that is given."""
    from navarch.apimachinery.cel.errors import CompileError

    try:
        found = environment.compile(expression).type.declared
    except CompileError as error:
        yield invalid_value(path, shown or expression, f"compilation failed: {error}")
        return
    if found not in wanted:
        one = wanted[0] if len(wanted) == 1 else f"one of [{' '.join(wanted)}]"
        yield invalid_value(path, shown or expression, f"must evaluate to {one} but got {found}")


@lru_cache(maxsize=8)
def environment(*, params: bool, authorizer: bool = True, patches: bool = False) -> Environment:
    """Of expressions about a request: `params` if there are some, `patches` if they say how to change the object."""
    from navarch.apimachinery.cel import types
    from navarch.apimachinery.cel.environment import KUBERNETES, Environment
    from navarch.apimachinery.cel.libraries import jsonpatch
    from navarch.apimachinery.cel.libraries.authorizer import Authorizer, ResourceCheck

    variables = {
        "object": types.DYN,
        "oldObject": types.DYN,
        "namespaceObject": _object("kubernetes.Namespace", _NAMESPACE),
        "request": _object("kubernetes.AdmissionRequest", _REQUEST),
    }
    if params:
        variables["params"] = types.DYN
    if authorizer:
        variables["authorizer"] = Authorizer.cel_type
        variables["authorizer.requestResource"] = ResourceCheck.cel_type
    if not patches:
        return Environment(variables)
    return Environment(variables, (*KUBERNETES, jsonpatch.LIBRARY), _objects())


# Names of fields and their types, of objects by their own table.
Table = Mapping[str, "str | tuple[str, Table]"]
_KIND: Table = {"group": "string", "version": "string", "kind": "string"}
_RESOURCE: Table = {"group": "string", "version": "string", "resource": "string"}
_REQUEST: Table = {
    "kind": ("kubernetes.GroupVersionKind", _KIND),
    "resource": ("kubernetes.GroupVersionResource", _RESOURCE),
    "subResource": "string",
    "requestKind": ("kubernetes.GroupVersionKind", _KIND),
    "requestResource": ("kubernetes.GroupVersionResource", _RESOURCE),
    "requestSubResource": "string",
    "name": "string",
    "namespace": "string",
    "operation": "string",
    "userInfo": (
        "kubernetes.UserInfo",
        {"username": "string", "uid": "string", "groups": "list(string)", "extra": "map(string, list(string))"},
    ),
    "dryRun": "bool",
    "options": "dyn",
}
_CONDITION: Table = {
    "status": "string",
    "type": "string",
    "lastTransitionTime": "timestamp",
    "message": "string",
    "reason": "string",
}
_NAMESPACE: Table = {
    "metadata": (
        "kubernetes.NamespaceMetadata",
        {
            "name": "string",
            "generateName": "string",
            "namespace": "string",
            "labels": "map(string, string)",
            "annotations": "map(string, string)",
            "UID": "string",
            "creationTimestamp": "timestamp",
            "deletionGracePeriodSeconds": "int",
            "deletionTimestamp": "timestamp",
            "generation": "int",
            "resourceVersion": "string",
            "finalizers": "list(string)",
        },
    ),
    "spec": ("kubernetes.NamespaceSpec", {"finalizers": "list(string)"}),
    "status": (
        "kubernetes.NamespaceStatus",
        {"conditions": ("list:kubernetes.NamespaceCondition", _CONDITION), "phase": "string"},
    ),
}


def _object(name: str, table: Table) -> Type:
    from navarch.apimachinery.cel import types

    return types.object_of(name, {field: types.Field(_type(what), _KEYS.get(field, field)) for field, what in table.items()})


_KEYS = {"UID": "uid"}


def _type(what: str | tuple[str, Table]) -> Type:
    from dataclasses import replace

    from navarch.apimachinery.cel import moments, types
    from navarch.apimachinery.cel.declarations import parse_type

    if isinstance(what, tuple):
        name, table = what
        return types.list_of(_object(name[5:], table)) if name.startswith("list:") else _object(name, table)
    found = parse_type(what)
    return replace(found, convert=moments.parse_timestamp) if found == types.TIMESTAMP else found


def _objects() -> Mapping[str, Type]:
    """``Object``, ``Object.spec`` … whatever they are called: what a policy applies may have any fields."""
    from navarch.apimachinery.cel import types

    class Fields(Mapping[str, types.Field]):
        def __getitem__(self, name: str) -> types.Field:
            return types.Field(types.DYN, name)

        def __iter__(self) -> Iterator[str]:
            return iter(())

        def __len__(self) -> int:
            return 0

    class Objects(Mapping[str, types.Type]):
        def __getitem__(self, name: str) -> types.Type:
            if name != "Object" and not name.startswith("Object."):
                raise KeyError(name)
            return types.object_of(name, Fields())

        def __iter__(self) -> Iterator[str]:
            return iter(("Object",))

        def __len__(self) -> int:
            return 1

    return Objects()

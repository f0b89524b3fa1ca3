"""Structs as errors show them: as Kubernetes' internal types, which name their fields as Go does and write all of them."""

from __future__ import annotations

import json
from typing import Any

from navarch.api import gotypes, schemas
from navarch.apimachinery.errors import FieldError, Object
from navarch.apimachinery.schema import Schema

_DEFINITIONS = "io.k8s.api.resource.v1."
# Where Go's name is not the JSON one with a capital.
_NAMES = {"cel": "CEL", "apiGroup": "APIGroup", "uid": "UID", "ips": "IPs"}
_ATTRIBUTE_SUFFIXES = {"Values": ("ints", "bools", "strings", "versions"), "Value": ("int", "bool", "string", "version")}
_ATTRIBUTE_NAMES = {
    name: name.removesuffix("s").capitalize() + suffix for suffix, names in _ATTRIBUTE_SUFFIXES.items() for name in names
}
# Go's encoder takes care of HTML.
_ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
_ZEROS = {"string": "", "integer": 0, "boolean": False, "quantity": "0"}


def invalid_struct(path: str, value: Object, definition: str, detail: str) -> FieldError:
    """That the value of a field is invalid which has a type of resource.k8s.io/v1."""
    return invalid_internal(path, internal(value, definition), detail)


def invalid_internal(path: str, value: Any, detail: str) -> FieldError:
    """The same of a value in its internal form."""
    return shown_internal("FieldValueInvalid", path, "Invalid value", value, detail)


def shown_internal(reason: str, path: str, what: str, value: Any, detail: str = "") -> FieldError:
    """An error that shows such a value."""
    shown = json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED)
    return FieldError(reason, path, f"{what}: {shown}" + (f": {detail}" if detail else ""))


def internal(value: Object, definition: str) -> Object:
    found: Object = _form(value, schemas.definitions().get(_DEFINITIONS + definition))
    return found


def _form(value: Any, schema: Schema) -> Any:
    match schema.type:
        case "struct":
            return _struct(value or {}, schema)
        case "list":
            return None if value is None else [_form(item, schema.element) for item in value]
        case "map":
            return None if value is None else {key: _form(item, schema.element) for key, item in sorted(value.items())}
    return _ZEROS.get(schema.type) if value is None else value


def _struct(value: Object, schema: Schema) -> Object:
    names = _ATTRIBUTE_NAMES if schema.name == f"{_DEFINITIONS}DeviceAttribute" else _NAMES
    found: Object = {}
    for field, is_pointer in gotypes.pointers(schema.name).items():
        name = names.get(field) or field[0].upper() + field[1:]
        absent = is_pointer and value.get(field) is None
        found[name] = None if absent else _form(value.get(field), schema.properties[field])
    return found

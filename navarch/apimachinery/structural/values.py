"""Values checked against a schema, with the words and the order of errors of k8s.io/kube-openapi/pkg/validation/validate.

Of several alternatives (anyOf, oneOf) that all fail, the errors of the one are told that most checks were passed of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from navarch.apimachinery import errors, gopattern
from navarch.apimachinery.errors import FieldError
from navarch.apimachinery.structural import formats
from navarch.apimachinery.structural.walking import INT_OR_STRING, LIST_MAP_KEYS, LIST_TYPE, Schema, items, properties, values

MISSING: Any = object()
"""Stands for what was not there before, or of which that cannot be told."""
NOWHERE = "<nil>"
"""Where an error is that belongs to no field: what Go makes of a path that is not there."""
_INT32 = 1 << 31


class _Result:
    """What is wrong, and how many checks were made: of all that fail, the alternative is the best that got furthest."""

    __slots__ = ("checks", "errors")

    def __init__(self, *found: FieldError) -> None:
        self.errors: list[FieldError] = list(found)
        self.checks = 0

    def add(self, *found: FieldError) -> None:
        self.errors += [error for error in found if error not in self.errors]

    def merge(self, other: _Result | None) -> None:
        if other is not None:
            self.add(*other.errors)
            self.checks += other.checks


def validate(value: Any, schema: Schema, path: str = "", old: Any = None) -> list[FieldError]:
    """What is wrong with a value at a path ("" is an object's root).

    What is as it was in `old` is let be: rules may have become stricter since.
    """
    return _validate(value, schema, path, MISSING if old is None else old).errors


def _at(path: str) -> str:
    return path or NOWHERE


def _types(schema: Schema) -> tuple[str, ...]:
    if schema.get(INT_OR_STRING):
        return "integer", "string"
    type_ = schema.get("type")
    return (type_,) if type_ else ()


def _format(schema: Schema, types: tuple[str, ...]) -> str:
    form = str(schema.get("format") or "")
    return form if form and formats.is_known(types[0] if len(types) == 1 else "", form) else ""


def _validate(value: Any, schema: Schema, path: str, old: Any) -> _Result:
    result = _Result()
    if old is not MISSING and same(value, old):
        return result
    types = _types(schema)
    form = _format(schema, types)
    if value is None:
        if types and not schema.get("nullable"):
            result.add(_wrong_type(path, ",".join(types), "null"))
        result.merge(_enum(value, schema, path))
        return result
    if types or form:
        result.merge(_type(value, types, form, path))
        result.checks += 1
    result.merge(_junctors(value, schema, path, old))
    result.checks += 1
    if isinstance(value, str):
        result.merge(_string(value, schema, path))
        result.checks += 1
        if form:
            if not formats.matches(form, value):
                result.add(_wrong_type(path, form, value))
            result.checks += 1
    elif isinstance(value, int | float) and not isinstance(value, bool):
        result.merge(_number(value, schema, path, types, form))
        result.checks += 1
    elif isinstance(value, list):
        result.merge(_list(value, schema, path, old))
        result.checks += 1
    result.merge(_enum(value, schema, path))
    result.checks += 1
    if isinstance(value, dict):
        result.merge(_object(value, schema, path, old))
        result.checks += 1
    result.checks += 1
    return result


def _wrong_type(path: str, wanted: str, found: Any) -> FieldError:
    told = f": {json.dumps(found, ensure_ascii=False)}" if isinstance(found, str) else ""
    return errors.type_invalid(_at(path), found, f"{path} in body must be of type {wanted}{told}")


def _invalid(path: str, value: Any, text: str) -> FieldError:
    return errors.invalid_value(_at(path), value, f"{path} in body {text}")


# Types

_JSON_TYPES: tuple[tuple[type, str, str], ...] = (
    (bool, "boolean", ""),
    (str, "string", ""),
    (int, "integer", "int64"),
    (float, "number", "float64"),
    (list, "array", ""),
    (dict, "object", ""),
)


def _type(value: Any, types: tuple[str, ...], form: str, path: str) -> _Result:
    result = _Result()
    result.checks += 1
    found, found_form = next((name, form) for type_, name, form in _JSON_TYPES if isinstance(value, type_))
    is_float_integer = found == "number" and float(value).is_integer() and "integer" in types
    is_integer_float = found == "integer" and "number" in types
    fits = found in types or is_float_integer or is_integer_float
    if found not in ("string", "array") and form and not fits:
        return _Result(_wrong_type(path, form, found_form))
    if form and found in ("string", "array") and not ("number" in types or "integer" in types):
        return result
    if not fits:
        return _Result(_wrong_type(path, ",".join(types), found))
    return result


# Scalars


def _string(value: str, schema: Schema, path: str) -> _Result | None:
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is not None and len(value) > longest:
        return _Result(errors.too_long(_at(path), longest))
    if shortest is not None and len(value) < shortest:
        return _Result(_invalid(path, value, f"should be at least {shortest} chars long"))
    if pattern and not gopattern.matcher(pattern)(value):
        return _Result(_invalid(path, value, f"should match '{pattern}'"))
    return None


def _go_number(number: float) -> str:
    """As %v."""
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e21 else repr(number)


def _number(value: int | float, schema: Schema, path: str, types: tuple[str, ...], form: str) -> _Result:
    result = _Result()
    if form == "int32" and types == ("integer",) and not -_INT32 <= value < _INT32:
        text = f"Checked value must be of type integer with format int32 in {path}"
        result.add(errors.invalid_value(NOWHERE, "", text))
    multiple, least, most = (schema.get(name) for name in ("multipleOf", "minimum", "maximum"))
    is_integer = isinstance(value, int)
    bounds: Callable[[Any], Any] = int if is_integer else float
    if multiple is not None and (value % bounds(multiple) if is_integer else not float(value / multiple).is_integer()):
        result.add(_invalid(path, value, f"should be a multiple of {_go_number(bounds(multiple))}"))
    if least is not None:
        exclusive, least = bool(schema.get("exclusiveMinimum")), bounds(least)
        if value < least or (exclusive and value == least):
            words = "greater than" if exclusive else "greater than or equal to"
            result.add(_invalid(path, value, f"should be {words} {_go_number(least)}"))
    if most is not None:
        exclusive, most = bool(schema.get("exclusiveMaximum")), bounds(most)
        if value > most or (exclusive and value == most):
            words = "less than" if exclusive else "less than or equal to"
            result.add(_invalid(path, value, f"should be {words} {_go_number(most)}"))
    result.checks += 1
    return result


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; true is not 1, but 1.0 is."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _enum(value: Any, schema: Schema, path: str) -> _Result | None:
    choices = schema.get("enum")
    if not choices or any(choice is not None and same(value, choice) for choice in choices):
        return None
    shown = [
        choice if isinstance(choice, str) else json.dumps(choice, ensure_ascii=False, separators=(",", ":"))
        for choice in choices
    ]
    return _Result(errors.not_supported(_at(path), value, shown))


# Lists and objects


def _list(value: list[Any], schema: Schema, path: str, old: Any) -> _Result:
    result, item = _Result(), items(schema)
    if item is not None:
        before = _keyed(old, schema)
        for index, below in enumerate(value):
            result.merge(_validate(below, item, f"{path}[{index}]", before.get(_key(below, schema), MISSING)))
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        result.add(_invalid(path, len(value), f"should have at least {least} items"))
    if most is not None and len(value) > most:
        result.add(errors.too_many(_at(path), len(value), most))
    result.checks += 1
    return result


def _key(item: Any, schema: Schema) -> bytes:
    """What tells an item of a map from the others; b"" where nothing does."""
    if schema.get(LIST_TYPE) != "map" or not isinstance(item, dict):
        return b""
    return orjson.dumps([item.get(name) for name in schema.get(LIST_MAP_KEYS) or ()])


def _keyed(old: Any, schema: Schema) -> dict[bytes, Any]:
    """The items that there were, by their keys: only those of maps are known again."""
    if schema.get(LIST_TYPE) != "map" or not isinstance(old, list):
        return {}
    return {_key(item, schema): item for item in old}


def _object(value: dict[str, Any], schema: Schema, path: str, old: Any) -> _Result:
    before = old if isinstance(old, dict) else {}
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    result, known, others = _Result(), properties(schema), values(schema)
    if least is not None and len(value) < least:
        result.add(_invalid(path, len(value), f"should have at least {least} properties"))
    if most is not None and len(value) > most:
        result.add(errors.too_many(_at(path), len(value), most))
    if schema.get("additionalProperties") is False:
        for key in sorted(value.keys() - known.keys()):
            result.add(errors.invalid_value(_at(path), key, f"{path}.{key} in body is a forbidden property"))
    elif others is not None:
        for key in sorted(value.keys() - known.keys()):
            result.merge(_validate(value[key], others, f"{path}.{key}" if path else key, before.get(key, MISSING)))
    for key, below in sorted(known.items()):
        if key in value:
            result.merge(_validate(value[key], below, f"{path}.{key}" if path else key, before.get(key, MISSING)))
    for key in schema.get("required") or ():
        if key not in value:
            result.add(errors.required(f"{path}.{key}" if path else key))
    return result


# Several schemas at once


def _whole(path: str, text: str) -> FieldError:
    return errors.invalid_value(NOWHERE, "", f"{json.dumps(path, ensure_ascii=False)} {text}")


def _best(failed: Iterable[_Result]) -> _Result | None:
    """The one that got furthest; of several, the first."""
    return max(failed, key=lambda result: result.checks, default=None)


def _junctors(value: Any, schema: Schema, path: str, old: Any) -> _Result:
    result = _Result()
    if schema.get("anyOf"):
        result.merge(_any_of(value, schema["anyOf"], path, old))
    if schema.get("oneOf"):
        result.merge(_one_of(value, schema["oneOf"], path, old))
    if schema.get("allOf"):
        found = [_validate(value, below, path, old) for below in schema["allOf"]]
        for each in found:
            result.merge(each)
        failed = sum(bool(each.errors) for each in found)
        if failed:
            result.add(_whole(path, "must validate all the schemas (allOf)" + (". None validated" * (failed == len(found)))))
    if schema.get("not") is not None and not _validate(value, schema["not"], path, MISSING).errors:
        result.add(_whole(path, "must not validate the schema (not)"))
    result.checks += 1
    return result


def _any_of(value: Any, schemas: list[Schema], path: str, old: Any) -> _Result:
    failed = []
    for schema in schemas:
        found = _validate(value, schema, path, old)
        if not found.errors:
            return found
        failed.append(found)
    result = _Result(_whole(path, "must validate at least one schema (anyOf)"))
    result.merge(_best(failed))
    return result


def _one_of(value: Any, schemas: list[Schema], path: str, old: Any) -> _Result:
    found = [_validate(value, schema, path, old) for schema in schemas]
    valid = [each for each in found if not each.errors]
    if len(valid) == 1:
        return valid[0]
    told = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
    result = _Result(_whole(path, f"must validate one and only one schema (oneOf). {told}"))
    if not valid:
        result.merge(_best(found))
    return result

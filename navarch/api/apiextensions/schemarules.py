"""What a schema of a CustomResourceDefinition may say (apiextensions-apiserver/pkg/apis/apiextensions/validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from navarch.api.apiextensions import goforms, schemadefaults
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported, required
from navarch.apimachinery.structural import fieldpath, invariants
from navarch.apimachinery.structural.walking import (
    EMBEDS,
    LIST_MAP_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    META_FIELDS,
    PRESERVES,
    RULES,
    Schema,
    has_rules,
    items,
    properties,
)

TYPES = ("array", "boolean", "integer", "number", "object", "string")
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
# With a status of its own, what the root says must not be lost where the status is taken out of it.
_WITH_STATUS = (
    *("Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum", "MaxLength"),
    *("MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items", "Properties"),
    *("ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations"),
)
_NEWLINES = re.compile(r"[\n\r]+")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the whole a schema stands."""

    is_root: bool = False
    is_meta: bool = False
    """Whether it is about an object's apiVersion, kind or metadata."""
    no_defaults: str | None = None
    """Why there may be no default, or None if there may."""


def validate(validation: Object, path: str, *, has_status: bool) -> list[FieldError]:
    """What is wrong with a version's ``schema``."""
    schema: Schema | None = validation.get("openAPIV3Schema")
    if schema is None:
        return []
    where = f"{path}.openAPIV3Schema"
    found = list(_root(schema, where)) if has_status else []
    if schema.get("nullable"):
        found.append(forbidden_field(f"{where}.nullable", "nullable cannot be true at the root"))
    unreadable, shape = invariants.unreadable(schema), list[FieldError]()
    if unreadable is None:
        shape = invariants.problems(schema, where) or schemadefaults.problems(schema, where)
    own = list(_schema(schema, where, _Place(is_root=True)))
    found += [*shape, *own]
    if unreadable is None and not shape and has_rules(schema):
        # Whoever has no rules need not load the language.
        from navarch.api.apiextensions import ruledefinitions

        found += ruledefinitions.problems(schema, where, (error.field for error in own))
    if not found and unreadable is not None:
        found.append(invalid_value(where, "", unreadable))
    return found


def _root(schema: Schema, path: str) -> Iterator[FieldError]:
    for name, field, zero in goforms.SCHEMA:
        value = schema.get(field, zero)
        if value == zero:
            continue
        if name == "Type":
            if value != "object":
                text = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
                yield invalid_value(f"{path}.type", value, text)
                return
        elif name not in _WITH_STATUS:
            allowed = f"only [{' '.join(_WITH_STATUS)}] fields are allowed at the root of the schema"
            text = f"{allowed} if the status subresource is enabled"
            yield goforms.invalid_schema(path, schema, text)
            return


def _schema(schema: Schema, path: str, place: _Place) -> Iterator[FieldError]:
    yield from _own(schema, path, place)
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden_field(f"{path}.uniqueItems", text)
    yield from _maps(schema, path, place)
    plain = replace(place, is_root=False)
    if schema.get("not") is not None:
        yield from _schema(schema["not"], f"{path}.not", plain)
    for name in ("allOf", "oneOf", "anyOf"):
        for index, below in enumerate(schema.get(name) or ()):
            yield from _schema(below, f"{path}.{name}[{index}]", plain)
    for key, below in sorted((schema.get("definitions") or {}).items()):
        yield from _schema(below, f"{path}.definitions[{key}]", plain)
    each = items(schema)
    if each is not None:
        yield from _schema(each, f"{path}.items", plain)
    for index, below in enumerate(schema["items"] if isinstance(schema.get("items"), list) else ()):
        yield from _schema(below, f"{path}.items[{index}]", plain)
    yield from _extensions(schema, path)
    for index, rule in enumerate(schema.get(RULES) or ()):
        yield from _rule(rule, schema, f"{path}.{RULES}[{index}]")


def _own(schema: Schema, path: str, place: _Place) -> Iterator[FieldError]:
    type_ = schema.get("type", "")
    if type_ and type_ not in TYPES:
        yield not_supported(f"{path}.type", type_, TYPES)
    if "default" in schema and place.no_defaults is not None:
        yield forbidden_field(f"{path}.default", f"must not be set {place.no_defaults}".rstrip())
    for field in _UNSUPPORTED:
        if field in schema:
            yield forbidden_field(f"{path}.{field}", f"{field} is not supported")
    if type_ == "null":
        yield forbidden_field(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list):
        yield forbidden_field(f"{path}.items", "items must be a schema object and not an array")
    if place.is_meta and schema.get(EMBEDS):
        yield forbidden_field(f"{path}.{EMBEDS}", "must not be used inside of resource meta")


def _maps(schema: Schema, path: str, place: _Place) -> Iterator[FieldError]:
    others, known = schema.get("additionalProperties"), properties(schema)
    if others is not None:
        if known and others is not True:
            text = "additionalProperties and properties are mutual exclusive"
            yield forbidden_field(f"{path}.additionalProperties", text)
        if isinstance(others, dict):
            below = replace(place, is_root=False)
            if place.is_meta:
                # Whether such a default is pruned cannot be said without a value.
                below = replace(below, no_defaults="inside additionalProperties applying to object metadata")
            yield from _schema(others, f"{path}.additionalProperties", below)
    for key, child in sorted(known.items()):
        below = replace(place, is_root=False)
        if (place.is_root or schema.get(EMBEDS)) and key in META_FIELDS:
            below = replace(below, is_meta=True)
            if place.is_root:
                below = replace(below, no_defaults=f"in top-level {key}")
        yield from _schema(child, f"{path}.properties[{key}]", below)


# Extensions


def _extensions(schema: Schema, path: str) -> Iterator[FieldError]:
    if schema.get(PRESERVES) is False:
        yield invalid_value(f"{path}.{PRESERVES}", False, "must be true or undefined")
    map_type, type_ = schema.get(MAP_TYPE), schema.get("type", "")
    if map_type is not None:
        if type_ != "object":
            yield _wrong_type(f"{path}.type", type_, f"must be object if {MAP_TYPE} is specified")
        if map_type not in ("atomic", "granular"):
            yield not_supported(f"{path}.{MAP_TYPE}", map_type, ("atomic", "granular"))
    list_type, keys = schema.get(LIST_TYPE), schema.get(LIST_MAP_KEYS) or []
    if list_type is not None and type_ != "array":
        yield _wrong_type(f"{path}.type", type_, f"must be array if {LIST_TYPE} is specified")
    elif list_type == "set":
        yield from _set(items(schema), f"{path}.items")
    if list_type not in (None, "atomic", "set", "map"):
        yield not_supported(f"{path}.{LIST_TYPE}", list_type, ("atomic", "set", "map"))
    if keys and list_type != "map":
        text = f"must be map if {LIST_MAP_KEYS} is non-empty"
        yield _wrong_type(f"{path}.{LIST_TYPE}", list_type or "", text)
    if list_type == "map":
        yield from _map(schema, keys, path)
    if list_type in ("set", "map"):
        yield from _associative(schema, list_type, keys, path)


def _wrong_type(path: str, found: str, text: str) -> FieldError:
    return invalid_value(path, found, text) if found else required(path, text)


def _set(item: Schema | None, path: str) -> Iterator[FieldError]:
    """The items of a set are compared as a whole."""
    if item is None:
        return
    text = f"must be atomic as item of a list with {LIST_TYPE}=set"
    if item.get("type") == "array" and item.get(LIST_TYPE, "atomic") != "atomic":
        yield invalid_value(f"{path}.{LIST_TYPE}", item[LIST_TYPE], text)
    elif item.get("type") == "object" and item.get(MAP_TYPE) != "atomic":
        # Upstream shows the list's type here.
        yield invalid_value(f"{path}.{MAP_TYPE}", item.get(LIST_TYPE), text)


def _map(schema: Schema, keys: list[str], path: str) -> Iterator[FieldError]:
    if not keys:
        yield required(f"{path}.{LIST_MAP_KEYS}", f"must not be empty if {LIST_TYPE} is map")
    if "items" not in schema:
        yield required(f"{path}.items", f"must have a schema if {LIST_TYPE} is map")
        return
    item = items(schema)
    if item is None:
        yield invalid_value(f"{path}.items", schema["items"], f"must only have a single schema if {LIST_TYPE} is map")
        return
    type_ = item.get("type", "")
    if type_ != "object":
        yield invalid_value(f"{path}.items.type", type_, f"must be object if parent array's {LIST_TYPE} is map")
        return
    seen: set[str] = set()
    for key in keys:
        child = properties(item).get(key)
        if child is None:
            yield invalid_value(f"{path}.{LIST_MAP_KEYS}", keys, "entries must all be names of item properties")
        elif child.get("type") in ("array", "object"):
            text = f"must be a scalar type if parent array's {LIST_TYPE} is map"
            # Upstream shows the type of the item.
            yield invalid_value(f"{path}.items.properties[{key}].type", type_, text)
        if key in seen:
            yield invalid_value(f"{path}.{LIST_MAP_KEYS}", keys, "must not contain duplicate entries")
        seen.add(key)


def _associative(schema: Schema, list_type: str, keys: list[str], path: str) -> Iterator[FieldError]:
    """Of sets and maps: what may not be null or missing."""
    item = items(schema)
    if item is None:
        return
    if item.get("nullable"):
        yield forbidden_field(f"{path}.items.nullable", f"cannot be nullable when {LIST_TYPE} is {list_type}")
    if list_type != "map":
        return
    for key in keys:
        child = properties(item).get(key)
        if child is None:
            continue
        where, said = f"{path}.items.properties[{key}]", f"this property is in {LIST_MAP_KEYS}, so it"
        if key not in (item.get("required") or ()) and "default" not in child:
            yield required(f"{where}.default", f"{said} must have a default or be a required property")
        if child.get("nullable"):
            yield forbidden_field(f"{where}.nullable", f"{said} cannot be nullable")


# Rules


def _rule(rule: Object, schema: Schema, path: str) -> Iterator[FieldError]:
    """The form of a rule."""
    text, message = rule.get("rule", "").strip(), rule.get("message", "")
    if not text:
        yield required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid_value(f"{path}.message", message, "must be non-empty if specified")
    elif _NEWLINES.search(message.strip()):
        yield invalid_value(f"{path}.message", message, "must not contain line breaks")
    elif _NEWLINES.search(text) and not message.strip():
        yield required(f"{path}.message", "message must be specified if rule contains line breaks")
    expression = rule.get("messageExpression", "")
    if expression and not expression.strip():
        yield required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    if "reason" in rule and rule["reason"] not in REASONS:
        yield not_supported(f"{path}.reason", rule["reason"], REASONS)
    field = rule.get("fieldPath", "")
    if field and not field.strip():
        yield invalid_value(f"{path}.fieldPath", field, "must be non-empty if specified")
    if _NEWLINES.search(field):
        yield invalid_value(f"{path}.fieldPath", field, "must not contain line breaks")
    if field and not _leads_somewhere(field, schema):
        yield invalid_value(f"{path}.fieldPath", field, "must be a valid path")


def _leads_somewhere(path: str, schema: Schema) -> bool:
    try:
        fieldpath.resolve(path, schema)
    except ValueError:
        return invariants.unreadable(schema) is not None
    return True

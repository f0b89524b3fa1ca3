"""Parts of a CustomResourceDefinition as error messages show them: the API's Go types written out, field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from navarch.apimachinery.errors import FieldError, Object

# (name in Go, name in JSON, what stands where nothing is), in Go's order.
_Fields = Sequence[tuple[str, str, Any]]
SCHEMA: _Fields = (
    ("ID", "id", ""),
    ("Schema", "$schema", ""),
    ("Ref", "$ref", None),
    ("Description", "description", ""),
    ("Type", "type", ""),
    ("Nullable", "nullable", False),
    ("Format", "format", ""),
    ("Title", "title", ""),
    ("Default", "default", None),
    ("Maximum", "maximum", None),
    ("ExclusiveMaximum", "exclusiveMaximum", False),
    ("Minimum", "minimum", None),
    ("ExclusiveMinimum", "exclusiveMinimum", False),
    ("MaxLength", "maxLength", None),
    ("MinLength", "minLength", None),
    ("Pattern", "pattern", ""),
    ("MaxItems", "maxItems", None),
    ("MinItems", "minItems", None),
    ("UniqueItems", "uniqueItems", False),
    ("MultipleOf", "multipleOf", None),
    ("Enum", "enum", None),
    ("MaxProperties", "maxProperties", None),
    ("MinProperties", "minProperties", None),
    ("Required", "required", None),
    ("Items", "items", None),
    ("AllOf", "allOf", None),
    ("OneOf", "oneOf", None),
    ("AnyOf", "anyOf", None),
    ("Not", "not", None),
    ("Properties", "properties", None),
    ("AdditionalProperties", "additionalProperties", None),
    ("PatternProperties", "patternProperties", None),
    ("Dependencies", "dependencies", None),
    ("AdditionalItems", "additionalItems", None),
    ("Definitions", "definitions", None),
    ("ExternalDocs", "externalDocs", None),
    ("Example", "example", None),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", None),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", False),
    ("XIntOrString", "x-kubernetes-int-or-string", False),
    ("XListMapKeys", "x-kubernetes-list-map-keys", None),
    ("XListType", "x-kubernetes-list-type", None),
    ("XMapType", "x-kubernetes-map-type", None),
    ("XValidations", "x-kubernetes-validations", None),
)
_VERSION: _Fields = (
    ("Name", "name", ""),
    ("Served", "served", False),
    ("Storage", "storage", False),
    ("Deprecated", "deprecated", False),
    ("DeprecationWarning", "deprecationWarning", None),
    ("Schema", "schema", None),
    ("Subresources", "subresources", None),
    ("AdditionalPrinterColumns", "additionalPrinterColumns", None),
    ("SelectableFields", "selectableFields", None),
)
_SUBRESOURCES: _Fields = (("Status", "status", None), ("Scale", "scale", None))
_SCALE: _Fields = (
    ("SpecReplicasPath", "specReplicasPath", ""),
    ("StatusReplicasPath", "statusReplicasPath", ""),
    ("LabelSelectorPath", "labelSelectorPath", None),
)
_COLUMN: _Fields = (
    ("Name", "name", ""),
    ("Type", "type", ""),
    ("Format", "format", ""),
    ("Description", "description", ""),
    ("Priority", "priority", 0),
    ("JSONPath", "jsonPath", ""),
)
_SELECTABLE: _Fields = (("JSONPath", "jsonPath", ""),)
_DOCS: _Fields = (("Description", "description", ""), ("URL", "url", ""))
_RULE: _Fields = (
    ("Rule", "rule", ""),
    ("Message", "message", ""),
    ("MessageExpression", "messageExpression", ""),
    ("Reason", "reason", None),
    ("FieldPath", "fieldPath", ""),
    ("OptionalOldSelf", "optionalOldSelf", None),
)


def _struct(value: Object, fields: _Fields, below: Mapping[str, Any]) -> Object:
    return {
        go: below[name](value[name]) if name in value and name in below else value.get(name, zero) for go, name, zero in fields
    }


def _each(shape: Any) -> Any:
    return lambda value: [shape(item) for item in value]


def _mapped(value: Object) -> Object:
    return {key: _schema(item) for key, item in sorted(value.items())}


def _or_bool(value: Any) -> Object:
    return {"Allows": True if isinstance(value, dict) else value, "Schema": _schema(value) if isinstance(value, dict) else None}


def _or_list(value: Any) -> Object:
    if isinstance(value, list):
        return {"Schema": None, "JSONSchemas": [_schema(item) for item in value]}
    return {"Schema": _schema(value), "JSONSchemas": None}


def _schema(value: Object) -> Object:
    return _struct(value, SCHEMA, _SCHEMA_BELOW)


_SCHEMA_BELOW: Mapping[str, Any] = {
    **dict.fromkeys(("allOf", "oneOf", "anyOf"), _each(_schema)),
    "not": _schema,
    **dict.fromkeys(("properties", "patternProperties", "definitions"), _mapped),
    **dict.fromkeys(("additionalProperties", "additionalItems"), _or_bool),
    "items": _or_list,
    "externalDocs": lambda value: _struct(value, _DOCS, {}),
    "x-kubernetes-validations": _each(lambda value: _struct(value, _RULE, {})),
}


def _version(value: Object) -> Object:
    below = {
        "schema": lambda each: {"OpenAPIV3Schema": _schema(each["openAPIV3Schema"]) if "openAPIV3Schema" in each else None},
        "subresources": lambda each: _struct(each, _SUBRESOURCES, {"scale": lambda scale: _struct(scale, _SCALE, {})}),
        "additionalPrinterColumns": _each(lambda each: _struct(each, _COLUMN, {})),
        "selectableFields": _each(lambda each: _struct(each, _SELECTABLE, {})),
    }
    return _struct(value, _VERSION, below)


def _invalid(path: str, shown: Any, text: str) -> FieldError:
    written = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
    return FieldError("FieldValueInvalid", path, f"Invalid value: {written}: {text}")


def invalid_versions(path: str, versions: Sequence[Object], text: str) -> FieldError:
    """An error about `spec.versions`, of which what all have in common has been taken out."""
    return _invalid(path, [_version(version) for version in versions] or None, text)


def invalid_rule(path: str, rule: Object, text: str) -> FieldError:
    """An error about a rule of x-kubernetes-validations."""
    return _invalid(path, _struct(rule, _RULE, {}), text)


def invalid_schema(path: str, schema: Object, text: str) -> FieldError:
    """An error about a whole schema."""
    return _invalid(path, _schema(schema), text)

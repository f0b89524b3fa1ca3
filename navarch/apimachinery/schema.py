"""Schemas of objects: what Kubernetes' OpenAPI says about structure, and decoding untrusted JSON by it.

A `Schema` is one node: a struct, a map, a list or a scalar. `decode` does what unmarshalling into Go's types does upstream:
refuses wrong types with the same words, drops nulls, notes unknown fields, and writes quantities and times canonically.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from navarch.apimachinery import meta, quantity, remember

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
RAW_EXTENSION = "io.k8s.apimachinery.pkg.runtime.RawExtension"
_RAW = frozenset(
    {
        RAW_EXTENSION,
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    }
)
_JSON_UNIONS = "JSONSchemaPropsOr"
_RECURRING = frozenset({"io.k8s.api.core.v1.PodSpec"})
# Deeper JSON is refused: what reads and writes it is recursive.
NESTING_LIMIT = 200
TIMES_REMEMBERED = 256
TIME_LIMIT_CHARACTERS = 40
_TIME_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_TIME_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_TIME_RE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z", re.ASCII)


_ZERO_TIME = datetime.min.replace(tzinfo=UTC)


Quick = Callable[[Any], Any]
Reading = tuple[dict[str, tuple[Quick, bool]], list[tuple[str, "Schema"]]]


class DecodeError(ValueError):
    """The object cannot be read as its kind; the text is what Go's decoder would say."""


PlainFields = Callable[[str], Mapping[str, bool] | None]
"""Of a definition: the fields that are no pointers in Go, so that something stands for them where they are missing, and whether
that is written. None where nothing is known."""


def _unknown(definition: str) -> None:
    return None


class Definitions:
    """Named definitions, turned into `Schema` nodes when first needed."""

    def __init__(self, sources: Mapping[str, Mapping[str, Any]], plain_fields: PlainFields = _unknown) -> None:
        self.sources = sources
        self.plain_fields = plain_fields
        self._nodes: dict[str, Schema] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.sources

    def get(self, name: str) -> Schema:
        """The schema of a definition. Raises KeyError."""
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = self.node(self.sources[name], name)
        return node

    def node(self, source: Mapping[str, Any], name: str = "") -> Schema:
        """A schema from its OpenAPI form; `name` is the definition it is, or ""."""
        reference = source.get("$ref")
        if reference is not None:
            target = self.get(reference)
            extensions = {key: value for key, value in source.items() if key.startswith("x-kubernetes-")}
            return target if not extensions else target.with_extensions(extensions)
        return Schema(_type(source, name), source, self, name)


def _type(source: Mapping[str, Any], name: str) -> str:
    if name == _QUANTITY:
        return "quantity"
    if name in _RAW or _JSON_UNIONS in name or source.get("x-kubernetes-preserve-unknown-fields"):
        return "any"
    form = source.get("format")
    match source.get("type"):
        case "object":
            if "properties" in source:
                return "struct"
            return "map" if "additionalProperties" in source else "any" if not name else "struct"
        case "array":
            return "list"
        case "string":
            if form == "date-time":
                return "microtime" if name.endswith("MicroTime") else "time"
            return {"int-or-string": "intstr", "byte": "bytes"}.get(form or "", "string")
        case "integer" | "number" | "boolean" as scalar:
            return str(scalar)
    return "any"


class Schema:
    """One node of a schema. Children are resolved lazily, since definitions refer to themselves."""

    __slots__ = (
        *(
            "_definitions",
            "_element",
            "_left_out",
            "_properties",
            "_quick",
            "_reading",
            "_recurring",
            "_required",
            "_strategies",
        ),
        *("name", "source", "type"),
    )

    def __init__(self, type_: str, source: Mapping[str, Any], definitions: Definitions, name: str) -> None:
        self.type = type_
        """struct, map, list, string, integer, number, boolean, quantity, intstr, time, microtime, bytes or any."""
        self.source = source
        self.name = name
        self._definitions = definitions
        self._properties: dict[str, Schema] | None = None
        self._element: Schema | None = None
        self._required: tuple[str, ...] | None = None
        self._left_out: frozenset[str] | None = None
        self._quick: Quick | None = None
        self._reading: Reading | None = None
        self._strategies: frozenset[str] | None = None
        self._recurring: tuple[str, ...] | None = None

    def with_extensions(self, extensions: Mapping[str, Any]) -> Schema:
        """The same node, with what the referring field says about merging."""
        return Schema(self.type, {**self.source, **extensions}, self._definitions, self.name)

    @property
    def properties(self) -> dict[str, Schema]:
        """Fields of a struct."""
        if self._properties is None:
            node = self._definitions.node
            self._properties = {key: node(value) for key, value in (self.source.get("properties") or {}).items()}
        return self._properties

    @property
    def element(self) -> Schema:
        """What a map's values or a list's items are."""
        if self._element is None:
            below = self.source.get("items") if self.type == "list" else self.source.get("additionalProperties")
            self._element = self._definitions.node(below if isinstance(below, Mapping) else {})
        return self._element

    def child(self, key: str) -> Schema | None:
        """The schema of one key of a struct or map; None if there is none."""
        if self.type == "struct":
            return self.properties.get(key)
        return self.element if self.type == "map" else None

    @property
    def required(self) -> Sequence[str]:
        """Fields that Go writes even where nobody set them."""
        if self._required is None:
            plain = self._definitions.plain_fields(self.name)
            required = self.source.get("required") or ()
            self._required = tuple(field for field in required if plain is None or field in plain)
        return self._required

    @property
    def written(self) -> dict[str, Any]:
        """Fields that Go writes even where nobody set them, and what it writes: required ones, structs that always exist."""
        plain = self._definitions.plain_fields(self.name) if self.type == "struct" else None
        if plain is None:
            return {}
        found: dict[str, Any] = {}
        for key, keeps in plain.items():
            node = self.properties.get(key)
            if node is not None and (keeps or key in self.required or node.type == "struct"):
                found[key] = {} if node.type == "struct" else _zero(node)
        return {key: zero for key, zero in found.items() if zero is not None}

    @property
    def left_out_if_zero(self) -> Collection[str]:
        """Scalar fields that Go does not write where they are zero: no pointer tells there whether somebody set them."""
        if self._left_out is None:
            plain = self._definitions.plain_fields(self.name) or {}
            scalars = ("string", "integer", "number", "boolean", "bytes")
            fields = (key for key, keeps in plain.items() if not keeps and key in self.properties and key not in self.required)
            self._left_out = frozenset(key for key in fields if self.properties[key].type in scalars)
        return self._left_out

    def key_default(self, field: str) -> Any:
        """What stands for a key of a list's item that is missing, or None."""
        node = self.child(field)
        if node is None:
            return None
        if "default" in node.source:
            return node.source["default"]
        plain = self._definitions.plain_fields(self.name)
        if field == "protocol" and plain is not None:
            # Go's types say so in a comment that the OpenAPI does not carry.
            return "TCP"
        return _zero(node) if plain is not None and field in plain else None

    @property
    def quick(self) -> Quick:
        """Decodes what is as it should be; raises for anything that has to be looked at more closely."""
        if self._quick is None:
            self._quick = remember.shared(_quick(self)) if self.recurs else _quick(self)
        return self._quick

    @property
    def reading(self) -> Reading:
        """Of a struct: how each field is read and whether Go leaves it out where it is nothing; those that Go always writes."""
        if self._reading is None:
            fields = {
                key: (child.quick, child.type in ("map", "list") or key in self.left_out_if_zero)
                for key, child in self.properties.items()
            }
            required = [(key, self.properties[key]) for key in self.required]
            self._reading = fields, [(key, child) for key, child in required if _zero(child) is not None]
        return self._reading

    @property
    def recurring(self) -> Sequence[str]:
        """Fields of a struct that `recur`."""
        if self._recurring is None:
            self._recurring = tuple(key for key, child in self.properties.items() if child.recurs)
        return self._recurring

    @property
    def recurs(self) -> bool:
        """Whether many values are equal, since what they are part of is made from a template."""
        return self.name in _RECURRING

    @property
    def list_type(self) -> str:
        """atomic, set or map; lists that say nothing are atomic."""
        return str(self.source.get("x-kubernetes-list-type", "atomic"))

    @property
    def list_map_keys(self) -> Sequence[str]:
        return self.source.get("x-kubernetes-list-map-keys") or ()

    @property
    def is_atomic_map(self) -> bool:
        return self.source.get("x-kubernetes-map-type") == "atomic"

    @property
    def is_open(self) -> bool:
        """Whether a struct may have fields that it does not name."""
        return bool(self.source.get("x-kubernetes-preserve-unknown-fields"))

    @property
    def merge_key(self) -> str:
        """Key by which a strategic merge patch merges the items of this list; "" if it doesn't."""
        return str(self.source.get("x-kubernetes-patch-merge-key", ""))

    @property
    def patch_strategies(self) -> frozenset[str]:
        if self._strategies is None:
            self._strategies = frozenset(self.source.get("x-kubernetes-patch-strategy", "").split(",")) - {""}
        return self._strategies

    @property
    def go_type(self) -> str:
        """As Go's decoder names it in errors."""
        match self.type:
            case "struct":
                *_, version, name = ("", "", *self.name.split("."))
                return f"{version}.{name}"
            case "list":
                return f"[]{self.element.go_type}"
            case "map":
                return f"map[string]{self.element.go_type}"
            case "integer":
                return str(self.source.get("format", "int64"))
            case "number":
                return "float64"
            case "boolean":
                return "bool"
            case "bytes":
                return "[]uint8"
        return "string"


@dataclass(slots=True)
class Decoded:
    """A decoded object and what strict decoding has against it."""

    object: Any
    unknown: list[str] = field(default_factory=list)
    """Paths of unknown fields."""


def nesting_exceeds(value: Any, limit: int) -> bool:
    """Whether plain data is nested more than `limit` levels deep."""
    try:
        encoded = orjson.dumps(value)
        if encoded.count(b"[") + encoded.count(b"{") <= limit:
            return False
    except TypeError:
        # Too deep for it, or there is no JSON for something.
        pass
    level = [value]
    for _ in range(limit):
        level = [
            below
            for item in level
            if isinstance(item, dict | list)
            for below in (item.values() if isinstance(item, dict) else item)
            if isinstance(below, dict | list)
        ]
        if not level:
            return False
    return True


def decode(value: Any, schema: Schema, base: Any = None) -> Decoded:
    """`value` (parsed JSON) as `schema` has it: a new tree without nulls and unknown fields. Raises DecodeError.

    Of a `base`, which has been decoded before, what is the very same object in `value` is taken as it is, and shared.
    """
    try:
        return Decoded(schema.quick(value) if base is None else _quick_over(value, base, schema))
    except (_UnusualError, DecodeError):
        result = Decoded(None)
        result.object = _decode(value, schema, "", "", "", result.unknown)
        return result


# Nearly everything that is decoded is as it should be: it is gone through without remembering where, and only what is not is
# gone through again, for the paths and words of its errors.


class _UnusualError(Exception):
    """Something is of another type than it should be, unknown, or null among others."""


def _quick(schema: Schema) -> Quick:
    match schema.type:
        case "struct":
            return _quick_struct(schema)
        case "list":
            return _quick_list(schema.element)
        case "map":
            return _quick_map(schema.element)
        case "string":
            return _quick_string
        case "integer":
            return _quick_integer(31 if schema.go_type == "int32" else 63)
        case "boolean":
            return _quick_boolean
        case "time" | "microtime":
            return _quick_time(schema.type)
        case "any":
            return lambda value: _decode(value, schema, "", "", "", [])
    return lambda value: _decode_scalar(value, schema, "", "")


def _quick_struct(schema: Schema) -> Quick:
    reading: Reading | None = None

    def read(value: Any) -> dict[str, Any]:
        nonlocal reading
        if type(value) is not dict:
            raise _UnusualError
        if reading is None:
            # Not before it is needed: definitions refer to themselves.
            reading = schema.reading
        fields, always = reading
        result = {}
        for key, item in value.items():
            found = fields.get(key)
            if found is None:
                raise _UnusualError
            if item is not None:
                # Most are strings, for which no call is needed.
                decoded = item if found[0] is _quick_string and type(item) is str else found[0](item)
                if decoded or (decoded is not None and not found[1]):
                    result[key] = decoded
        for key, child in always:
            if key not in result:
                result[key] = _zero(child)
        return result

    return read


def _quick_over(value: Any, base: Any, schema: Schema) -> Any:
    """`value` as `schema.quick` reads it; what is the very same in `base`, where it is right, is taken as it is."""
    if value is base:
        return value
    if schema.type == "list" and type(value) is type(base) is list:
        right = set(map(id, base))
        read = schema.element.quick
        return [item if id(item) in right else read(item) for item in value]
    if schema.type != "struct" or not type(value) is type(base) is dict:
        return schema.quick(value)
    fields, always = schema.reading
    result = {}
    for key, item in value.items():
        before = base.get(key)
        if item is before and item is not None:
            result[key] = item
            continue
        if key not in fields:
            raise _UnusualError
        if item is not None:
            read, may_go = fields[key]
            decoded = read(item) if before is None else _quick_over(item, before, schema.properties[key])
            if decoded or (decoded is not None and not may_go):
                result[key] = decoded
    for key, child in always:
        if key not in result:
            result[key] = _zero(child)
    return result


def _quick_list(element: Schema) -> Quick:
    read = element.quick

    def read_list(value: Any) -> list[Any]:
        if type(value) is not list or None in value:
            raise _UnusualError
        return [read(item) for item in value]

    return read_list


def _quick_map(element: Schema) -> Quick:
    read, may_be_zero = element.quick, element.type in ("time", "microtime")

    def read_map(value: Any) -> dict[str, Any]:
        if type(value) is not dict or None in value.values():
            raise _UnusualError
        result = {key: read(item) for key, item in value.items()}
        return {key: item for key, item in result.items() if item is not None} if may_be_zero else result

    return read_map


def _quick_string(value: Any) -> str:
    if type(value) is not str:
        raise _UnusualError
    return value


def _quick_boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _UnusualError
    return value


def _quick_time(type_: str) -> Quick:
    # Much of what is written in one second says which.

    @lru_cache(TIMES_REMEMBERED)
    def remembered(text: str) -> str | None:
        return _time(text, type_)

    def read(value: Any) -> str | None:
        if type(value) is not str or len(value) > TIME_LIMIT_CHARACTERS:
            raise _UnusualError
        return remembered(value)

    return read


def _quick_integer(bits: int) -> Quick:
    low, high = -(1 << bits), 1 << bits

    def read(value: Any) -> int:
        if type(value) is not int or not low <= value < high:
            raise _UnusualError
        return value

    return read


def _decode(value: Any, schema: Schema, path: str, go_path: str, struct: str, unknown: list[str]) -> Any:
    match schema.type:
        case "struct":
            if not isinstance(value, dict):
                raise _mismatch(value, schema, go_path, struct)
            return _decode_struct(value, schema, path, go_path, unknown)
        case "string":
            if not isinstance(value, str):
                raise _mismatch(value, schema, go_path, struct)
            return value
        case "list":
            if not isinstance(value, list):
                raise _mismatch(value, schema, go_path, struct)
            element = schema.element
            return [
                _decode(item, element, f"{path}[{index}]", go_path, struct, unknown) if item is not None else _zero(element)
                for index, item in enumerate(value)
            ]
        case "map":
            if not isinstance(value, dict):
                raise _mismatch(value, schema, go_path, struct)
            element = schema.element
            pairs = (
                (key, _decode(item, element, f"{path}.{key}", go_path, struct, unknown) if item is not None else _zero(element))
                for key, item in value.items()
            )
            return {key: item for key, item in pairs if item is not None or element.type == "any"}
        case "any":
            if nesting_exceeds(value, NESTING_LIMIT):
                raise DecodeError("exceeded max depth")
            return value
    return _decode_scalar(value, schema, go_path, struct)


def _decode_struct(value: dict[str, Any], schema: Schema, path: str, go_path: str, unknown: list[str]) -> dict[str, Any]:
    properties = schema.properties
    struct = schema.name.rpartition(".")[2]
    result = {}
    for key, item in value.items():
        child = properties.get(key)
        if child is None:
            unknown.append(f"{path}.{key}" if path else key)
        elif item is not None:
            below = f"{path}.{key}" if path else key
            decoded = _decode(item, child, below, f"{go_path}.{key}" if go_path else key, struct, unknown)
            # Go leaves out empty maps and lists, and what is nothing where that is all a plain field can say.
            if decoded or (decoded is not None and child.type not in ("map", "list") and key not in schema.left_out_if_zero):
                result[key] = decoded
    for key in schema.required:
        if key not in result and (zero := _zero(properties[key])) is not None:
            result[key] = zero
    return result


def _decode_scalar(value: Any, schema: Schema, go_path: str, struct: str) -> Any:
    match schema.type:
        case "integer":
            return _integer(value, schema, go_path, struct)
        case "boolean":
            if isinstance(value, bool):
                return value
        case "quantity":
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                try:
                    return quantity.canonical(value)
                except ValueError as error:
                    raise DecodeError(str(error)) from None
        case "intstr":
            if isinstance(value, str):
                return value
            return _integer(value, schema, go_path, struct, "int32")
        case "time" | "microtime":
            if isinstance(value, str):
                return _time(value, schema.type)
        case "number":
            if isinstance(value, int | float) and not isinstance(value, bool):
                return value
        case "bytes":
            if isinstance(value, str):
                return _bytes(value)
    raise _mismatch(value, schema, go_path, struct)


def _integer(value: Any, schema: Schema, go_path: str, struct: str, go_type: str = "") -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(value, schema, go_path, struct, go_type)
    bits = 31 if (go_type or schema.go_type) == "int32" else 63
    if not -(1 << bits) <= value < 1 << bits:
        raise _mismatch(value, schema, go_path, struct, go_type)
    return value


def _time(text: str, type_: str) -> str | None:
    """The time in UTC; None for Go's zero time, which is written as null."""
    layout = _MICRO_TIME_LAYOUT if type_ == "microtime" else _TIME_LAYOUT
    if not _TIME_RE.match(text):
        raise DecodeError(f'parsing time "{text}" as "{layout}": cannot parse "{text}" as "2006"')
    try:
        moment = meta.parse_time(text)
    except (ValueError, OverflowError):
        raise DecodeError(f'parsing time "{text}": out of range') from None
    if moment == _ZERO_TIME:
        return None
    return _format_micro(moment) if type_ == "microtime" else meta.format_time(moment)


def _format_micro(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _bytes(text: str) -> str:
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except ValueError:
        position = next((i for i, c in enumerate(text) if not (c.isascii() and (c.isalnum() or c in "+/="))), len(text))
        raise DecodeError(f"illegal base64 data at input byte {position}") from None


def _zero(schema: Schema) -> Any:
    """What stands for nothing where something must stand: in a list or map, or in a required field."""
    match schema.type:
        case "struct":
            zeros = ((key, _zero(schema.properties[key])) for key in schema.required)
            return {key: zero for key, zero in zeros if zero is not None}
        case "any":
            return None if schema.name == RAW_EXTENSION else {}
        case "map":
            return {}
        case "list":
            return []
        case "integer" | "number" | "intstr":
            return 0
        case "boolean":
            return False
        case "quantity":
            return "0"
        case "time" | "microtime":
            return None
    return ""


def _mismatch(value: Any, schema: Schema, go_path: str, struct: str, go_type: str = "") -> DecodeError:
    if isinstance(value, bool):
        found = "bool"
    elif isinstance(value, str):
        found = "string"
    elif isinstance(value, int | float):
        found = f"number {value}" if schema.type in ("integer", "intstr") else "number"
    else:
        found = "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "null"
    where = f"Go struct field {struct}.{go_path}" if go_path else "Go value"
    return DecodeError(f"json: cannot unmarshal {found} into {where} of type {go_type or schema.go_type}")

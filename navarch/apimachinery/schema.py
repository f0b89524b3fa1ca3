"""Schemas of objects: what Kubernetes' OpenAPI says about structure.

A `Schema` is one node: a struct, a map, a list or a scalar. Untrusted JSON is decoded by it in `decoding`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

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

Reader = Callable[[Any], Any]
"""Decodes what is as it should be; raises for anything that has to be looked at more closely."""
Fields = tuple[dict[str, tuple[Reader, bool]], list[tuple[str, "Schema"]]]
"""Of a struct: how each field is read and whether Go leaves it out where it is nothing; those that Go always writes."""
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
            "_recurring",
            "_required",
            "_strategies",
        ),
        *("fields", "name", "reader", "source", "type"),
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
        self._strategies: frozenset[str] | None = None
        self._recurring: tuple[str, ...] | None = None
        self.reader: Reader | None = None
        self.fields: Fields | None = None
        """Both belong to `decoding`."""

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
                found[key] = {} if node.type == "struct" else node.zero
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

    @property
    def zero(self) -> Any:
        """What stands for nothing where something must stand: in a list or map, or in a required field."""
        match self.type:
            case "struct":
                zeros = ((key, self.properties[key].zero) for key in self.required)
                return {key: zero for key, zero in zeros if zero is not None}
            case "any":
                return None if self.name == RAW_EXTENSION else {}
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
        return node.zero if plain is not None and field in plain else None

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

"""The kinds that a CustomResourceDefinition defines: one for each version that is served, over objects stored in one.

What a request brings is pruned, defaulted and validated by the schema of its version; then it is stored in the storage version.
What is read is pruned and defaulted anew, by the schema of the version in which it was stored, since that may have changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from navarch.api import printing
from navarch.api.apiextensions import embedded, scalerules, typed
from navarch.api.apiextensions.conversion import Conversions
from navarch.api.apiextensions.customresourcedefinition import ESTABLISHED, NAMES_ACCEPTED, TERMINATING, schema_of
from navarch.api.apiextensions.embedded import CoercionError
from navarch.api.kind import NAME, Column, Kind, ScalePaths
from navarch.api.objectmeta import STANDARD_FINALIZERS
from navarch.apimachinery import errors, jsonpath, meta, names
from navarch.apimachinery.errors import FieldError, Object
from navarch.apimachinery.structural import fieldpath, listtypes, pruning
from navarch.apimachinery.structural import values as rules
from navarch.apimachinery.structural.walking import META_FIELDS, Schema, has_rules, properties
from navarch.apimachinery.unmarshal import NESTING_LIMIT, Decoded, DecodeError, nesting_exceeds

if TYPE_CHECKING:
    from navarch.api.apiextensions.objectrules import Validator

_DEFAULT_COLUMNS = ({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},)
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_TERMINATING_VERBS = ("delete", "deletecollection", "get", "list", "watch")
_KUBE_VERSION = re.compile(r"v([0-9]+)(?:(alpha|beta)([0-9]+))?\Z", re.ASCII)


def is_served(definition: Object) -> bool:
    """Whether the definition has come so far that there are objects."""
    return meta.is_condition_true(definition, NAMES_ACCEPTED) or meta.is_condition_true(definition, ESTABLISHED)


class _Version:
    """One version of a definition, and what is done to objects in it."""

    def __init__(self, definition: Object, source: Object) -> None:
        spec = definition["spec"]
        self.source = source
        self.name = str(source["name"])
        self.api_version = f"{spec['group']}/{self.name}"
        self.schema: Schema = schema_of(source) or {"type": "object"}
        self.prunes = not spec.get("preserveUnknownFields")
        subresources = source.get("subresources") or {}
        self.has_status = "status" in subresources
        self.scale: Object | None = subresources.get("scale")

    def decode(self, value: Any) -> Decoded:
        """What a client sent. Raises DecodeError."""
        if nesting_exceeds(value, NESTING_LIMIT):
            raise DecodeError("exceeded max depth")
        metadata = embedded.decode_metadata(value.get("metadata") or {})
        unknown = list(metadata.unknown)
        tree = self._pruned({key: item for key, item in value.items() if key not in META_FIELDS}, unknown)
        pruning.drop_nulls(tree, self.schema)
        try:
            embedded.coerce(tree, self.schema, unknown)
        except CoercionError as error:
            raise DecodeError(str(error)) from None
        heads = {key: value[key] for key in ("apiVersion", "kind") if key in value}
        return Decoded({**heads, "metadata": metadata.object, **tree}, unknown)

    def _pruned(self, value: Object, unknown: list[str]) -> Object:
        if not self.prunes:
            return pruning.copied(value)  # type: ignore[no-any-return]
        found: Object = pruning.pruned(value, self.schema, unknown, is_root=True)
        return found

    def defaulted(self, obj: Object) -> Object:
        """An object that nobody else holds, with defaults."""
        pruning.set_defaults(obj, self.schema)
        return obj

    def read(self, obj: Object) -> Object:
        """What was stored in this version, as it is meant now; a new object."""
        found = self._pruned(obj, [])
        pruning.drop_nulls(found, self.schema)
        return self.defaulted(found)

    def converted(self, obj: Object) -> Object:
        """An object of another version in this one."""
        return self._pruned({**obj, "apiVersion": self.api_version}, [])

    # Rules

    def problems(self, new: Object, old: Object | None) -> Iterator[FieldError]:
        """What is wrong with a whole object; what is as it was in `old` is let be."""
        found = list(self._problems(new, old))
        yield from found
        yield from self._rule_problems(new, old, found)

    def _problems(self, new: Object, old: Object | None) -> Iterator[FieldError]:
        yield from rules.validate(new, self.schema, old=old)
        if self.scale is not None:
            yield from scalerules.validate_spec(new, self.scale)
            yield from scalerules.validate_status(new, self.scale)
        yield from embedded.validate(new, self.schema)
        yield from self._repetitions(new, old)

    def status_problems(self, new: Object, old: Object) -> Iterator[FieldError]:
        """What is wrong with an object whose status may have changed."""
        found = list(self._status_problems(new, old))
        yield from found
        yield from self._rule_problems(new, old, found)

    def _status_problems(self, new: Object, old: Object) -> Iterator[FieldError]:
        schema = properties(self.schema).get("status")
        if schema is not None and "status" in new:
            for error in rules.validate(new["status"], schema, old=old.get("status", rules.MISSING)):
                nowhere = error.field == rules.NOWHERE
                yield FieldError(error.reason, "status" if nowhere else f"status.{error.field}", error.body)
        if self.scale is not None:
            yield from scalerules.validate_status(new, self.scale)
        yield from self._repetitions(new, old)

    def _rule_problems(self, new: Object, old: Object | None, found: list[FieldError]) -> list[FieldError]:
        return self._validator.problems(new, old, found) if self._validator is not None else []

    @cached_property
    def _validator(self) -> Validator | None:
        """The schema's own rules, compiled when they are first needed."""
        if not has_rules(self.schema):
            return None
        # Whoever has no rules need not load the language.
        from navarch.api.apiextensions.objectrules import Validator

        return Validator(self.schema)

    def is_slow(self) -> bool:
        """Whether judging an object by the rules may take long."""
        return self._validator is not None and self._validator.is_slow

    def _repetitions(self, new: Object, old: Object | None) -> Iterable[FieldError]:
        found = list(listtypes.repetitions(new, self.schema))
        return [] if found and old is not None and any(listtypes.repetitions(old, self.schema)) else found

    # How it is shown

    def columns(self) -> tuple[Object, ...]:
        """Those that are shown: as upstream, none after one that cannot be read."""
        wanted = self.source.get("additionalPrinterColumns") or _DEFAULT_COLUMNS
        return tuple(takewhile(lambda column: _path(column["jsonPath"]) is not None, wanted))


class _Family:
    """All versions of a definition."""

    def __init__(self, definition: Object, *, converts: bool = True) -> None:
        self.definition = definition
        self.spec: Object = definition["spec"]
        self.names: Object = (definition.get("status") or {}).get("acceptedNames") or self.spec["names"]
        self.versions = {str(source["name"]): _Version(definition, source) for source in self.spec["versions"]}
        self.storage = next(version for version in self.versions.values() if version.source.get("storage"))
        self.is_terminating = meta.is_condition_true(definition, TERMINATING)
        conversion = self.spec.get("conversion") or {}
        self._conversions: Conversions | None = None
        if converts and conversion.get("strategy") == "Webhook" and len(self.versions) > 1:
            self._conversions = Conversions(self.names["kind"], conversion["webhook"])
        self.kinds: tuple[Kind, ...] = ()

    @property
    def by_webhook(self) -> bool:
        return self._conversions is not None

    def stored(self, version: _Version) -> Kind:
        """The kind whose rules hold for the stored objects, where a request is about `version`."""

        def view(obj: Object) -> Object:
            return self.served(version, obj)

        def validate_status_update(new: Object, old: Object) -> Iterable[FieldError]:
            return version.status_problems(view(new), view(old))

        return Kind(
            group=self.spec["group"],
            version=self.storage.name,
            kind=self.names["kind"],
            plural=self.names["plural"],
            namespaced=self.spec["scope"] == "Namespaced",
            subresources=_subresources(version),
            schema=definition_name(self.spec["group"], self.storage.name, self.names["kind"]),
            typed=typed.schema_of(self.storage.schema),
            storage_prefix=storage_prefix(self.definition),
            is_custom=True,
            any_finalizer=True,
            has_generation=True,
            spec_fields=(),
            validate_status_update=validate_status_update,
            is_slow=version.is_slow,
            prepare_update=_prepare_update,
            prepare_status_update=_prepare_status_update,
            warnings=_warnings,
            allow_unconditional_update=False,
        )

    def served(self, version: _Version, obj: Object) -> Object:
        """A stored object in a version."""
        stored = self.versions.get(str(obj.get("apiVersion", "")).rpartition("/")[2], self.storage)
        found = stored.read(obj)
        return found if stored is version else self._converted(found, version)

    def to_stored(self, version: _Version, obj: Object) -> Object:
        return obj if version is self.storage else self._converted(obj, self.storage)

    def _converted(self, obj: Object, version: _Version) -> Object:
        """Raises ConversionNeeded."""
        if self._conversions is not None:
            obj = self._conversions.get(obj, version.api_version)
        return version.converted(obj)

    def kind(self, version: _Version) -> Kind:
        """The kind of a version."""
        spec, given, stored = self.spec, self.names, self.stored(version)

        def view(obj: Object) -> Object:
            return self.served(version, obj)

        def validate_create(obj: Object) -> Iterable[FieldError]:
            if self.is_terminating:
                error = errors.method_not_supported(spec["group"], given["plural"], "create")
                error.status["message"] = "create not allowed while custom resource definition is terminating"
                raise error
            return version.problems(view(obj), None)

        def validate_update(new: Object, old: Object) -> Iterable[FieldError]:
            return version.problems(view(new), view(old))

        def validate(obj: Object) -> Iterable[FieldError]:
            # Updates name a resourceVersion. A webhook should see nothing new that is not valid.
            is_new = not obj["metadata"].get("resourceVersion")
            return version.problems(obj, None) if self.by_webhook and is_new else ()

        def to_stored(obj: Object) -> Object:
            return self.to_stored(version, obj)

        columns = version.columns()
        return Kind(
            group=spec["group"],
            version=version.name,
            kind=given["kind"],
            listed_as=given.get("listKind", ""),
            plural=given["plural"],
            singular=given.get("singular", ""),
            namespaced=spec["scope"] == "Namespaced",
            short_names=tuple(given.get("shortNames") or ()),
            categories=tuple(given.get("categories") or ()),
            verbs=_TERMINATING_VERBS if self.is_terminating else _VERBS,
            subresources=stored.subresources,
            schema=definition_name(spec["group"], version.name, given["kind"]),
            structural=version.schema,
            typed=typed.schema_of(version.schema),
            is_custom=True,
            family=lambda: self.kinds,
            stored_as=stored,
            by_webhook=self.by_webhook,
            to_stored=to_stored,
            from_stored=view,
            decode=version.decode,
            default=version.defaulted,
            validate=validate,
            validate_create=validate_create,
            validate_update=validate_update,
            deprecation=_deprecation(self, version),
            selectable_fields=_selectable(self, version),
            scale_paths=_scale_paths(version.scale),
            columns=(NAME, *(_column(column) for column in columns)),
            row=_row(columns),
        )


def kinds(definition: Object) -> tuple[Kind, ...]:
    """The kinds of those versions of a definition that are served."""
    family = _Family(definition)
    family.kinds = tuple(family.kind(version) for version in family.versions.values() if version.source.get("served"))
    return family.kinds


def stored_kind(definition: Object) -> Kind:
    """The kind of a definition's storage version, whether it is served or not; what is in another version is as it is."""
    family = _Family(definition, converts=False)
    return family.kind(family.storage)


def storage_prefix(definition: Object) -> str:
    """Where a definition's objects are stored, below /registry/."""
    spec = definition["spec"]
    return f"{spec['group']}/{spec['names']['plural']}"


def definition_name(group: str, version: str, kind: str) -> str:
    """As OpenAPI calls it: ``com.example.stable.v1.CronTab``."""
    return ".".join((*reversed(group.split(".")), version, kind))


def _subresources(version: _Version) -> tuple[str, ...]:
    return ("status",) * version.has_status + ("scale",) * (version.scale is not None)


def _prepare_update(new: Object, old: Object) -> Object:
    """Whatever changes beside the metadata counts."""
    if any(new.get(field) != old.get(field) for field in (new.keys() | old.keys()) - {"metadata"}):
        generation = old["metadata"].get("generation", 0) + 1
        return {**new, "metadata": {**new["metadata"], "generation": generation}}
    return new


def _prepare_status_update(new: Object, old: Object) -> Object:
    """Of the metadata, only who manages what is another."""
    metadata = {**old["metadata"]}
    metadata.pop("managedFields", None)
    if "managedFields" in new["metadata"]:
        metadata["managedFields"] = new["metadata"]["managedFields"]
    return {**new, "metadata": metadata}


def _warnings(new: Object, old: Object | None) -> Iterator[str]:
    before = (old or {}).get("metadata", {}).get("finalizers") or ()
    for finalizer in sorted(set(new["metadata"].get("finalizers") or ()) - set(before)):
        shown = f'metadata.finalizers: "{finalizer}"'
        yield from (f"{shown}: {problem}" for problem in names.qualified_name(finalizer))
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            path = " including a path (/)" if "." in finalizer else ""
            text = f"prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
            yield f"{shown}: {text}"


# Deprecation


def _deprecation(family: _Family, version: _Version) -> str:
    """What whoever uses a version is warned of."""
    if not version.source.get("deprecated"):
        return ""
    if "deprecationWarning" in version.source:
        return str(version.source["deprecationWarning"])
    group, kind = family.spec["group"], family.names["kind"]
    text = f"{version.api_version} {kind} is deprecated"
    better = [
        other.name
        for other in family.versions.values()
        if other.source.get("served") and not other.source.get("deprecated") and _rank(other.name) < _rank(version.name)
    ]
    return f"{text}; use {group}/{min(better, key=_rank)} {kind}" if better else text


def _rank(version: str) -> tuple[int, int, int, str]:
    """v2 before v1 before v1beta1 before v1alpha1, before all others by their letters."""
    found = _KUBE_VERSION.match(version)
    if found is None:
        return 3, 0, 0, version
    major, stability, minor = found.groups()
    return {None: 0, "beta": 1, "alpha": 2}[stability], -int(major), -int(minor or 0), ""


# Selectable fields, the scale, columns


def _selectable(family: _Family, version: _Version) -> dict[str, Any]:
    found = {}
    is_stored_so = not pruning.has_defaults(version.schema) and not family.by_webhook
    for field in version.source.get("selectableFields") or ():
        steps, _ = fieldpath.resolve(field["jsonPath"], version.schema, may_quote=False)

        def get(obj: Object, steps: tuple[str, ...] = steps) -> str:
            value = meta.get_path(obj if is_stored_so else family.served(version, obj), *steps)
            if isinstance(value, bool):
                return "true" if value else "false"
            return "" if value is None else str(value)

        found[".".join(steps)] = get
    return found


def _scale_paths(scale: Object | None) -> ScalePaths | None:
    if scale is None:
        return None
    spec, status, selector = (
        tuple(scale.get(field, "").removeprefix(".").split("."))
        for field in ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
    )
    return ScalePaths(spec, status, selector if selector != ("",) else None)


def _column(column: Object) -> Column:
    described = column.get("description", "")
    if not described and column not in _DEFAULT_COLUMNS:
        described = f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
    return Column(column["name"], column["type"], column.get("priority", 0), column.get("format", ""), described)


def _row(columns: tuple[Object, ...]) -> Any:
    cells = [(column["type"], _path(column["jsonPath"])) for column in columns]

    def row(obj: Object, now: datetime) -> list[Any]:
        return [obj["metadata"]["name"], *(_cell(type_, path, obj, now) for type_, path in cells)]

    return row


def _path(text: str) -> jsonpath.Path | None:
    try:
        return jsonpath.parse(text)
    except ValueError:
        return None


def _cell(type_: str, path: jsonpath.Path | None, obj: Object, now: datetime) -> Any:
    found = path.find(obj) if path is not None else []
    if not found or found[0] is None:
        return None
    value = found[0]
    match type_:
        case "string":
            return printing.plain(value)
        case "integer":
            return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "number":
            return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
    if not isinstance(value, str):
        return None
    try:
        return printing.since(value, now)
    except ValueError:
        return "<invalid>"

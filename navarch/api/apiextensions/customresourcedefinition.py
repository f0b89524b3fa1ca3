"""CustomResourceDefinition: kinds that users define. What becomes of them is in `customresource`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from navarch.api import schemas
from navarch.api.admissionregistration import clientconfig
from navarch.api.kind import Kind
from navarch.apimachinery import goformat, meta
from navarch.apimachinery.decoding import decode
from navarch.apimachinery.errors import FieldError, Object
from navarch.apimachinery.structural.walking import Schema, everything, juncted
from navarch.apimachinery.unmarshal import Decoded, DecodeError

ESTABLISHED, NAMES_ACCEPTED, TERMINATING = "Established", "NamesAccepted", "Terminating"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"


def schema_of(version: Object) -> Schema | None:
    """The schema of one of a definition's versions."""
    found: Schema | None = (version.get("schema") or {}).get("openAPIV3Schema")
    return found


# Decoding


def _decode(value: Any) -> Decoded:
    """Also what stands where there may be a schema or something else; what is unknown in there is dropped, but not told of."""
    result = decode(value, schemas.of(KIND))
    for version in (result.object.get("spec") or {}).get("versions") or ():
        schema = schema_of(version)
        if schema is not None:
            _complete(schema)
    return result


def _complete(schema: Schema) -> None:
    """Decode the schemas in a schema that nobody else holds. Raises DecodeError."""
    for name in ("additionalProperties", "additionalItems"):
        found = schema.get(name)
        if isinstance(found, dict):
            schema[name] = _decoded(found)
        elif found is not None and not isinstance(found, bool):
            raise DecodeError("boolean or JSON schema expected")
    found = schema.pop("items", None)
    if isinstance(found, dict):
        schema["items"] = _decoded(found)
    elif isinstance(found, list):
        schema["items"] = [_decoded({} if item is None else item) for item in found]
    for name in ("properties", "patternProperties", "definitions"):
        for below in (schema.get(name) or {}).values():
            _complete(below)
    for _, below in juncted(schema, ""):
        _complete(below)


def _decoded(schema: Any) -> Schema:
    if not isinstance(schema, dict):
        raise DecodeError(goformat.not_into(schema, "v1.JSONSchemaProps"))
    found: Schema = decode(schema, schemas.definitions().get(_SCHEMA)).object
    _complete(found)
    return found


# Defaults and what the server sets


def default(definition: Object) -> Object:
    spec = definition.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if not names.get("singular"):
        names["singular"] = names.get("kind", "").lower()
        if not names["singular"]:
            del names["singular"]
    if not names.get("listKind") and names.get("kind"):
        names["listKind"] = f"{names['kind']}List"
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    webhook = conversion.get("webhook")
    if webhook is not None:
        clientconfig.default(webhook.get("clientConfig") or {})
    return _with_stored_version(definition)


def _with_stored_version(definition: Object) -> Object:
    """The storage version is among those in which objects may be stored."""
    status = definition.get("status") or {}
    stored = status.get("storedVersions") or []
    name = next((version["name"] for version in definition["spec"].get("versions") or () if version.get("storage")), None)
    if name is None or name in stored:
        return definition
    return {**definition, "status": {**status, "storedVersions": [*stored, name]}}


def _prepare_update(new: Object, old: Object) -> Object:
    return _with_stored_version(new)


def _prepare_status_update(new: Object, old: Object) -> Object:
    """Whoever has migrated the objects says in which versions there are none any more, but there is always one."""
    return new if (new.get("status") or {}).get("storedVersions") else _with_stored_version(new)


def _prepare_deletion(definition: Object) -> Object:
    """The objects go first."""
    metadata = definition["metadata"]
    finalizers = metadata.get("finalizers") or []
    if FINALIZER in finalizers:
        return definition
    # It is not told that the spec is another one, nor given any grace.
    metadata = {**metadata, "finalizers": [*finalizers, FINALIZER], "generation": metadata.get("generation", 1) - 1}
    metadata.pop("deletionGracePeriodSeconds", None)
    condition = {
        "type": TERMINATING,
        "status": "True",
        "lastTransitionTime": metadata["deletionTimestamp"],
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    }
    return with_condition({**definition, "metadata": metadata}, condition)


def with_condition(definition: Object, condition: Object) -> Object:
    """A copy with a condition set, which says since when only where its status changes."""
    present = (definition.get("status") or {}).get("conditions") or []
    return meta.set_path(definition, meta.with_condition(present, condition), "status", "conditions")


def _holds_deletion(definition: Object) -> bool:
    """The first deletion always waits, be it for a moment."""
    return not meta.being_deleted(definition)


# The rules are many: whoever has no definitions need not load them.


def _validate(definition: Object) -> Iterable[FieldError]:
    from navarch.api.apiextensions import definitionrules

    return definitionrules.validate(definition)


def _validate_create(definition: Object) -> Iterable[FieldError]:
    from navarch.api.apiextensions import definitionrules

    return definitionrules.validate_create(definition)


def _validate_update(new: Object, old: Object) -> Iterable[FieldError]:
    from navarch.api.apiextensions import definitionrules

    return definitionrules.validate_update(new, old)


def _validate_status_update(new: Object, old: Object) -> Iterable[FieldError]:
    from navarch.api.apiextensions import definitionrules

    return definitionrules.validate_status(new)


# Warnings


def _warnings(definition: Object, old: Object | None) -> Iterator[str]:
    known = set(_unknown_formats(old)) if old is not None else set()
    for form in _unknown_formats(definition):
        if form not in known:
            yield f'unrecognized format "{form}"'


def _unknown_formats(definition: Object) -> Iterator[str]:
    from navarch.apimachinery.structural import formats

    for version in definition["spec"].get("versions") or ():
        schema = schema_of(version)
        for _, below in everything(schema, "") if schema is not None else ():
            form = below.get("format", "")
            if form and not formats.is_known(below.get("type", ""), form):
                yield form


KIND = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    subresources=("status",),
    has_generation=True,
    decode=_decode,
    default=default,
    validate=_validate,
    validate_create=_validate_create,
    validate_update=_validate_update,
    validate_status_update=_validate_status_update,
    warnings=_warnings,
    prepare_update=_prepare_update,
    prepare_status_update=_prepare_status_update,
    any_finalizer=True,
    allow_unconditional_update=False,
    prepare_deletion=_prepare_deletion,
    holds_deletion=_holds_deletion,
)

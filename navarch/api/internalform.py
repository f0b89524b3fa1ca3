"""Values as Kubernetes' internal types hold them, and the errors that show such values.

Most errors upstream show what the client sent, but some show the types that the server itself works on. Nobody designed their
JSON: Go's names of the fields, in the order of their declaration, all of them, with nothing left out. It follows from the types
of the API (see `gotypes`), but for what the tables below say; they are those of v1.36.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from navarch.api import gotypes, schemas
from navarch.api.objectmeta import IMMUTABLE
from navarch.apimachinery import gojson
from navarch.apimachinery.errors import FieldError, Object
from navarch.apimachinery.schema import Schema

CORE = "io.k8s.api.core.v1."
RESOURCE = "io.k8s.api.resource.v1."
# The types of metadata and selectors are the same within the server, and name their JSON fields.
_NAMES_ITS_FIELDS = "io.k8s.apimachinery."

# Go's name is the JSON one with a capital, or with many where the first word is one of these, but for a few.
_INITIALISMS = "api aws cel csi dns fc fs gce gmsa grpc http ip iqn iscsi nfs os pd rbd se ssl tcp tty uid"
_NAMES = {
    "cephfs": "CephFS",
    "chapAuthDiscovery": "DiscoveryCHAPAuth",
    "chapAuthSession": "SessionCHAPAuth",
    "diskURI": "DataDiskURI",
    "endpoints": "EndpointsName",
    "ips": "IPs",
    "pdID": "PdID",
    "storageos": "StorageOS",
    "wwids": "WWIDs",
}
_RBD = {"monitors": "CephMonitors", "image": "RBDImage", "pool": "RBDPool", "user": "RadosUser"}
_NAMES_OF: Mapping[str, Mapping[str, str]] = {
    f"{CORE}RBDVolumeSource": _RBD,
    f"{CORE}RBDPersistentVolumeSource": _RBD,
    f"{RESOURCE}DeviceAttribute": {
        **{name: f"{name.capitalize()}Value" for name in ("int", "bool", "string", "version")},
        **{f"{name}s": f"{name.capitalize()}Values" for name in ("int", "bool", "string", "version")},
    },
}
# Which fields stand elsewhere than in the API's types, and behind which ones.
_MOVED: Mapping[str, Mapping[str, str]] = {
    f"{CORE}PersistentVolumeSpec": {"quobyte": "rbd", "flexVolume": "iscsi"},
    f"{CORE}PodSecurityContext": {"fsGroupChangePolicy": "fsGroup"},
    f"{CORE}PodSpec": {"setHostnameAsFQDN": "subdomain", "preemptionPolicy": "priority", "overhead": "runtimeClassName"},
    f"{CORE}Volume": {"quobyte": "rbd"},
}
# What pods share with their node is a matter of their security context, which always exists.
_POD_SPEC, _SECURITY_CONTEXT = f"{CORE}PodSpec", f"{CORE}PodSecurityContext"
_HOST = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
_UNKNOWN: Mapping[str, Collection[str]] = {_POD_SPEC: ("serviceAccount", *_HOST)}
_NO_POINTERS: Mapping[str, Collection[str]] = {f"{CORE}ServiceAccountTokenProjection": ("expirationSeconds",)}

_ZEROS = {"string": "", "integer": 0, "boolean": False, "quantity": "0", "intstr": 0}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an internal type."""

    key: str
    """Its name in the API's JSON."""
    name: str
    is_pointer: bool
    schema: Schema


def internal(value: Object, definition: str, only: Collection[str] | None = None) -> Object:
    """A value in its internal form, to be written as JSON; `only` these fields of it (which are named as in the API)."""
    found: Object = _form(value, schemas.definitions().get(definition), only)
    return found


@cache
def fields(definition: str) -> tuple[Field, ...]:
    """The fields of the internal type of a definition, in their order. Raises KeyError."""
    pointers, properties = gotypes.pointers(definition), schemas.definitions().get(definition).properties
    if definition == _SECURITY_CONTEXT:
        there, of_spec = gotypes.pointers(_POD_SPEC), schemas.definitions().get(_POD_SPEC).properties
        pointers, properties = {**{key: there[key] for key in _HOST}, **pointers}, {**of_spec, **properties}
    order = [key for key in pointers if key not in _UNKNOWN.get(definition, ())]
    for key, previous in _MOVED.get(definition, {}).items():
        order.remove(key)
        order.insert(order.index(previous) + 1, key)
    names, values = _NAMES_OF.get(definition, {}), _NO_POINTERS.get(definition, ())
    return tuple(
        Field(key, names.get(key) or _go_name(key), pointers[key] and key not in values, properties[key]) for key in order
    )


def _go_name(key: str) -> str:
    first = re.match("[a-z]*", key)[0]  # type: ignore[index]
    return _NAMES.get(key) or (first.upper() if first in _INITIALISMS.split() else first.capitalize()) + key[len(first) :]


def _form(value: Any, schema: Schema, only: Collection[str] | None = None) -> Any:
    match schema.type:
        case "struct":
            if schema.name.startswith(_NAMES_ITS_FIELDS):
                return _named(value or {}, schema)
            return _struct(value or {}, schema, only)
        case "list":
            return None if value is None else [_form(item, schema.element) for item in value]
        case "map":
            return None if value is None else {key: _form(item, schema.element) for key, item in sorted(value.items())}
    return _ZEROS.get(schema.type) if value is None else value


def _struct(value: Object, schema: Schema, only: Collection[str] | None) -> Object:
    if schema.name == _POD_SPEC:
        host = {key: value[key] for key in _HOST if key in value}
        value = {**value, "securityContext": {**(value.get("securityContext") or {}), **host}}
    found: Object = {}
    for field in fields(schema.name):
        if only is not None and field.key not in only:
            continue
        item = value.get(field.key)
        if field.key == "metadata":
            # Go embeds it.
            found |= _form(item, field.schema)
        else:
            found[field.name] = None if field.is_pointer and item is None else _form(item, field.schema)
    return found


def _named(value: Object, schema: Schema) -> Object:
    """A struct whose fields have names for JSON, and may be left out of it."""
    always, pointers = schema.written, gotypes.pointers(schema.name)
    return {
        key: _form(value.get(key), schema.properties[key])
        for key, is_pointer in pointers.items()
        if key in always or value.get(key) or (is_pointer and value.get(key) is not None)
    }


# The errors


def invalid_struct(path: str, value: Object, definition: str, detail: str) -> FieldError:
    """That the value of a field is invalid, whose type is a definition."""
    return invalid_internal(path, internal(value, definition), detail)


def immutable_struct(path: str, new: Object | None, old: Object | None, definition: str) -> Iterator[FieldError]:
    """What is wrong with an update of a field that may not change, whose type is a definition."""
    if new != old:
        yield invalid_internal(path, None if new is None else internal(new, definition), IMMUTABLE)


def invalid_internal(path: str, value: Any, detail: str) -> FieldError:
    """The same of a value in its internal form."""
    return shown_internal("FieldValueInvalid", path, "Invalid value", value, detail)


def shown_internal(reason: str, path: str, what: str, value: Any, detail: str = "") -> FieldError:
    """An error that shows such a value."""
    return FieldError(reason, path, f"{what}: {gojson.marshalled(value)}" + (f": {detail}" if detail else ""))


def difference(before: Object, now: Object, definition: str, only: Collection[str] | None = None) -> str:
    """How two values of a definition differ, as errors about updates say it on lines of their own."""
    return gojson.difference(*(internal(value, definition, only) for value in (before, now)))

"""Secret: keys and values that should not be seen."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from navarch.api import printing
from navarch.api.core import serviceaccounttoken, tlskeypair
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import gosyntax, meta, names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, required, too_long

SIZE_LIMIT_BYTES = 1024 * 1024
IMMUTABLE = "field is immutable when `immutable` is set"
_JSON_KEYS = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}
_REQUIRED_KEYS = {"kubernetes.io/ssh-auth": ("ssh-privatekey",), "kubernetes.io/tls": ("tls.crt", "tls.key")}


def default(secret: Object) -> Object:
    secret.setdefault("type", "Opaque")
    plain = secret.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}
    return secret


def validate(secret: Object) -> Iterator[FieldError]:
    data = secret.get("data") or {}
    size = 0
    for key, value in sorted(data.items()):
        yield from (invalid_value(f"data[{key}]", key, text) for text in names.config_key(key))
        size += len(value) * 3 // 4
    if size > SIZE_LIMIT_BYTES:
        yield too_long("data", SIZE_LIMIT_BYTES)
    type_ = secret["type"]
    account = serviceaccounttoken.NAME_ANNOTATION
    if type_ == serviceaccounttoken.TYPE and not meta.annotations(secret).get(account):
        yield required(f"metadata.annotations[{account}]")
    elif type_ == "kubernetes.io/basic-auth" and not ({"username", "password"} & data.keys()):
        yield required("data[username]")
        yield required("data[password]")
    for key in _REQUIRED_KEYS.get(type_, ()):
        if key not in data or (type_ == "kubernetes.io/ssh-auth" and not data[key]):
            yield required(f"data[{key}]")
    if type_ in _JSON_KEYS:
        yield from _json(data, _JSON_KEYS[type_])


def _json(data: Object, key: str) -> Iterator[FieldError]:
    if key not in data:
        yield required(f"data[{key}]")
        return
    content = base64.b64decode(data[key])
    try:
        problem = _no_map(orjson.loads(content))
    except orjson.JSONDecodeError as error:
        problem = gosyntax.complaint(content) or str(error)
    if problem:
        yield invalid_value(f"data[{key}]", "<secret contents redacted>", problem)


def _no_map(value: object) -> str:
    """What Go says of a value that cannot be read as a map."""
    if value is None or isinstance(value, dict):
        return ""
    kinds = {str: "string", bool: "bool", list: "array"}
    return f"json: cannot unmarshal {kinds.get(type(value), 'number')} into Go value of type map[string]interface {{}}"


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new["type"] != old.get("type"):
        yield invalid_value("type", new["type"], "field is immutable")
    if old.get("immutable"):
        if not new.get("immutable"):
            yield forbidden_field("immutable", IMMUTABLE)
        if (new.get("data") or {}) != (old.get("data") or {}):
            yield forbidden_field("data", IMMUTABLE)


def row(secret: Object, now: datetime) -> list[Any]:
    return [secret["metadata"]["name"], secret.get("type", ""), len(secret.get("data") or ()), printing.age(secret, now)]


def warnings(secret: Object, old: Object | None) -> Iterator[str]:
    if secret.get("type") == "kubernetes.io/tls":
        data = secret.get("data") or {}
        problem = tlskeypair.problem(*(base64.b64decode(data.get(key) or "") for key in _REQUIRED_KEYS["kubernetes.io/tls"]))
        if problem:
            yield problem


KIND = Kind(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    default=default,
    validate=validate,
    warnings=warnings,
    validate_update=validate_update,
    selectable_fields={"type": lambda obj: obj.get("type", "")},
    columns=(NAME, Column("Type"), Column("Data"), AGE),
    row=row,
)

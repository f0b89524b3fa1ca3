"""Volumes of a pod: one of many sources each; defaults and validation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from navarch.apimachinery import names, quantity
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)

DEFAULT_MODE = 0o644
MODE_LIMIT = 0o777
HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
TOKEN_EXPIRATION_SECONDS = 3600
TOKEN_EXPIRATION_MIN_SECONDS = 600


def default(volume: Object) -> None:
    """Fill in what a volume leaves open. Changes it."""
    if not any(key for key in volume if key != "name"):
        volume["emptyDir"] = {}
    for kind in ("configMap", "secret", "downwardAPI", "projected"):
        if volume.get(kind) is not None:
            volume[kind].setdefault("defaultMode", DEFAULT_MODE)
    if volume.get("hostPath") is not None:
        volume["hostPath"].setdefault("type", "")
    items = list((volume.get("downwardAPI") or {}).get("items") or ())
    for source in (volume.get("projected") or {}).get("sources") or ():
        token = source.get("serviceAccountToken")
        if token is not None:
            token.setdefault("expirationSeconds", TOKEN_EXPIRATION_SECONDS)
        items += (source.get("downwardAPI") or {}).get("items") or ()
    for item in items:
        if item.get("fieldRef") is not None:
            item["fieldRef"].setdefault("apiVersion", "v1")
        if item.get("resourceFieldRef") is not None:
            item["resourceFieldRef"].setdefault("divisor", "0")


def validate(volumes: Iterable[Object], path: str) -> Iterator[FieldError]:
    """What is wrong with a pod's volumes, defaults applied."""
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        where = f"{path}[{index}]"
        name = volume.get("name", "")
        if not name:
            yield required(f"{where}.name")
        else:
            yield from (invalid_value(f"{where}.name", name, text) for text in names.dns1123_label(name))
            if name in seen:
                yield duplicate(f"{where}.name", name)
            seen.add(name)
        kinds = [key for key in volume if key != "name"]
        for extra in kinds[1:]:
            yield forbidden_field(f"{where}.{extra}", "may not specify more than 1 volume type")
        yield from _source(kinds[0], volume[kinds[0]], f"{where}.{kinds[0]}")


def _source(kind: str, source: Object, path: str) -> Iterator[FieldError]:
    match kind:
        case "emptyDir":
            if source.get("sizeLimit") is not None and quantity.parse(source["sizeLimit"]) < 0:
                yield forbidden_field(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")
        case "hostPath":
            if not source.get("path"):
                yield required(f"{path}.path")
            elif ".." in source["path"].split("/"):
                yield invalid_value(f"{path}.path", source["path"], "must not contain '..'")
            if source["type"] not in HOST_PATH_TYPES:
                yield not_supported(f"{path}.type", source["type"], HOST_PATH_TYPES[1:])
        case "configMap":
            if not source.get("name"):
                yield required(f"{path}.name")
            yield from _mode(source, path)
            yield from _items(source.get("items") or (), f"{path}.items")
        case "secret":
            if not source.get("secretName"):
                yield required(f"{path}.secretName")
            yield from _mode(source, path)
            yield from _items(source.get("items") or (), f"{path}.items")
        case "downwardAPI":
            yield from _mode(source, path)
        case "persistentVolumeClaim":
            if not source.get("claimName"):
                yield required(f"{path}.claimName")
        case "projected":
            yield from _mode(source, path)
            yield from _projected(source.get("sources") or (), f"{path}.sources")


def _projected(sources: Iterable[Object], path: str) -> Iterator[FieldError]:
    for index, source in enumerate(sources):
        where = f"{path}[{index}]"
        if len(source) > 1:
            yield forbidden_field(where, "may not specify more than 1 volume type per source")
        if not source:
            yield required(where)
        for kind in ("configMap", "secret"):
            if kind in source:
                if not source[kind].get("name"):
                    yield required(f"{where}.{kind}.name")
                yield from _items(source[kind].get("items") or (), f"{where}.{kind}.items")
        token = source.get("serviceAccountToken")
        if token is not None:
            seconds = token["expirationSeconds"]
            if seconds < TOKEN_EXPIRATION_MIN_SECONDS:
                yield invalid_value(
                    f"{where}.serviceAccountToken.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"
                )
            if not token.get("path"):
                yield required(f"{where}.serviceAccountToken.path")


def _mode(source: Object, path: str) -> Iterator[FieldError]:
    if not 0 <= source["defaultMode"] <= MODE_LIMIT:
        yield invalid_value(
            f"{path}.defaultMode", source["defaultMode"], "must be a number between 0 and 0777 (octal), both inclusive"
        )


def _items(items: Iterable[Object], path: str) -> Iterator[FieldError]:
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        if not item.get("key"):
            yield required(f"{where}.key")
        if not item.get("path"):
            yield required(f"{where}.path")
        else:
            yield from validate_local_descending_path(item["path"], f"{where}.path")
        mode = item.get("mode")
        if mode is not None and not 0 <= mode <= MODE_LIMIT:
            yield invalid_value(f"{where}.mode", mode, "must be a number between 0 and 0777 (octal), both inclusive")


def validate_local_descending_path(target: str, path: str) -> Iterator[FieldError]:
    """A relative path that does not climb."""
    if target.startswith("/"):
        yield invalid_value(path, target, "must be a relative path")
    if ".." in target.split("/"):
        yield invalid_value(path, target, "must not contain '..'")

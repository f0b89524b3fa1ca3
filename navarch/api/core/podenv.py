"""Environment variables of containers, and the fields and resources that variables and files show; defaults and validation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required

_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
NO_SOURCE = f"must specify one of: {', '.join(f'`{source}`' for source in _SOURCES[:-1])} or `fileKeyRef`"
NOT_BESIDE_VALUE = "may not be specified when `value` is not empty"
ONE_ONLY = "may not have more than one field specified at a time"

# What the downward API can show at all, and what of it variables and files may show.
_FIELDS = frozenset(
    {
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.phase",
        "status.podIP",
        "status.podIPs",
    }
)
OF_VARIABLES = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
OF_FILES = frozenset({"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"})
_RESOURCES = frozenset(f"{side}.{name}" for side in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory"))
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
_SIZES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
# Resource -> (divisors it may be shown in, how it is called).
_DIVISORS = {
    "cpu": (("1m", "1"), "1m and 1", "cpu"),
    "memory": (_SIZES, ", ".join(_SIZES), "memory"),
    "ephemeral-storage": (_SIZES, ", ".join(_SIZES), "local ephemeral storage"),
    "hugepages": (_SIZES, ", ".join(_SIZES), "hugepages"),
}


def default_field(reference: Object | None) -> None:
    if reference is not None and not reference.get("apiVersion"):
        reference["apiVersion"] = "v1"


def default(variables: Iterable[Object]) -> None:
    """Fill in what the sources of variables leave open. Changes them."""
    for variable in variables:
        source = variable.get("valueFrom")
        if source:
            default_field(source.get("fieldRef"))
            if source.get("resourceFieldRef") is not None:
                source["resourceFieldRef"].setdefault("divisor", "0")
            if source.get("fileKeyRef") is not None:
                source["fileKeyRef"].setdefault("optional", False)


def validate(variables: Iterable[Object], path: str) -> Iterator[FieldError]:
    """``env`` of a container."""
    for index, variable in enumerate(variables):
        name = variable.get("name", "")
        if not name:
            yield required(f"{path}[{index}].name")
        else:
            for text in names.env_var_name(name):
                yield invalid_value(f"{path}[{index}].name", name, text)
        source = variable.get("valueFrom")
        if source is not None:
            yield from _source(source, bool(variable.get("value")), f"{path}[{index}].valueFrom")


def _source(source: Object, has_value: bool, path: str) -> Iterator[FieldError]:
    found = [kind for kind in _SOURCES if source.get(kind) is not None]
    for kind in found:
        reference, where = source[kind], f"{path}.{kind}"
        if kind == "fieldRef":
            yield from validate_field(reference, OF_VARIABLES, where)
        elif kind == "resourceFieldRef":
            yield from validate_resource(reference, where)
        elif kind == "fileKeyRef":
            yield from _file_key(reference, where)
        else:
            yield from _key(reference, where)
    if not found:
        yield invalid_value(path, "", NO_SOURCE)
    elif has_value:
        yield invalid_value(path, "", NOT_BESIDE_VALUE)
    elif len(found) > 1:
        yield invalid_value(path, "", ONE_ONLY)


def split_subscript(field: str) -> tuple[str, str] | None:
    """``("metadata.labels", "a")`` of ``metadata.labels['a']``; None of what has no subscript."""
    if not field.endswith("']"):
        return None
    path, bracket, subscript = field.removesuffix("']").partition("['")
    return (path, subscript) if bracket and path else None


def validate_field(reference: Object, shown: frozenset[str], path: str) -> Iterator[FieldError]:
    """A field of the pod, one of those `shown`."""
    version, field = reference.get("apiVersion", ""), reference.get("fieldPath", "")
    if not version:
        yield required(f"{path}.apiVersion")
        return
    if not field:
        yield required(f"{path}.fieldPath")
        return
    parts = split_subscript(field)
    problem = ""
    if version != "v1":
        problem = f"unsupported pod version: {version}"
    elif parts is not None and parts[0] not in ("metadata.annotations", "metadata.labels"):
        problem = f"field label does not support subscript: {field}"
    elif parts is None and field not in _FIELDS and field != "spec.host":
        problem = f"field label not supported: {field}"
    if problem:
        yield invalid_value(f"{path}.fieldPath", field, f"error converting fieldPath: {problem}")
    elif parts is not None:
        key = parts[1].lower() if parts[0] == "metadata.annotations" else parts[1]
        for text in names.qualified_name(key):
            yield invalid_value(path, key, text)
    else:
        # As very old clients called it.
        field = "spec.nodeName" if field == "spec.host" else field
        if field not in shown:
            yield not_supported(f"{path}.fieldPath", field, shown)


def validate_resource(reference: Object, path: str, *, needs_container: bool = False) -> Iterator[FieldError]:
    """A request or limit of a container."""
    resource = reference.get("resource", "")
    is_huge_page = resource.startswith(_HUGE_PAGES)
    if needs_container and not reference.get("containerName"):
        yield required(f"{path}.containerName")
    elif not resource:
        yield required(f"{path}.resource")
    elif resource not in _RESOURCES and not is_huge_page:
        yield not_supported(f"{path}.resource", resource, _RESOURCES)
    divisor = reference.get("divisor", "0")
    known = _DIVISORS.get("hugepages" if is_huge_page else resource.partition(".")[2] if resource in _RESOURCES else "")
    if divisor != "0" and known is not None and divisor not in known[0]:
        text = f"only divisor's values {known[1]} are supported with the {known[2]} resource"
        yield invalid_value(f"{path}.divisor", resource, text)


def _key(reference: Object, path: str) -> Iterator[FieldError]:
    """A key of a ConfigMap or Secret."""
    name, key = reference.get("name", ""), reference.get("key", "")
    for text in names.dns1123_subdomain(name):
        yield invalid_value(f"{path}.name", name, text)
    if not key:
        yield required(f"{path}.key")
    else:
        for text in names.config_key(key):
            yield invalid_value(f"{path}.key", key, text)


def _file_key(reference: Object, path: str) -> Iterator[FieldError]:
    """A variable in a file of an emptyDir (KEP-3721)."""
    key, volume, file = (reference.get(field, "") for field in ("key", "volumeName", "path"))
    if not key:
        yield required(f"{path}.key")
    else:
        for text in names.env_var_name(key):
            yield invalid_value(f"{path}.key", key, text)
    if not volume:
        yield required(f"{path}.volumeName")
    else:
        for text in names.dns1123_label(volume):
            yield invalid_value(f"{path}.volumeName", volume, text)
    if not file:
        yield required(f"{path}.path")
    elif ".." in file.split("/"):
        yield invalid_value(f"{path}.path", file, "must not contain '..'")


def validate_from(sources: Iterable[Object], path: str) -> Iterator[FieldError]:
    """``envFrom`` of a container."""
    for index, source in enumerate(sources):
        where = f"{path}[{index}]"
        prefix = source.get("prefix", "")
        if prefix:
            for text in names.env_var_name(prefix):
                yield invalid_value(f"{where}.prefix", prefix, text)
        found = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in found:
            name = source[kind].get("name", "")
            if not name:
                yield required(f"{where}.{kind}.name")
            else:
                # As the beginning of a name, which may end in a hyphen.
                for text in names.dns1123_subdomain(f"{name[:-2]}a" if len(name) > 1 and name[-1] == "-" else name):
                    yield invalid_value(f"{where}.{kind}.name", name, text)
        if not found:
            yield invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(found) > 1:
            yield invalid_value(path, "", ONE_ONLY)

"""A container's environment: env, envFrom, fields of the pod, resources, Services, and $(NAME) in values and commands.

Pure: ConfigMaps, Secrets and Services are given. What cannot be resolved raises `ConfigError` with Kubernetes' message.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from navarch.apimachinery import quantity
from navarch.apimachinery.errors import Object
from navarch.kubelet import envfile
from navarch.kubelet.resources import all_containers

MASTER_SERVICES = frozenset({"kubernetes"})
MASTER_NAMESPACE = "default"

_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]\Z", re.DOTALL)


class ConfigError(Exception):
    """The container cannot be configured as its spec says; the message is what its status shows."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A ConfigMap or Secret that a container's environment needs."""

    resource: str
    """``configmaps`` or ``secrets``."""
    name: str
    optional: bool


@dataclass(frozen=True, slots=True)
class File:
    """A file of variables."""

    path: str
    """On the node."""
    text: str | None
    """None if it cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the environment is made of, beside the pod."""

    objects: Mapping[tuple[str, str], Object | None] = field(default_factory=dict)
    """(resource, name) -> ConfigMap or Secret of the pod's namespace; None if there is none."""
    services: Iterable[Object] = ()
    """Those of the pod's namespace, and the master Services of ``default``."""
    pod_ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[tuple[str, str], File] = field(default_factory=dict)
    """(volume, path in it) -> the file there, of those volumes that are set up."""


def files(container: Object) -> list[tuple[str, str]]:
    """(volume, path in it) of the files that the environment of `container` needs."""
    references = [(entry.get("valueFrom") or {}).get("fileKeyRef") for entry in container.get("env") or ()]
    return [(reference["volumeName"], reference["path"]) for reference in references if reference]


def references(container: Object) -> list[Reference]:
    """The ConfigMaps and Secrets that the environment of `container` needs."""
    found: list[Reference] = []
    for source in container.get("envFrom") or ():
        for field_name, resource in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            if field_name in source:
                found.append(Reference(resource, source[field_name].get("name", ""), bool(source[field_name].get("optional"))))
    for entry in container.get("env") or ():
        origin = entry.get("valueFrom") or {}
        for field_name, resource in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if field_name in origin:
                found.append(Reference(resource, origin[field_name].get("name", ""), bool(origin[field_name].get("optional"))))
    return found


def make(pod: Object, container: Object, sources: Sources) -> dict[str, str]:
    """The environment, in the order it is set. Raises ConfigError."""
    services = service_environment(pod, sources.services)
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        result.update(_from_object(source, sources))
    known = {**services, **result}
    for entry in container.get("env") or ():
        value = _value(pod, container, entry, sources, known)
        if value is not None:
            # A name given twice keeps the last value and place.
            result.pop(entry["name"], None)
            result[entry["name"]] = known[entry["name"]] = value
    for name, value in services.items():
        result.setdefault(name, value)
    return result


def _from_object(source: Object, sources: Sources) -> Iterator[tuple[str, str]]:
    prefix = source.get("prefix") or ""
    if "configMapRef" in source:
        reference = source["configMapRef"]
        found = _referenced("configmaps", reference, sources)
        items = (found or {}).get("data") or {}
        for key in sorted(items):
            yield prefix + key, items[key]
    if "secretRef" in source:
        found = _referenced("secrets", source["secretRef"], sources)
        items = (found or {}).get("data") or {}
        for key in sorted(items):
            yield prefix + key, _decoded(items[key])


def _referenced(resource: str, reference: Object, sources: Sources) -> Object | None:
    """The object, or None if it is optional and not there. Raises ConfigError."""
    name = reference.get("name", "")
    found = sources.objects.get((resource, name))
    if found is None and not reference.get("optional"):
        raise ConfigError(f'{resource.removesuffix("s")} "{name}" not found')
    return found


def _value(pod: Object, container: Object, entry: Object, sources: Sources, known: Mapping[str, str]) -> str | None:
    """The value of one entry of `env`; None for an optional one that has none."""
    origin = entry.get("valueFrom")
    if not origin:
        return expand(entry.get("value") or "", known)
    if "fieldRef" in origin:
        return field_value(pod, origin["fieldRef"]["fieldPath"], pod_ips=sources.pod_ips, host_ips=sources.host_ips)
    if "resourceFieldRef" in origin:
        return resource_value(pod, container, origin["resourceFieldRef"], sources.allocatable)
    if "configMapKeyRef" in origin:
        return _key(pod, "configmaps", "ConfigMap", origin["configMapKeyRef"], sources, lambda text: text)
    if "secretKeyRef" in origin:
        return _key(pod, "secrets", "Secret", origin["secretKeyRef"], sources, _decoded)
    if "fileKeyRef" in origin:
        return _file_key(origin["fileKeyRef"], sources)
    return None


def _file_key(reference: Object, sources: Sources) -> str | None:
    file = sources.files.get((reference["volumeName"], reference["path"]))
    if file is None:
        raise ConfigError(f'cannot find the volume "{reference["volumeName"]}" referenced by FileKeyRef')
    try:
        if file.text is None:
            raise ValueError(f"cannot read {file.path}")
        value = envfile.value(file.text, reference["key"])
    except ValueError:
        # What is wrong with it may be secret.
        raise ConfigError("couldn't parse env file") from None
    if not value and not reference.get("optional"):
        raise ConfigError(f'environment variable key "{reference["key"]}" not found in file "{file.path}"')
    return value or None


def _key(
    pod: Object, resource: str, kind: str, reference: Object, sources: Sources, decode: Callable[[str], str]
) -> str | None:
    found = _referenced(resource, reference, sources)
    if found is None:
        return None
    value = (found.get("data") or {}).get(reference["key"])
    if value is None:
        if reference.get("optional"):
            return None
        place = f"{pod['metadata']['namespace']}/{reference.get('name', '')}"
        raise ConfigError(f"couldn't find key {reference['key']} in {kind} {place}")
    return decode(value)


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", "surrogateescape")


def field_value(pod: Object, path: str, *, pod_ips: Iterable[str] = (), host_ips: Iterable[str] = ()) -> str:
    """A field of the pod as the downward API shows it. Raises ConfigError for one it does not offer."""
    metadata, spec = pod["metadata"], pod["spec"]
    match = _SUBSCRIPT.match(path)
    if match:
        group = metadata.get(match.group(1).removeprefix("metadata.")) or {}
        return str(group.get(match.group(2), ""))
    ips = [ip for ip in pod_ips if ip]
    hosts = [ip for ip in host_ips if ip]
    simple: dict[str, Callable[[], str]] = {
        "metadata.name": lambda: str(metadata["name"]),
        "metadata.namespace": lambda: str(metadata["namespace"]),
        "metadata.uid": lambda: str(metadata["uid"]),
        "metadata.labels": lambda: format_map(metadata.get("labels") or {}),
        "metadata.annotations": lambda: format_map(metadata.get("annotations") or {}),
        "spec.nodeName": lambda: str(spec.get("nodeName", "")),
        "spec.serviceAccountName": lambda: str(spec.get("serviceAccountName", "")),
        "status.podIP": lambda: ips[0] if ips else "",
        "status.podIPs": lambda: ",".join(ips),
        "status.hostIP": lambda: hosts[0] if hosts else "",
        "status.hostIPs": lambda: ",".join(hosts),
    }
    getter = simple.get(path)
    if getter is None:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return getter()


def format_map(values: Mapping[str, str]) -> str:
    """Labels or annotations as the downward API writes them: sorted ``key="value"`` lines."""
    return "\n".join(f"{key}={json.dumps(values[key], ensure_ascii=False)}" for key in sorted(values))


def resource_value(pod: Object, container: Object, selector: Object, allocatable: Mapping[str, str]) -> str:
    """A request or limit of a container, divided and rounded up. Raises ConfigError.

    A limit of CPU, memory or disk that is not set is what the node can give; a request that is not set is 0 (or the limit).
    """
    name = selector.get("containerName")
    if name and name != container.get("name"):
        found = next((one for one in all_containers(pod) if one["name"] == name), None)
        if found is None:
            raise ConfigError(f"container {name} not found")
        container = found
    side, _, resource = selector["resource"].partition(".")
    resources = container.get("resources") or {}
    text = (resources.get(side) or {}).get(resource)
    if side == "limits" and resource in ("cpu", "memory", "ephemeral-storage") and not quantity.parse(text or "0"):
        text = allocatable.get(resource)
    if text is None and side == "requests":
        text = (resources.get("limits") or {}).get(resource)
    divisor = quantity.parse(selector.get("divisor") or "0") or Fraction(1)
    return str(math.ceil(quantity.parse(text or "0") / divisor))


def service_environment(pod: Object, services: Iterable[Object]) -> dict[str, str]:
    """Variables that name Services: those of the pod's namespace if it wants them, the master ones always."""
    namespace = pod["metadata"]["namespace"]
    links = pod["spec"].get("enableServiceLinks", True)
    chosen: dict[str, Object] = {}
    for service in services:
        name, space = service["metadata"]["name"], service["metadata"]["namespace"]
        if service["spec"].get("clusterIP") in (None, "", "None"):
            continue
        if space == MASTER_NAMESPACE and name in MASTER_SERVICES:
            chosen.setdefault(name, service)
        elif space == namespace and links:
            chosen[name] = service
    result: dict[str, str] = {}
    for name in sorted(chosen):
        result.update(_service_variables(chosen[name]))
    return result


def _service_variables(service: Object) -> Iterator[tuple[str, str]]:
    name = _variable_name(service["metadata"]["name"])
    host = service["spec"]["clusterIP"]
    ports = service["spec"].get("ports") or ()
    yield f"{name}_SERVICE_HOST", host
    if ports:
        yield f"{name}_SERVICE_PORT", str(ports[0]["port"])
    for port in ports:
        if port.get("name"):
            yield f"{name}_SERVICE_PORT_{_variable_name(port['name'])}", str(port["port"])
    for index, port in enumerate(ports):
        protocol = port.get("protocol", "TCP")
        shown = f"[{host}]" if ":" in host else host
        url = f"{protocol.lower()}://{shown}:{port['port']}"
        if index == 0:
            yield f"{name}_PORT", url
        prefix = f"{name}_PORT_{port['port']}_{protocol.upper()}"
        yield prefix, url
        yield f"{prefix}_PROTO", protocol.lower()
        yield f"{prefix}_PORT", str(port["port"])
        yield f"{prefix}_ADDR", host


def _variable_name(name: str) -> str:
    return name.upper().replace("-", "_")


def expand_all(text: str, values: Mapping[str, str]) -> str:
    """As `expand`, where every name must have a value. Raises ConfigError."""
    missing: set[str] = set()

    def lookup(name: str) -> str:
        found = values.get(name, "")
        if not found:
            missing.add(name)
        return found

    expanded = _expand(text, lookup)
    if missing:
        raise ConfigError(f"missing value for {', '.join(sorted(missing))}")
    return expanded


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by its value; ``$$`` stands for ``$``, unknown names stay as they are."""
    return _expand(text, lambda name: values.get(name, f"$({name})"))


def _expand(text: str, lookup: Callable[[str], str]) -> str:
    if "$" not in text:
        return text
    result: list[str] = []
    position = 0
    while position < len(text):
        character = text[position]
        if character != "$" or position + 1 == len(text):
            result.append(character)
            position += 1
        elif text[position + 1] == "$":
            result.append("$")
            position += 2
        elif text[position + 1] == "(" and (end := text.find(")", position + 2)) >= 0:
            name = text[position + 2 : end]
            result.append(lookup(name))
            position = end + 1
        else:
            result.append(text[position : position + 2])
            position += 2
    return "".join(result)

"""Objects with as much in them as the server takes: every field of a kind's schema is tried, what is refused is left out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import Schema
from tests.apiserver.samples import sample

# Set by the server, or of no consequence to what is stored.
LEFT_OUT = frozenset(
    {
        *("managedFields", "uid", "resourceVersion", "selfLink", "deletionTimestamp", "generateName", "ownerReferences"),
        *("status", "ephemeralContainers"),
    }
)
# Words that mean something somewhere, tried in turn where a string is wanted.
WORDS = (
    "word", "1", "10.1.2.3", "10.1.2.0/24", "/dev", "a.example.com", "example.com/word", "Always", "Never",
    "IfNotPresent", "OnFailure", "ClusterFirst", "TCP", "Exists", "In", "Equal", "NoExecute", "Cluster", "Local",
    "ClientIP", "IPv4", "HTTP", "RuntimeDefault", "Unconfined", "HostToContainer", "None", "Default", "Filesystem",
    "Retain", "Delete", "Immediate", "ReadWriteOnce", "Service", "ServiceAccount", "Role", "Pod", "Namespaced",
    "Container", "OrderedReady", "RollingUpdate", "Recreate", "Indexed", "Allow", "Forbid", "File", "Utilization",
    "Resource", "Percent", "Max", "Average", "Exact", "Equivalent", "Fail", "IfHealthyBudget", "DoNotSchedule", "Honor",
    "kubernetes.io/hostname", "metadata.name", "limits.cpu", "linux", "SIGTERM", "v1", "spec.x", "* * * * *", "Etc/UTC",
    "true", "object.metadata.name", "12345",
)  # fmt: skip


POD_SPEC = "io.k8s.api.core.v1.PodSpec"
# Where kinds that make pods keep the pods' spec.
TEMPLATES = (("template", "spec"), ("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec"))


def grown(kind: Kind, name: str, accepts: Callable[[Object], bool], pod_spec: Object | None = None) -> Object:
    """The sample of a kind, with everything that `accepts` (a dry run) does not refuse.

    `pod_spec`, of a grown pod, goes into the templates of kinds that make pods: it need not grow again there.
    """
    obj = sample(kind, name)
    assert accepts(obj), kind.resource
    if pod_spec is not None:
        for path in TEMPLATES:
            for key, value in pod_spec.items() if meta.get_path(obj, *path) is not None else ():
                tried = meta.set_path(obj, value, *path, key)
                obj = tried if accepts(tried) else obj
    _grow(obj, obj, schemas.of(kind), accepts, ())
    return obj


def _grow(whole: Object, at: Object, schema: Schema, accepts: Callable[[Object], bool], above: tuple[str, ...]) -> None:
    """`above` names the definitions that this one is part of: where they refer to themselves, it is once."""
    if schema.name in above:
        return
    above = (*above, schema.name)
    for key, child in schema.properties.items():
        if key in LEFT_OUT or (len(above) == 1 and key in ("apiVersion", "kind")):
            continue
        if key not in at:
            for value in _candidates(child):
                at[key] = copy.deepcopy(value)
                if accepts(whole):
                    break
                del at[key]
            else:
                continue
        _grow_below(whole, at[key], child, accepts, above)


def _grow_below(whole: Object, value: Any, schema: Schema, accepts: Callable[[Object], bool], above: tuple[str, ...]) -> None:
    if schema.type == "struct":
        if schema.name != POD_SPEC or whole["kind"] == "Pod":
            _grow(whole, value, schema, accepts, above)
    elif schema.type == "list" and value and schema.element.type == "struct":
        _grow(whole, value[0], schema.element, accepts, above)
    elif schema.type == "map" and schema.element.type == "struct":
        for item in value.values():
            _grow(whole, item, schema.element, accepts, above)


def _candidates(schema: Schema) -> Iterator[Any]:
    """Values that a field of this schema might have, the likeliest first."""
    match schema.type:
        case "struct":
            yield {}
            yield {key: next(_candidates(schema.properties[key])) for key in schema.required}
            for word in WORDS:
                strings = [key for key in schema.required if schema.properties[key].type == "string"]
                if strings:
                    yield {
                        key: word if key in strings else next(_candidates(schema.properties[key])) for key in schema.required
                    }
        case "list":
            for value in _candidates(schema.element):
                yield [value]
        case "map":
            for value in _candidates(schema.element):
                yield {"word": value}
            yield {"cpu": "1"}
            yield {"storage": "1Gi"}
        case "integer":
            yield from (1, 80, 30, 0, 1000)
        case "number":
            yield 1.5
        case "boolean":
            yield from (True, False)
        case "intstr":
            yield from (1, "25%", "word")
        case "quantity":
            yield from ("1", "1Gi")
        case "time":
            yield "2026-01-02T03:04:05Z"
        case "microtime":
            yield "2026-01-02T03:04:05.678901Z"
        case "bytes":
            yield "eHl6"
        case "any":
            yield {"free": "form"}
        case _:
            yield from WORDS

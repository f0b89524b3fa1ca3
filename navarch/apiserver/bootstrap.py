"""Objects that the server itself makes when it starts: only what is missing, all in one commit, before anybody is served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson

from navarch.api.apiregistration import apiservice
from navarch.api.core import namespace
from navarch.api.flowcontrol import builtin, flowschema, prioritylevelconfiguration
from navarch.api.kind import Kind
from navarch.api.networking import servicecidr
from navarch.api.scheduling import priorityclass
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.resources import versioned
from navarch.component import clock
from navarch.storage.changes import Write
from navarch.storage.store import Store


def missing(store: Store, wanted: Iterable[tuple[Kind, Object]]) -> list[Write]:
    """Writes that make those of `wanted` that are not there. Whatever bears the name already stays as it is."""
    writes = []
    for kind, obj in wanted:
        metadata = obj["metadata"]
        key = kind.key(metadata.get("namespace", ""), metadata["name"])
        if store.latest(kind.key_prefix, key) is None:
            writes.append(Write(kind.key_prefix, key, versioned(new := complete(kind, obj)), None, new))
    return writes


def complete(kind: Kind, obj: Object) -> Object:
    """A new object as a request would have stored it, with a status of its own if it has one."""
    obj = orjson.loads(orjson.dumps(obj))
    metadata = {**obj["metadata"], "uid": clock.uid(), "creationTimestamp": clock.timestamp()}
    if kind.has_generation:
        metadata["generation"] = 1
    new = kind.default({"apiVersion": kind.api_version, "kind": kind.kind, **obj, "metadata": metadata})
    return {**kind.prepare_create(new), **({"status": obj["status"]} if "status" in obj else {})}


def api_services(store: Store, kinds: Iterable[Kind]) -> list[Write]:
    """Writes after which there is an APIService of every version served here, as it should be, and none of those that were.

    Only those that bear the label of a server that made them are changed.
    """
    kind = apiservice.KIND
    served = {(found.group, found.version): None for found in kinds if found.group != apiservice.GROUP}
    wanted = {apiservice.name_of(*version): apiservice.local(*version) for version in served}
    writes = missing(store, ((kind, obj) for obj in wanted.values()))
    for key, record in store.collection(kind.key_prefix).records.items():
        present = record.object()
        if meta.labels(present).get(apiservice.MANAGED_LABEL) != apiservice.MANAGED_ON_START:
            continue
        right = wanted.get(meta.name(present))
        if right is None:
            writes.append(Write(kind.key_prefix, key, versioned(present), record, present, deletes=True))
        elif right["spec"] != present["spec"]:
            new = {**present, "spec": right["spec"]}
            writes.append(Write(kind.key_prefix, key, versioned(new), record, new))
    return writes


def custom_services(store: Store, kinds: Iterable[Kind]) -> list[Write]:
    """Writes after which every version of these custom kinds has an APIService, as it should be, and none that is gone."""
    kind = apiservice.KIND
    served = {(found.group, found.version): None for found in kinds}
    wanted = {apiservice.name_of(*version): apiservice.of_definitions(*version) for version in served}
    writes = missing(store, ((kind, obj) for obj in wanted.values()))
    for key, record in store.collection(kind.key_prefix).records.items():
        present = record.object()
        if meta.labels(present).get(apiservice.MANAGED_LABEL) != apiservice.MANAGED:
            continue
        right = wanted.get(meta.name(present))
        if right is None:
            writes.append(Write(kind.key_prefix, key, versioned(present), record, present, deletes=True))
        elif right["spec"] != present["spec"]:
            new = {**present, "metadata": dict(present["metadata"]), "spec": right["spec"]}
            writes.append(Write(kind.key_prefix, key, versioned(new), record, new))
    return writes


def system() -> Iterator[tuple[Kind, Object]]:
    """The namespaces and priority classes that every cluster has."""
    for name in namespace.SYSTEM_NAMESPACES:
        yield namespace.KIND, {"metadata": {"name": name}}
    for name in priorityclass.SYSTEM_CLASSES:
        yield priorityclass.KIND, priorityclass.system_class(name)


def default_service_cidr(cidr: str) -> tuple[Kind, Object]:
    """The network that ClusterIPs are taken from, protected and ready."""
    condition = {
        "type": servicecidr.READY,
        "status": "True",
        "reason": "",
        "message": servicecidr.READY_MESSAGE,
        "lastTransitionTime": clock.timestamp(),
    }
    return servicecidr.KIND, {
        "metadata": {"name": servicecidr.DEFAULT_NAME, "finalizers": [servicecidr.FINALIZER]},
        "spec": {"cidrs": [cidr]},
        "status": {"conditions": [condition]},
    }


def flow_control() -> Iterator[tuple[Kind, Object]]:
    """The built-in priority levels and flow schemas."""
    for name, spec in builtin.LEVELS.items():
        yield prioritylevelconfiguration.KIND, builtin.new(name, spec)
    for name, spec in builtin.SCHEMAS.items():
        schema = builtin.new(name, spec)
        condition = builtin.dangling(schema, found=True, now=clock.timestamp())
        yield flowschema.KIND, {**schema, "status": {"conditions": [condition]}}

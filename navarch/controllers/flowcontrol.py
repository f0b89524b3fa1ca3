"""The built-in flow schemas and priority levels stay as they should be; every flow schema says whether its level is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from navarch.api.flowcontrol import builtin
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.informer import Informers
from navarch.controllers.controller import Cluster, Controller, Watch

SCHEMAS = "flowschemas.flowcontrol.apiserver.k8s.io"
LEVELS = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
_BOOLEANS = {"true": True, "false": False, "t": True, "f": False, "1": True, "0": False}


def mended(obj: Object, wanted: Object, *, mandatory: bool) -> Object | None:
    """A built-in object with its spec brought back and its annotation set, or None where nothing is to be done.

    A suggested one that somebody has changed is left to them, unless its annotation says otherwise.
    """
    said = _BOOLEANS.get(meta.annotations(obj).get(builtin.AUTO_UPDATE, "").lower())
    updates = mandatory or (said if said is not None else obj["metadata"].get("generation") == 1)
    result = obj
    if said is not updates:
        result = meta.set_path(result, "true" if updates else "false", "metadata", "annotations", builtin.AUTO_UPDATE)
    spec = wanted
    if mandatory and "exempt" in obj["spec"]:
        # Its shares are an administrator's to choose.
        spec = {**wanted, "exempt": obj["spec"]["exempt"]}
    if updates and obj["spec"] != spec:
        result = {**result, "spec": spec}
    return result if result is not obj else None


def _keeper(
    resource: str, wanted: Mapping[str, Object], mandatory: Mapping[str, Object]
) -> tuple[Callable[[Object, Cluster], Awaitable[bool]], Callable[[str, Cluster], Awaitable[None]]]:
    async def keep(obj: Object, cluster: Cluster) -> bool:
        """Whether it was as it should be."""
        name = meta.name(obj)
        changed = mended(obj, wanted[name], mandatory=name in mandatory) if name in wanted else None
        if changed is None or meta.being_deleted(obj):
            return True
        await cluster.update(resource, changed)
        return False

    async def gone(name: str, cluster: Cluster) -> None:
        if name in wanted:
            try:
                await cluster.create(resource, builtin.new(name, wanted[name]))
            except StatusError as error:
                if not error.is_already_exists:
                    raise

    return keep, gone


_keep_schema, _schema_gone = _keeper(SCHEMAS, builtin.SCHEMAS, builtin.MANDATORY_SCHEMAS)
_keep_level, _level_gone = _keeper(LEVELS, builtin.LEVELS, builtin.MANDATORY_LEVELS)


async def _reconcile_schema(schema: Object, cluster: Cluster) -> None:
    if not await _keep_schema(schema, cluster):
        return
    level = schema["spec"]["priorityLevelConfiguration"]["name"]
    found = cluster.informer(LEVELS).get(level) is not None
    condition = builtin.dangling(schema, found=found, now=meta.format_time(cluster.now()))
    conditions = (schema.get("status") or {}).get("conditions") or ()
    changed = meta.with_condition(conditions, condition)
    if changed != list(conditions):
        await cluster.patch(SCHEMAS, schema, {"status": {"conditions": changed}}, subresource="status")


async def _reconcile_level(level: Object, cluster: Cluster) -> None:
    await _keep_level(level, cluster)


def _schemas_of_level(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    if old is not None and new is not None:
        return ()
    level = meta.name(new if new is not None else old or {"metadata": {}})
    schemas = informers.get(SCHEMAS).list()
    return [meta.name(item) for item in schemas if item["spec"]["priorityLevelConfiguration"]["name"] == level]


FLOW_SCHEMAS = Controller(
    "flowschema-controller", SCHEMAS, _reconcile_schema, gone=_schema_gone, watches=(Watch(LEVELS, _schemas_of_level),)
)
PRIORITY_LEVELS = Controller("prioritylevel-controller", LEVELS, _reconcile_level, gone=_level_gone)

"""Reading and changing ObjectMeta, owner references, conditions and paths, without ever mutating a shared object."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from navarch.apimachinery.errors import Object

EMPTY: Mapping[str, Any] = {}


def name(obj: Object) -> str:
    return str(obj["metadata"].get("name", ""))


def namespace(obj: Object) -> str:
    """The namespace, or "" for a cluster-scoped object."""
    return str(obj["metadata"].get("namespace", ""))


def key(obj: Object) -> str:
    """``namespace/name``, or ``name`` for a cluster-scoped object: what work queues and listers hold."""
    metadata = obj["metadata"]
    space = metadata.get("namespace")
    return f"{space}/{metadata['name']}" if space else str(metadata["name"])


def split_key(key: str) -> tuple[str, str]:
    """The inverse of `key`: (namespace or "", name)."""
    space, _, last = key.rpartition("/")
    return space, last


def uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid", ""))


def labels(obj: Object) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or EMPTY


def annotations(obj: Object) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or EMPTY


def being_deleted(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def resource_version(obj: Object) -> int:
    return int(obj["metadata"].get("resourceVersion") or 0)


def controller_of(obj: Object) -> Object | None:
    """The owner reference with ``controller: true``, if any."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: Object = reference
            return found
    return None


def owner_reference(owner: Object, *, controller: bool = True, block_owner_deletion: bool = True) -> Object:
    """A reference from a dependant to `owner`."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": controller,
        "blockOwnerDeletion": block_owner_deletion,
    }


def is_controlled_by(obj: Object, owner: Object) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def condition(obj: Object, type_: str) -> Object | None:
    """The entry of `status.conditions` of that type."""
    return find((obj.get("status") or EMPTY).get("conditions") or (), "type", type_)


def is_condition_true(obj: Object, type_: str) -> bool:
    for found in (obj.get("status") or EMPTY).get("conditions") or ():
        if found.get("type") == type_:
            return bool(found.get("status") == "True")
    return False


def find(items: Iterable[Object], field: str, value: Any) -> Object | None:
    """The first of `items` whose `field` equals `value`."""
    for item in items:
        if item.get(field) == value:
            return item
    return None


def with_condition(conditions: Sequence[Object], new: Object) -> list[Object]:
    """`conditions` with the one of `new`'s type replaced or appended.

    `lastTransitionTime` of the present one is kept where the status does not change.
    """
    result, placed = [], False
    for present in conditions:
        if present.get("type") != new["type"]:
            result.append(present)
            continue
        placed = True
        if present.get("status") == new.get("status") and "lastTransitionTime" in present:
            new = {**new, "lastTransitionTime": present["lastTransitionTime"]}
        result.append(new)
    if not placed:
        result.append(new)
    return result


def get_path(obj: Any, *path: str) -> Any:
    """The value below nested dicts, or None where a step is missing."""
    for step in path:
        if not isinstance(obj, Mapping):
            return None
        obj = obj.get(step)
    return obj


def set_path(obj: Object, value: Any, *path: str) -> Object:
    """A copy of `obj` with the value at `path` replaced; only the dicts on the path are copied."""
    step, rest = path[0], path[1:]
    child = value if not rest else set_path(obj.get(step) or {}, value, *rest)
    return {**obj, step: child}


def without_path(obj: Object, *path: str) -> Object:
    """A copy of `obj` without the value at `path`; the same object if it has none."""
    step, rest = path[0], path[1:]
    if step not in obj:
        return obj
    if not rest:
        return {field: value for field, value in obj.items() if field != step}
    child = obj[step]
    if not isinstance(child, dict):
        return obj
    return {**obj, step: without_path(child, *rest)}


def parse_time(text: str) -> datetime:
    """A `metav1.Time` or `MicroTime`. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"time without a zone: {text!r}")
    return parsed.astimezone(UTC)


def format_time(moment: datetime) -> str:
    """As `metav1.Time`: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"

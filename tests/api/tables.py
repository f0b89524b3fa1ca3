"""Tables of objects and of what the API says to them, for many kinds."""

from __future__ import annotations

import copy
from typing import Any

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.apiserver.bench import Bench, Reply
from tests.apiserver.samples import sample


def changed(obj: Object, changes: Object) -> Object:
    """`obj` with `changes` merged into it; None removes a field."""
    result = copy.deepcopy(obj)
    for field, value in changes.items():
        if value is None:
            result.pop(field, None)
        elif isinstance(value, dict) and isinstance(result.get(field), dict) and value:
            result[field] = changed(result[field], value)
        else:
            result[field] = copy.deepcopy(value)
    return result


def said(reply: Reply) -> list[str]:
    """``field: message`` of each cause of a refusal."""
    assert (reply.status, reply.reason) == (422, "Invalid"), reply.body
    return [f"{cause['field']}: {cause['message']}" for cause in reply.json["details"]["causes"]]


def refused_create(api: Bench, name: str, changes: Object) -> list[str]:
    """What is said to a sample of the resource with these changes."""
    return said(api.post(name, changed(sample(resource(name), "refused"), changes)))


def refused_update(api: Bench, name: str, changes: Object, *, first: Object | None = None) -> list[str]:
    """What is said to these changes of a sample (that had `first` changed) that is there."""
    kind = resource(name)
    made = api.made(name, changed(sample(kind, "changing"), first or {}))
    try:
        return said(api.put(name, changed(made, changes)))
    finally:
        remove(api, name, "changing")


def remove(api: Bench, name: str, object_name: str, namespace: str = "default") -> None:
    """Delete an object, whatever holds it."""
    api.delete(name, object_name, namespace=namespace)
    if api.get(name, object_name, namespace=namespace).status == 200:
        api.patch(name, object_name, {"metadata": {"finalizers": None}}, namespace=namespace)


def cells(api: Bench, name: str, object_name: str, **options: Any) -> dict[str, Any]:
    """Column -> cell of an object's row in a table."""
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = api.get(name, object_name, headers={"accept": accept}, **options).json
    heads = [column["name"] for column in table["columnDefinitions"]]
    return dict(zip(heads, table["rows"][0]["cells"], strict=True))

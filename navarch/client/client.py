"""The typed face of the API for components: verbs over resources named ``pods`` or ``deployments.apps``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache
from typing import Any

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object, StatusError
from navarch.client import transport as wire
from navarch.client.transport import Transport, WatchEvent

PATCH_TYPES = {
    "json": wire.JSON_PATCH,
    "merge": wire.MERGE_PATCH,
    "strategic": wire.STRATEGIC_MERGE_PATCH,
    "apply": wire.APPLY_PATCH,
}
CONFLICT_RETRIES = 5
COLLECTIONS_REMEMBERED = 1024


Resource = str | Kind
"""A resource by its name, or (of those that users define, which have no name here) by its kind."""


def resource_path(resource: Resource, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The URL path of a resource, e.g. ``/apis/apps/v1/namespaces/a/deployments/b/status``.

    `resource` is ``plural`` or ``plural.group``, as in a work queue's name; an unknown one raises KeyError.
    """
    path = _collection_path(resource, namespace)
    if name:
        path += f"/{name}"
    if subresource:
        path += f"/{subresource}"
    return path


@lru_cache(COLLECTIONS_REMEMBERED)
def _collection_path(resource: Resource, namespace: str) -> str:
    kind = resource if isinstance(resource, Kind) else registry.resource(resource)
    return f"{kind.api_path}{f'/namespaces/{namespace}' if kind.namespaced and namespace else ''}/{kind.plural}"


class Client:
    """Verbs of the API. Objects it returns are shared: copy what you change."""

    def __init__(self, transport: Transport, *, field_manager: str = "navarch") -> None:
        self.transport = transport
        self.field_manager = field_manager

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        return await self.transport.request("GET", resource_path(resource, namespace, name, subresource))

    async def list(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = "", **query: str
    ) -> Object:
        """The whole list object (``items``, ``metadata.resourceVersion``)."""
        query |= _selectors(label_selector, field_selector)
        return await self.transport.request("GET", resource_path(resource, namespace), query=query)

    def watch(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = "", **query: str
    ) -> AsyncIterator[WatchEvent]:
        query |= _selectors(label_selector, field_selector)
        return self.transport.watch(resource_path(resource, namespace), query)

    async def create(
        self, resource: Resource, obj: Object, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> Object:
        """Create an object, or with `subresource` (binding, eviction, token) do what that one does."""
        namespace = namespace or obj.get("metadata", {}).get("namespace", "")
        path = resource_path(resource, namespace, name, subresource)
        return await self.transport.request("POST", path, query=self._manager(), body=obj)

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Replace; refused with Conflict if `metadata.resourceVersion` is not the newest."""
        metadata = obj["metadata"]
        path = resource_path(resource, metadata.get("namespace", ""), metadata["name"], subresource)
        return await self.transport.request("PUT", path, query=self._manager(), body=obj)

    async def update_status(self, resource: Resource, obj: Object) -> Object:
        return await self.update(resource, obj, subresource="status")

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        patch_type: str = "merge",
        subresource: str = "",
        **query: str,
    ) -> Object:
        """Patch; `patch_type` is json, merge, strategic or apply."""
        path = resource_path(resource, namespace, name, subresource)
        query = {**self._manager(), **query}
        return await self.transport.request("PATCH", path, query=query, body=patch, content_type=PATCH_TYPES[patch_type])

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str = "",
    ) -> Object:
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
        if preconditions:
            options["preconditions"] = preconditions
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation_policy:
            options["propagationPolicy"] = propagation_policy
        return await self.transport.request("DELETE", resource_path(resource, namespace, name), body=options)

    async def delete_if_exists(self, resource: Resource, name: str, namespace: str = "", **options: Any) -> None:
        """Delete; an object that is not there is fine."""
        try:
            await self.delete(resource, name, namespace, **options)
        except StatusError as error:
            if not error.is_not_found:
                raise

    async def modify(
        self, resource: Resource, name: str, namespace: str, change: Callable[[Object], Object | None], *, subresource: str = ""
    ) -> Object:
        """Get, `change` (a pure function; None means nothing to do), update; again on conflict."""
        for attempt in range(CONFLICT_RETRIES):
            current = await self.get(resource, name, namespace)
            changed = change(current)
            if changed is None:
                return current
            try:
                return await self.update(resource, changed, subresource=subresource)
            except StatusError as error:
                if not error.is_conflict or attempt == CONFLICT_RETRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def _manager(self) -> dict[str, str]:
        return {"fieldManager": self.field_manager}


def _selectors(label_selector: str, field_selector: str) -> Mapping[str, str]:
    query = {}
    if label_selector:
        query["labelSelector"] = label_selector
    if field_selector:
        query["fieldSelector"] = field_selector
    return query

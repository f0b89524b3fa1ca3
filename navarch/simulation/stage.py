"""What actions act on: the cluster, its nodes by target, its objects by name, and the chance that is left to them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.simulation import arguments
from navarch.simulation.action import ActionError
from navarch.simulation.cluster import KUBELETS, MANAGER, SCHEDULER, SHARED, STAGES, SimulatedCluster
from navarch.simulation.document import nearest
from navarch.simulation.node import SimulatedNode
from navarch.simulation.resources import Resources

REQUESTERS = (MANAGER, SCHEDULER, KUBELETS, STAGES, SHARED)
"""Who has a way to the API server, beside nodes."""


class Stage:
    """A running cluster, as scenarios act on it."""

    def __init__(self, cluster: SimulatedCluster, seed: int = 0, namespace: str = "default") -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.seed = seed
        self.chance = random.Random(f"{seed}/stage")
        """Of what is drawn while the scenario runs; drawn from nowhere else."""
        self.resources = Resources(cluster.client)

    @property
    def client(self) -> Client:
        """As an administrator."""
        return self.cluster.client

    def nodes(self, target: str) -> list[SimulatedNode]:
        """The nodes that a target means. Raises ActionError where it means none."""
        found = [self.cluster.nodes[name] for name in select(target, self._labels(), self.chance)]
        if not found:
            raise ActionError(f"no node is {target!r}{nearest(target, self.cluster.nodes)}")
        return found

    def _labels(self) -> dict[str, Mapping[str, str]]:
        return {name: node.labels for name, node in self.cluster.nodes.items()}

    async def check_lines(self, of: str, resource: str) -> None:
        """Raises ActionError where patterns mean nobody who asks, or nothing that is asked for."""
        # Clients outside call themselves as they like.
        problem = "" if self.cluster.parts.http else unknown_requester(of, self.cluster.nodes)
        problem = problem or unknown_plural(resource, await self.resources.plurals(resource))
        if problem:
            raise ActionError(problem)

    async def named(self, name: str, namespace: str = "") -> tuple[Kind, str, str]:
        """Kind, namespace and name of ``deployment/web``. Raises ActionError for a resource that there is not."""
        try:
            kind, found = await self.resources.of_name(name)
        except KeyError as error:
            raise ActionError(str(error.args[0])) from None
        return kind, (namespace or self.namespace) if kind.namespaced else "", found

    async def find(self, name: str, namespace: str = "") -> Object | None:
        """An object, if it is there. Raises ActionError."""
        kind, where, found = await self.named(name, namespace)
        try:
            return await self.client.get(kind, found, where)
        except StatusError as error:
            if error.is_not_found:
                return None
            raise

    async def patch(self, name: str, namespace: str, patch: Any, *, type_: str = "merge", subresource: str = "") -> Object:
        """Patch an object; one that is not there raises ActionError with the name that comes nearest."""
        kind, where, found = await self.named(name, namespace)
        try:
            return await self.client.patch(kind, found, patch, where, patch_type=type_, subresource=subresource)
        except StatusError as error:
            if error.is_not_found:
                raise await self._missing(error, kind, where, found) from None
            raise

    async def delete(self, name: str, namespace: str, **options: Any) -> None:
        """Delete an object; one that is not there raises ActionError with the name that comes nearest."""
        kind, where, found = await self.named(name, namespace)
        try:
            await self.client.delete(kind, found, where, **options)
        except StatusError as error:
            if error.is_not_found:
                raise await self._missing(error, kind, where, found) from None
            raise

    async def apply(self, obj: Object, namespace: str = "") -> Object:
        """Server-side apply, taking over what others manage. Raises StatusError, ActionError."""
        try:
            kind = await self.resources.of_object(obj)
        except KeyError as error:
            raise ActionError(str(error.args[0])) from None
        metadata = obj.get("metadata") or {}
        where = (metadata.get("namespace") or namespace or self.namespace) if kind.namespaced else ""
        obj = {**obj, "metadata": {**metadata, "namespace": where}} if where else obj
        return await self.client.patch(
            kind, metadata.get("name", ""), obj, where, patch_type="apply", force="true", fieldManager="navarch-simulation"
        )

    async def pods(self, selector: str, namespace: str = "") -> list[Object]:
        """Pods that are not being deleted, in the order of their names."""
        answer = await self.client.list("pods", namespace or self.namespace, label_selector=selector)
        return [pod for pod in answer["items"] if "deletionTimestamp" not in pod["metadata"]]

    async def _missing(self, error: StatusError, kind: Kind, namespace: str, name: str) -> ActionError:
        there = await self.client.list(kind, namespace)
        return ActionError(f"{error.message}{nearest(name, [obj['metadata']['name'] for obj in there['items']])}")


def select(target: str, nodes: Mapping[str, Mapping[str, str]], chance: random.Random) -> Sequence[str]:
    """Names of the nodes that a target means, of those with these labels."""
    if target == arguments.ALL:
        return list(nodes)
    if target == arguments.ANY:
        return [chance.choice(list(nodes))] if nodes else []
    if target in nodes:
        return [target]
    key, equals, value = target.partition("=")
    return [name for name, labels in nodes.items() if equals and labels.get(key) == value]


def unknown_requester(pattern: str, nodes: Iterable[str]) -> str:
    """Why a pattern means nobody whose requests a fault could meet, or ""."""
    known = [*REQUESTERS, *nodes]
    if any(fnmatchcase(name, pattern) for name in known):
        return ""
    return f"unknown target: nobody who asks is {pattern!r}{nearest(pattern, known)}"


def unknown_plural(pattern: str, plurals: Iterable[str]) -> str:
    """Why a pattern means no resource, or ""."""
    known = list(plurals)
    if any(fnmatchcase(name, pattern) for name in known):
        return ""
    return f"unknown target: no resource is {pattern!r}{nearest(pattern, known)}"


def unknown_target(target: str, nodes: Mapping[str, Mapping[str, str]]) -> str:
    """Why a target means no node, or ""."""
    if target in (arguments.ANY, arguments.ALL) or select(target, nodes, random.Random(0)):
        return ""
    known: Iterable[str] = [*nodes, arguments.ANY, arguments.ALL]
    if "=" in target:
        known = sorted({f"{key}={value}" for labels in nodes.values() for key, value in labels.items()})
    return f"unknown target: no node is {target!r}{nearest(target, known)}"

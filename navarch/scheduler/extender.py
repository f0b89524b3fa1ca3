"""Extenders: services over HTTP that have a say in where pods go (k8s.io/kube-scheduler/extender/v1).

They are asked after all plugins: to filter the nodes that are left, to prioritize them, and one of them to bind.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component.httpclient import HTTPClient
from navarch.scheduler.framework import MAX_NODE_SCORE
from navarch.scheduler.podinfo import PodInfo

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS = 5.0
MAX_EXTENDER_SCORE = 10
ANSWER_LIMIT_BYTES = 64 << 20
TIMED_OUT = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"


class ExtenderError(Exception):
    """An extender could not be asked, or says that it failed."""


@dataclass(frozen=True, slots=True)
class ExtenderConfig:
    """One entry of `extenders`."""

    url_prefix: str
    filter_verb: str = ""
    prioritize_verb: str = ""
    weight: int = 0
    bind_verb: str = ""
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    node_cache_capable: bool = False
    managed_resources: frozenset[str] = frozenset()
    ignored_resources: frozenset[str] = frozenset()
    """Those of them that the scheduler itself does not look at."""
    is_ignorable: bool = False
    tls: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Filtering:
    """What an extender says of nodes."""

    names: list[str]
    failed: dict[str, str]
    """Node -> the reason."""
    unresolvable: frozenset[str] = frozenset()


class Extender:
    """One extender. Its answers are read whatever the case of their fields' names, as Go's decoder does."""

    def __init__(self, config: ExtenderConfig) -> None:
        self.config = config
        self._path = urlsplit(config.url_prefix).path.rstrip("/")
        self._client = HTTPClient(config.url_prefix, tls=_tls(config))

    async def stop(self) -> None:
        self._client.close()
        await self._client.wait_closed()

    def is_interested(self, pod: PodInfo) -> bool:
        if not self.config.managed_resources:
            return True
        containers = [*(pod.spec.get("containers") or ()), *(pod.spec.get("initContainers") or ())]
        return any(
            self.config.managed_resources & (found.get(side) or meta.EMPTY).keys()
            for found in (container.get("resources") or meta.EMPTY for container in containers)
            for side in ("requests", "limits")
        )

    async def filter(self, pod: PodInfo, nodes: Mapping[str, Object]) -> Filtering:
        """Which nodes remain. Raises ExtenderError."""
        answer = await self._ask(self.config.filter_verb, self._arguments(pod, nodes))
        if answer.get("error"):
            raise ExtenderError(str(answer["error"]))
        if self.config.node_cache_capable and answer.get("nodenames") is not None:
            names = list(answer["nodenames"])
        else:
            names = [meta.name(item) for item in _folded(answer.get("nodes") or {}).get("items") or ()]
        unknown = [name for name in names if name not in nodes]
        if unknown:
            raise ExtenderError(
                f'extender "{self.config.url_prefix}" claims a filtered node "{unknown[0]}" '
                "which is not found in the input node list"
            )
        never = dict(answer.get("failedandunresolvablenodes") or {})
        return Filtering(names, {**(answer.get("failednodes") or {}), **never}, frozenset(never))

    async def prioritize(self, pod: PodInfo, nodes: Mapping[str, Object]) -> dict[str, int]:
        """Node -> what is added to its total. Raises ExtenderError."""
        answer = await self._ask(self.config.prioritize_verb, self._arguments(pod, nodes))
        factor = self.config.weight * (MAX_NODE_SCORE // MAX_EXTENDER_SCORE)
        found = [_folded(item) for item in answer] if isinstance(answer, list) else []
        return {item["host"]: int(item["score"]) * factor for item in found}

    async def bind(self, pod: PodInfo, node: str) -> None:
        """Raises ExtenderError."""
        arguments = {"PodName": pod.name, "PodNamespace": pod.namespace, "PodUID": pod.uid, "Node": node}
        answer = await self._ask(self.config.bind_verb, arguments)
        if answer.get("error"):
            raise ExtenderError(str(answer["error"]))

    def _arguments(self, pod: PodInfo, nodes: Mapping[str, Object]) -> Object:
        if self.config.node_cache_capable:
            return {"Pod": pod.pod, "Nodes": None, "NodeNames": list(nodes)}
        items = {"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": list(nodes.values())}
        return {"Pod": pod.pod, "Nodes": items, "NodeNames": None}

    async def _ask(self, verb: str, arguments: Object) -> Any:
        where = f"{self._path}/{verb}"
        try:
            answer = await self._client.request(
                "POST",
                where,
                headers={"Content-Type": "application/json"},
                body=orjson.dumps(arguments),
                timeout_seconds=self.config.timeout_seconds,
            )
        except TimeoutError:
            raise ExtenderError(f'Post "{self.config.url_prefix}/{verb}": {TIMED_OUT}') from None
        except OSError as error:
            raise ExtenderError(f'Post "{self.config.url_prefix}/{verb}": {self._reason(error)}') from error
        if answer.status != 200:
            raise ExtenderError(f"failed {verb} with extender at URL {self.config.url_prefix}/{verb}, code {answer.status}")
        try:
            return _folded(orjson.loads(answer.body[:ANSWER_LIMIT_BYTES]))
        except orjson.JSONDecodeError as error:
            raise ExtenderError(f"extender {self.config.url_prefix} did not answer with JSON: {error}") from error

    def _reason(self, error: OSError) -> str:
        """As Go words it."""
        if isinstance(error, ConnectionRefusedError) or "refused" in str(error).lower():
            return f"dial tcp {self._client.host}:{self._client.port}: connect: connection refused"
        return "EOF" if isinstance(error, ConnectionResetError) else str(error)


def _folded(value: Any) -> Any:
    """An object with the names of its fields in lower case."""
    return {name.lower(): part for name, part in value.items()} if isinstance(value, dict) else value


def _tls(config: ExtenderConfig) -> ssl.SSLContext | None:
    if not config.url_prefix.startswith("https:"):
        return None
    tls = config.tls
    data = base64.b64decode(tls["caData"]).decode() if tls.get("caData") else None
    context = ssl.create_default_context(cafile=tls.get("caFile") or None, cadata=data)
    if tls.get("insecure"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if tls.get("certFile"):
        context.load_cert_chain(Path(tls["certFile"]), Path(tls["keyFile"]) if tls.get("keyFile") else None)
    return context


@dataclass(slots=True)
class Remaining:
    """What all extenders together leave."""

    names: list[str]
    reasons: dict[str, str]
    unresolvable: set[str] = field(default_factory=set)


async def filter_all(extenders: Sequence[Extender], pod: PodInfo, nodes: Mapping[str, Object]) -> Remaining:
    """Ask one after the other, each about what the ones before it left. Raises ExtenderError of one that may not be ignored."""
    left = Remaining(list(nodes), {})
    for extender in extenders:
        if not left.names or not extender.config.filter_verb:
            continue
        try:
            found = await extender.filter(pod, {name: nodes[name] for name in left.names})
        except ExtenderError as error:
            if extender.config.is_ignorable:
                logger.warning("skipping an extender that failed: %s", error)
                continue
            raise
        kept = set(found.names)
        # Of nodes that it leaves out without a word, nothing is told.
        left.reasons |= {name: reason for name, reason in found.failed.items() if name in nodes and name not in kept}
        left.unresolvable |= found.unresolvable
        left.names = [name for name in left.names if name in kept]
    return left


async def prioritize_all(extenders: Sequence[Extender], pod: PodInfo, nodes: Mapping[str, Object]) -> dict[str, int]:
    """The sum of what they say; one that fails has no say."""
    total = dict.fromkeys(nodes, 0)
    asked = [extender for extender in extenders if extender.config.prioritize_verb]
    for answer in await asyncio.gather(*(one.prioritize(pod, nodes) for one in asked), return_exceptions=True):
        if isinstance(answer, ExtenderError | KeyError | TypeError | ValueError):
            logger.warning("an extender's priorities are left out: %s", answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            for name, score in answer.items():
                if name in total:
                    total[name] += score
    return total

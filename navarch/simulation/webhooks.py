"""The webhooks of a simulated cluster: what they answer, and where it is not got.

What a webhook answers is said by annotations of its configuration, of all its webhooks or (with `.NAME`) of one:

    simulation.navarch.local/deny: "not on a Friday"          it allows nothing, and says so
    simulation.navarch.local/patch: '[{"op": "add", …}]'      what one that may change objects makes of them (a JSON patch)
    simulation.navarch.local/answer-seconds: "0.2"            how long it thinks

Without a word it allows everything at once. One at a URL is always there; one behind a Service is there as far as the pod
that is asked, and its node, are. Those that definitions of custom resources name convert by writing another version.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import random
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

import orjson

from navarch.api.admissionregistration import mutatingwebhookconfiguration, validatingwebhookconfiguration
from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.component.httpclient import Answer, HTTPClient
from navarch.simulation import behaviour
from navarch.simulation.behaviour import BehaviourError
from navarch.storage.store import Store

if TYPE_CHECKING:
    from navarch.simulation.node import SimulatedNode

CONFIGURATIONS = (mutatingwebhookconfiguration.KIND, validatingwebhookconfiguration.KIND)
How = Literal["hang", "delay", "refuse", "error"]


@dataclass(frozen=True, slots=True)
class Answers:
    """What a webhook answers."""

    deny: str = ""
    """Why it allows nothing."""
    patch: str = ""
    """What it has made of an object."""
    answer_seconds: float = 0.0
    """How long it takes."""


@dataclass(eq=False)
class Trouble:
    """Something that is the matter with some webhooks."""

    webhook: str = "*"
    """Whose: a pattern of the names of webhooks, or of the hosts that they are reached at."""
    how: How = "hang"
    by: float = 0.0
    """How much later answers come that are delayed, in seconds."""
    share: float = 1.0
    """How many of the calls it concerns."""
    chance: random.Random = field(default_factory=random.Random)


class Webhooks:
    """All webhooks of a cluster."""

    def __init__(self, store: Callable[[], Store], nodes: Callable[[], Iterable[SimulatedNode]]) -> None:
        self._store = store
        self._nodes = nodes
        self.troubles: list[Trouble] = []

    def connect(self, url: str, *, tls: ssl.SSLContext, server_name: str | None) -> HTTPClient:
        """A client of one (`apiserver.webhookclient.Connect`)."""
        return _Way(self, url, server_name)

    async def answer(self, way: _Way, target: str, body: bytes) -> Answer:
        """What is answered over a way; never, where nobody does. Raises ConnectionRefusedError."""
        path = target.partition("?")[0]
        found = next(self._configured(way, path), None)
        failure = await self._meet_troubles({way.name} | ({found[1]["name"]} if found is not None else set()))
        if failure is not None:
            return failure
        if way.is_service:
            await self._reach(way.host)
        review = orjson.loads(body)
        if review["kind"] == "ConversionReview":
            return _json(_converted(review))
        if found is None:
            return Answer(404, {}, b"404 page not found\n")
        configuration, hook = found
        try:
            answers = behaviour.said(configuration, hook["name"], Answers())
            patch = orjson.loads(answers.patch) if answers.patch else None
        except (BehaviourError, ValueError) as error:
            return Answer(500, {}, str(error).encode())
        await clock.sleep(answers.answer_seconds)
        return _json(_reviewed(review, answers.deny, patch))

    def _configured(self, way: _Way, path: str) -> Iterator[tuple[Object, Object]]:
        """(configuration, webhook) of those that are called there."""
        for kind in CONFIGURATIONS:
            for configuration in _all(self._store(), kind):
                for hook in configuration.get("webhooks") or ():
                    if way.is_meant(hook["clientConfig"], path):
                        yield configuration, hook

    async def _meet_troubles(self, names: set[str]) -> Answer | None:
        """What is answered because of them, if anything is. Raises ConnectionRefusedError."""
        for trouble in list(self.troubles):
            concerned = any(fnmatchcase(name, trouble.webhook) for name in names)
            if not concerned or trouble.chance.random() >= trouble.share:
                continue
            if trouble.how == "delay":
                await clock.sleep(trouble.by)
            elif trouble.how == "refuse":
                raise _refused()
            elif trouble.how == "error":
                return Answer(500, {}, b"the webhook has failed")
            else:
                await _never()
        return None

    async def _reach(self, address: str) -> None:
        """Where a pod has that address, and runs on a node to which there is a way. Raises ConnectionRefusedError."""
        for node in self._nodes():
            for pod in list(node.pods.values()):
                if (pod.pod.get("status") or {}).get("podIP") != address:
                    continue
                if node.state != "running" or node.is_cut:
                    await _never()
                if not pod.is_running:
                    raise _refused()
                return
        await _never()


class _Way(HTTPClient):
    """A client without a connection."""

    def __init__(self, webhooks: Webhooks, url: str, server_name: str | None) -> None:
        super().__init__(url, server_name=server_name)
        self._webhooks = webhooks
        self.is_service = server_name is not None
        self.name = server_name or self.host

    def is_meant(self, config: Mapping[str, Any], path: str) -> bool:
        """Whether a clientConfig is of what is called so."""
        service = config.get("service")
        if service is not None:
            name = f"{service['name']}.{service['namespace']}.svc"
            return self.is_service and self.name == name and path == f"/{(service.get('path') or '').removeprefix('/')}"
        host, _, rest = str(config.get("url") or "").partition("://")[2].partition("/")
        return not self.is_service and f"/{rest}" == path and host in (self.host, f"{self.host}:{self.port}")

    async def request(
        self, method: str, target: str, *, body: bytes = b"", timeout_seconds: float | None = None, **rest: Any
    ) -> Answer:
        async with asyncio.timeout(timeout_seconds):
            return await self._webhooks.answer(self, target, body)


def _all(store: Store, kind: Kind) -> Iterator[Object]:
    for record in store.collection(kind.key_prefix).range(kind.key_prefix):
        yield record.object()


def _json(answer: Object) -> Answer:
    return Answer(200, {}, orjson.dumps(answer))


def _reviewed(review: Object, deny: str, patch: Any) -> Object:
    response: Object = {"uid": review["request"]["uid"], "allowed": not deny}
    if deny:
        response["status"] = {"code": 403, "message": deny}
    elif patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(patch)).decode()}
    return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}


def _converted(review: Object) -> Object:
    request = review["request"]
    objects = [{**obj, "apiVersion": request["desiredAPIVersion"]} for obj in request["objects"]]
    response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects}
    return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}


def _refused() -> ConnectionRefusedError:
    return ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


async def _never() -> None:
    """What is sent comes to nobody: who asks waits as long as he likes."""
    await asyncio.get_running_loop().create_future()

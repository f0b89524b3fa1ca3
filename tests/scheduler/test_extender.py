"""Extenders: services that have a say in where pods go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from navarch.apimachinery.errors import Object
from navarch.scheduler.configuration import parse
from navarch.scheduler.engine import Engine
from tests.fakeapi import Bench, bench
from tests.scheduler.test_configuration import document
from tests.scheduler.test_framework import Running
from tests.scheduler.test_scheduler import condition, node, pod, where

Answers = Callable[[str, Object], Any]


@asynccontextmanager
async def service(answers: Answers) -> AsyncIterator[str]:
    """An extender; its URL. `answers`: (verb, arguments) -> the answer; None: none ever comes."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: Any = asyncio.current_task()
        serving.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                verb = head.split(b" ", 2)[1].decode().rpartition("/")[2]
                length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                answer = answers(verb, json.loads(await reader.readexactly(length)))
                if answer is None:
                    await asyncio.Event().wait()
                body = json.dumps(answer).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/scheduler"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@asynccontextmanager
async def extended(answers: Answers, **fields: Any) -> AsyncIterator[Bench]:
    async with service(answers) as url:
        configuration = parse(document(extenders=[{"urlPrefix": url, "filterVerb": "filter", **fields}]))
        async with bench(lambda found: Running(Engine(found.client, found.informers, configuration))) as found:
            for number in range(3):
                found.api.put(node(f"node-{number}"))
            yield found


def test_it_filters_and_prioritizes_what_plugins_leave() -> None:
    asked: list[tuple[str, list[str]]] = []

    def answers(verb: str, arguments: Object) -> Any:
        asked.append((verb, sorted(arguments["NodeNames"])))
        if verb == "filter":
            return {"NodeNames": ["node-0", "node-2"], "FailedNodes": {"node-1": "no licence"}}
        return [{"Host": "node-0", "Score": 1}, {"Host": "node-2", "Score": 10}]

    async def main() -> None:
        async with extended(answers, prioritizeVerb="prioritize", weight=5, nodeCacheCapable=True) as found:
            found.api.put(pod("web"))
            await found.until(lambda: where(found, "web") == "node-2")
            assert asked == [("filter", ["node-0", "node-1", "node-2"]), ("prioritize", ["node-0", "node-2"])]

    asyncio.run(main())


def test_where_it_leaves_nothing_its_reasons_are_told() -> None:
    def answers(verb: str, arguments: Object) -> Any:
        return {
            "Nodes": {"items": []},
            "FailedNodes": {item["metadata"]["name"]: "no licence" for item in arguments["Nodes"]["items"]},
        }

    async def main() -> None:
        async with extended(answers) as found:
            found.api.put(pod("web"))
            await found.until(lambda: condition(found, "web"))
            assert condition(found, "web")["message"].startswith("0/3 nodes are available: 3 no licence.")

    asyncio.run(main())


def test_of_nodes_that_it_leaves_out_without_a_word_nothing_is_told() -> None:
    async def main() -> None:
        async with extended(lambda verb, arguments: {"Nodes": {"items": []}, "FailedNodes": {"node-1": "no licence"}}) as found:
            found.api.put(pod("web"))
            await found.until(lambda: condition(found, "web"))
            assert condition(found, "web")["message"].startswith("0/3 nodes are available: 1 no licence. ")
        async with extended(lambda verb, arguments: {"Nodes": {"items": [node("elsewhere")]}}) as found:
            found.api.put(pod("web"))
            await found.until(lambda: condition(found, "web"))
            message = condition(found, "web")["message"]
            assert message.endswith(' claims a filtered node "elsewhere" which is not found in the input node list')

    asyncio.run(main())


def test_where_one_that_may_be_ignored_cannot_bind_plugins_do() -> None:
    def answers(verb: str, arguments: Object) -> Any:
        return {"Error": "not today"} if verb == "bind" else {"Nodes": arguments["Nodes"]}

    async def main() -> None:
        async with extended(answers, bindVerb="bind", ignorable=True) as found:
            found.api.put(pod("web"))
            await found.until(lambda: where(found, "web"))

    asyncio.run(main())


def test_one_that_does_not_answer_is_passed_over_only_if_it_may_be() -> None:
    async def main() -> None:
        async with extended(lambda verb, arguments: None, httpTimeout="50ms", ignorable=True) as found:
            found.api.put(pod("web"))
            await found.until(lambda: where(found, "web"))
        async with extended(lambda verb, arguments: None, httpTimeout="50ms") as found:
            found.api.put(pod("web"))
            await found.until(lambda: condition(found, "web"))
            assert condition(found, "web")["reason"] == "SchedulerError"
            message = condition(found, "web")["message"]
            assert message.endswith('/filter": context deadline exceeded (Client.Timeout exceeded while awaiting headers)')
            assert not where(found, "web")

    asyncio.run(main())


def test_one_that_is_not_there_is_told_in_kubernetes_words() -> None:
    async def main() -> None:
        async with service(lambda verb, arguments: None) as url:
            pass
        configuration = parse(document(extenders=[{"urlPrefix": url, "filterVerb": "filter"}]))
        async with bench(lambda found: Running(Engine(found.client, found.informers, configuration))) as found:
            found.api.put(node("node-1"))
            found.api.put(pod("web"))
            await found.until(lambda: condition(found, "web"))
            address = url.removeprefix("http://").split("/")[0]
            assert condition(found, "web")["message"] == f'Post "{url}/filter": dial tcp {address}: connect: connection refused'

    asyncio.run(main())


def test_it_is_asked_only_about_pods_that_want_its_resources_and_may_bind_them() -> None:
    bound: list[Object] = []

    def answers(verb: str, arguments: Object) -> Any:
        if verb == "bind":
            bound.append(arguments)
            return {"Error": ""}
        return {"Nodes": arguments["Nodes"], "FailedNodes": {}}

    async def main() -> None:
        managed = [{"name": "example.com/gpu", "ignoredByScheduler": True}]
        async with extended(answers, bindVerb="bind", managedResources=managed) as found:
            found.api.put(pod("plain"))
            await found.until(lambda: where(found, "plain"))
            assert not bound
            wanting = pod("wanting")
            wanting["spec"]["containers"][0]["resources"]["requests"]["example.com/gpu"] = "1"
            found.api.put(wanting)
            await found.until(lambda: bound)
            assert (bound[0]["PodName"], bound[0]["PodNamespace"]) == ("wanting", "default")

    asyncio.run(main())

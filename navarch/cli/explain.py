"""`navarch explain pod`: what every plugin of the scheduler says of every node, and what would let a pod be placed."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from navarch.apimachinery.errors import Object
from navarch.cli.cluster import Cluster, CommandError
from navarch.cli.history import with_api

PATH = "/navarch/v1/explain"
NODES_SHOWN = 10
"""As long as nobody asks for all."""


def pod_named(text: str) -> tuple[str, str]:
    """(namespace, name) of ``[NS/]NAME``. Raises CommandError."""
    namespace, slash, name = text.rpartition("/")
    if not name or (slash and not namespace) or "/" in namespace:
        raise CommandError(f"{text} is not a pod: [NS/]NAME is expected")
    return namespace or "default", name


def explain(cluster: Cluster, namespace: str, name: str, *, all_nodes: bool, as_json: bool) -> int:
    async def ask(api: Any) -> Object:
        answer: Object = await api.request("GET", PATH, query={"namespace": namespace, "name": name})
        return answer

    found = with_api(cluster, ask)
    print(json.dumps(found, indent=2) if as_json else "\n".join(told(found, all_nodes=all_nodes)))
    return 0


def told(found: Object, *, all_nodes: bool = False) -> list[str]:
    """An explanation in lines."""
    lines = [f"pod {found['pod']['namespace']}/{found['pod']['name']}: {_state(found)}"]
    if found["message"]:
        lines.append(found["message"])
    for plugin, problem in (found.get("errors") or {}).items():
        lines.append(f"{plugin} failed: {problem}")
    empty = found["fitsEmptyNodes"]
    lines.append(f"if they were empty, {empty['count']} of {empty['of']} nodes could take it")
    if found["changes"]:
        lines += ["", "One change would help:"]
        lines += [f"  {change['change']} ({_nodes(change)})" for change in found["changes"]]
    fitting = [node for node in found["nodes"] if node["fits"]]
    if fitting:
        lines += ["", *_scores(fitting if all_nodes else fitting[:NODES_SHOWN])]
        lines += _left_out(len(fitting), all_nodes)
    rejected = [node for node in found["nodes"] if not node["fits"]]
    if rejected:
        lines += ["", *(_each(rejected) if all_nodes else _counted(rejected))]
    return lines


def _state(found: Object) -> str:
    queue = found.get("queue")
    if found.get("node"):
        return f"on {found['node']}; this is how it would be placed now"
    if queue is None:
        return "pending"
    if queue.get("gatedBy"):
        return f"kept back by {queue['gatedBy']}: {queue['gate']}"
    attempts = "1 attempt" if queue["attempts"] == 1 else f"{queue['attempts']} attempts"
    return f"pending ({queue['place']}, {attempts})"


def _nodes(change: Object) -> str:
    more = change["nodeCount"] - len(change["nodes"])
    return f"{change['nodeCount']} node(s): {', '.join(change['nodes'])}" + (f" and {more} more" if more else "")


def _left_out(count: int, all_nodes: bool) -> list[str]:
    return [f"and {count - NODES_SHOWN} more (--nodes)"] if count > NODES_SHOWN and not all_nodes else []


def _scores(nodes: list[Object]) -> list[str]:
    """A table: nodes, their totals, and what each plugin adds."""
    plugins = list(nodes[0]["scores"])
    rows = [["NODE", "TOTAL", *plugins]]
    for node in nodes:
        rows.append([node["name"], str(node["score"]), *(str(node["scores"][plugin]["weighted"]) for plugin in plugins)])
    return table(rows)


def _each(nodes: list[Object]) -> list[str]:
    rows = [["NODE", "REJECTED BY", "REASON"]]
    for node in nodes:
        for index, rejection in enumerate(node["rejections"] or [{"plugin": "", "reason": ""}]):
            rows.append([node["name"] if not index else "", rejection["plugin"], rejection["reason"]])
    return table(rows)


def _counted(nodes: list[Object]) -> list[str]:
    counts = Counter((entry["plugin"], entry["reason"]) for node in nodes for entry in node["rejections"])
    rows = [["NODES", "REJECTED BY", "REASON"]]
    rows += [
        [str(count), plugin, reason] for (plugin, reason), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    return table(rows)


def table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]

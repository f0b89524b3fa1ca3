"""Watches of one node's pods each, as kubelets have them: found by the node, and (baseline) by a look at every change.

python bench/watchers.py [--nodes 5000] [--changes 20000]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

# Beside this file.
from api import pod

from navarch.api.core import pod as pods
from navarch.apiserver import selection
from navarch.apiserver.watch import Watch
from navarch.storage.changes import Write
from navarch.storage.indexed import IndexedStore

PREFIX = pods.KIND.key_prefix
PADDING_BYTES = 1500
CHANGES_PER_POD = 5
ROUNDS = 20
"""Of each figure."""


def change(store: IndexedStore, number: int, node: int) -> None:
    """Write one pod, which is on that node."""
    obj = pod(f"pod-{number:07}", PADDING_BYTES)
    obj["metadata"]["namespace"] = "default"
    obj["spec"]["nodeName"] = f"node-{node}"
    data, key = orjson.dumps(obj), f"{PREFIX}default/pod-{number:07}"
    write = Write(PREFIX, key, lambda _: data, store.latest(PREFIX, key), obj)
    store.index.publish(store.index.stage([write]), 0.0)


def watch(store: IndexedStore, node: int, since: int, *, is_indexed: bool) -> Watch:
    chosen = selection.parse(pods.KIND, "", f"spec.nodeName=node-{node}")
    chosen = chosen if is_indexed else replace(chosen, term=None)
    found = Watch(store, pods.KIND, PREFIX, chosen, bookmarks=False, timeout_seconds=None)  # type: ignore[arg-type]
    found.begin(since, initial_events=False)
    return found


def cpu_us(action: Callable[[int], Any], rounds: int = ROUNDS) -> float:
    took = []
    for number in range(rounds):
        began = time.thread_time()
        action(number)
        took.append((time.thread_time() - began) * 1e6)
    return statistics.median(took)


def run(nodes: int, changes: int, *, is_indexed: bool) -> dict[str, float]:
    store = IndexedStore()
    per_node = max(1, changes // CHANGES_PER_POD // nodes)
    count = nodes * per_node
    for number in range(changes):
        change(store, number % count, number % count // per_node)
    began = time.thread_time()
    watch(store, 0, 0, is_indexed=is_indexed).close()
    first = time.thread_time() - began
    replay = cpu_us(lambda node: watch(store, node, 0, is_indexed=is_indexed).close())
    watches = [watch(store, node, store.revision, is_indexed=is_indexed) for node in range(nodes)]
    write = cpu_us(lambda number: change(store, number % count, number % count // per_node))
    for each in watches:
        each.close()
    return {"first_replay_ms": first * 1e3, "replay_us": replay, "write_us": write}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--nodes", type=int, default=5000)
    arguments.add_argument("--changes", type=int, default=20_000)
    options = arguments.parse_args()
    figures = run(options.nodes, options.changes, is_indexed=True)
    baseline = run(options.nodes, options.changes, is_indexed=False)
    figures |= {f"baseline_{name}": value for name, value in baseline.items()}
    for name, value in figures.items():
        print(f"{name:28} {value:12.1f}")
    print(json.dumps({"bench": "watchers", **{name: round(value, 2) for name, value in figures.items()}}))


if __name__ == "__main__":
    main()

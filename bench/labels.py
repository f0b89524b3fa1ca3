"""A list by a label: through the store's index of labels against a search through every object, and what the index costs.

python bench/labels.py [--objects 5000]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

# Beside this file.
from api import pod

from navarch.api.core import pod as pods
from navarch.apiserver import selection
from navarch.storage import labelindex
from navarch.storage.changes import Record
from navarch.storage.collection import LABELLED_MIN, Collection

PREFIX = "/registry/pods/"
ROUNDS = 30
PADDING_BYTES = 1500
PER_APP = 10
"""Pods that share a label."""


def record(number: int, revision: int, **labels: str) -> Record:
    obj = pod(f"pod-{number:07}", PADDING_BYTES, tier="front", shard=f"s{number // PER_APP:07}", **labels)
    obj["metadata"] |= {"namespace": "default", "resourceVersion": str(revision)}
    return Record(f"{PREFIX}default/pod-{number:07}", bytes(memoryview(orjson.dumps(obj))), revision, number + 1)


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_ms(action: Callable[[], Any], rounds: int = ROUNDS) -> float:
    took = []
    for _ in range(rounds):
        began = time.thread_time()
        action()
        took.append((time.thread_time() - began) * 1000)
    return statistics.median(took)


def run(count: int) -> dict[str, float]:
    collection = Collection(PREFIX, 0)
    for number in range(count):
        collection.put(record(number, number + 1))
    collection.keys()
    chosen = selection.parse(pods.KIND, f"shard=s{count // PER_APP // 2:07}", "")
    others = [record(number, count + 1, changed="yes") for number in random.Random(1).sample(range(count), min(count, 1000))]

    def searched() -> list[Record]:
        return chosen.choose(collection.range(PREFIX))

    def indexed() -> list[Record]:
        return chosen.choose(collection.range(PREFIX, labels=chosen.encoded_labels))

    before = [collection.records[other.key] for other in others]
    same = [Record(other.key, other.data, count + 1, other.created) for other in before]

    def put(changed: list[Record]) -> Callable[[], None]:
        def action() -> None:
            for other in changed:
                collection.put(other)
            # And as they were, so that there is always something to change.
            for other in before:
                collection.put(other)

        return action

    figures = {"objects": float(count), "bytes_per_object": statistics.mean(len(r.data) for r in collection.records.values())}
    figures["baseline_list_cpu_ms"] = cpu_ms(searched)
    figures["baseline_put_cpu_us"] = cpu_ms(put(same), 5) / len(others) / 2 * 1000
    gc.collect()
    rss = rss_bytes()
    firsts = [cpu_ms(indexed, 1) for _ in range(0, count, labelindex.STEP)]
    figures["first_lists"] = float(len(firsts))
    figures["first_list_cpu_ms_max"] = max(firsts)
    figures["index_bytes_per_object"] = (rss_bytes() - rss) / count
    figures["list_cpu_ms"] = cpu_ms(indexed)
    figures["list_ratio"] = figures["baseline_list_cpu_ms"] / figures["list_cpu_ms"]
    figures["put_cpu_us"] = cpu_ms(put(same), 5) / len(others) / 2 * 1000
    figures["put_other_labels_cpu_us"] = cpu_ms(put(others), 5) / len(others) / 2 * 1000
    assert indexed() == searched() and len(indexed()) == PER_APP
    return figures


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--objects", type=int, default=5000, help="pods of one namespace")
    options = arguments.parse_args()
    assert options.objects >= max(LABELLED_MIN, 2 * PER_APP)
    figures = run(options.objects)
    for name, value in figures.items():
        print(f"{name:30} {value:12.3f}")
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()

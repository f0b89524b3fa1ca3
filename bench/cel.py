"""Expressions: how many evaluations a second and what compiling takes, beside the same predicate written by hand in Python.

cel-python is measured too, if it is installed.
"""

from __future__ import annotations

import argparse
import json
import re
import timeit
from collections.abc import Callable
from typing import Any

from navarch.apimachinery.cel import structural, types
from navarch.apimachinery.cel.environment import Environment
from navarch.apimachinery.cel.types import Type

TEXT = {"type": "string", "maxLength": 63}
SCHEMA = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"},
        "maxReplicas": {"type": "integer"},
        "name": TEXT,
        "mode": {"type": "string", "enum": ["Fast", "Safe"]},
        "hosts": {"type": "array", "maxItems": 16, "items": TEXT},
        "labels": {"type": "object", "maxProperties": 16, "additionalProperties": TEXT},
        "schedule": {"type": "object", "properties": {"start": {"type": "string", "format": "date-time"}}},
        "ports": {
            "type": "array",
            "maxItems": 16,
            "items": {"type": "object", "properties": {"port": {"type": "integer"}, "name": TEXT}},
        },
    },
}
SELF: dict[str, Any] = {
    "replicas": 3,
    "maxReplicas": 5,
    "name": "web-frontend",
    "mode": "Safe",
    "hosts": ["a.example.com", "b.example.com", "c.example.com"],
    "labels": {"app": "web", "tier": "front"},
    "schedule": {"start": "2026-01-01T00:00:00Z"},
    "ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}, {"port": 8080, "name": "metrics"}],
}
POD: dict[str, Any] = {
    "metadata": {"name": "a", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "a", "image": "example.com/a:1"}, {"name": "b", "image": "example.com/b:2"}]},
}
_NAME = re.compile("^[a-z]([-a-z0-9]*[a-z0-9])?$")

RULES: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "compare": ("self.replicas <= self.maxReplicas", lambda self, _: self["replicas"] <= self["maxReplicas"]),
    "enum": ("self.mode in ['Fast', 'Safe']", lambda self, _: self["mode"] in ("Fast", "Safe")),
    "optional_field": ("!has(self.limit) || self.limit > 1", lambda self, _: "limit" not in self or self["limit"] > 1),
    "prefix": ("self.name.startsWith('web-')", lambda self, _: self["name"].startswith("web-")),
    "pattern": (
        "self.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        lambda self, _: _NAME.search(self["name"]) is not None,
    ),
    "all": (
        "self.hosts.all(h, h.endsWith('.example.com'))",
        lambda self, _: all(host.endswith(".example.com") for host in self["hosts"]),
    ),
    "unique": (
        "self.ports.all(p, self.ports.exists_one(q, q.port == p.port))",
        lambda self, _: all(sum(q["port"] == p["port"] for q in self["ports"]) == 1 for p in self["ports"]),
    ),
    "map_keys": (
        "self.labels.all(k, k.size() < 10 && self.labels[k] != '')",
        lambda self, _: all(len(key) < 10 and value != "" for key, value in self["labels"].items()),
    ),
    "immutable": ("self.name == oldSelf.name", lambda self, old: self["name"] == old["name"]),
    "policy": (
        "object.metadata.labels['app'] == 'web' && object.spec.containers.all(c, c.image.startsWith('example.com/'))",
        lambda _, __: (
            POD["metadata"]["labels"]["app"] == "web"
            and all(container["image"].startswith("example.com/") for container in POD["spec"]["containers"])
        ),
    ),
}
ACTIVATION = {"self": SELF, "oldSelf": SELF, "object": POD}


def environment() -> Environment:
    schema: dict[str, Any] = {**SCHEMA, "properties": {**SCHEMA["properties"], "limit": {"type": "integer"}}}  # type: ignore[dict-item]
    self_type = structural.object_type(schema)
    assert isinstance(self_type, Type)
    return Environment({"self": self_type, "oldSelf": self_type, "object": types.DYN})


def microseconds(run: Callable[[], object], seconds: float) -> float:
    """Of one call, the best of five rounds."""
    count = max(int(seconds / 5 / max(timeit.timeit(run, number=3) / 3, 1e-8)), 1)
    return min(timeit.repeat(run, number=count, repeat=5)) / count * 1e6


def cel_python(text: str) -> Callable[[], object] | None:
    """The same by cel-python; None if it is not installed."""
    try:
        import celpy  # type: ignore[import-not-found]
    except ImportError:
        return None
    other = celpy.Environment()
    program = other.program(other.compile(text))
    activation = {name: celpy.json_to_cel(value) for name, value in ACTIVATION.items()}
    return lambda: program.evaluate(activation)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each figure is measured")
    options = parser.parse_args()
    known, found = environment(), {}
    for name, (text, by_hand) in RULES.items():
        program = known.compile(text)
        assert program.evaluate(ACTIVATION) is by_hand(SELF, SELF) is True
        plain = microseconds(lambda program=program: program.evaluate(ACTIVATION), options.seconds)  # type: ignore[misc]
        figures = {
            "per_second": round(1e6 / plain),
            "metered_per_second": round(
                1e6 / microseconds(lambda program=program: program.measure(ACTIVATION), options.seconds)  # type: ignore[misc]
            ),
            "compile_us": round(microseconds(lambda text=text: known.compile(text), options.seconds)),  # type: ignore[misc]
            "baseline_python_per_second": round(
                1e6 / microseconds(lambda by_hand=by_hand: by_hand(SELF, SELF), options.seconds)  # type: ignore[misc]
            ),
        }
        other = cel_python(text)
        if other is not None:
            figures["cel_python_per_second"] = round(1e6 / microseconds(other, options.seconds))
        found[name] = figures
        print(f"{name:16}{plain:8.2f} µs  {json.dumps(figures)}")
    print(json.dumps({"rules": found}))


if __name__ == "__main__":
    main()

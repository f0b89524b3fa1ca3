"""Bodies that a client might send by mistake or malice, made from the kinds' schemas."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import Schema
from tests.apiserver.samples import sample

DEPTH_LIMIT = 7
STRINGS = (
    "", "a", "A", "web", "default", "x" * 64, "x" * 300, "-",
    ".", "..", "a.b", "a/b", "a/b/c", "/abs", "é", "日本", "\x00", "\n",
    "\ud800".encode("utf-8", "replace").decode(), "0", "-1", "1e9", "25%", "101%", "-5%", "%", "100m", "1Gi", "1.5", "1e400",
    "true", "null", "Always", "Never", "OnFailure", "IfNotPresent", "ClusterFirst", "None", "TCP", "UDP", "Exists", "In",
    "NotIn", "Equal", "Gt", "RollingUpdate", "Recreate", "OnDelete", "NodePort", "LoadBalancer", "ExternalName", "ClusterIP",
    "ClientIP",
    "Local", "IPv4", "IPv6", "10.96.0.5", "::1", "1.2.3.4/33", "2026-01-01T00:00:00Z", "metadata.name", "limits.cpu", "Pod",
    "v1", "apps/v1", "Indexed", "*/5 * * * *", "kubernetes.io/tls", "kubernetes.io/dockerconfigjson", "eA==",
)  # fmt: skip
TIMES = (
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.123456Z",
    "9999-12-31T23:59:59+14:00",
    "0001-01-01T00:00:00Z",
    "x",
    "",
)
INTEGERS = (0, 1, -1, 2, 80, 30080, 65535, 65536, 70000, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, 2**63, -(2**63), 10**30)
JUNK: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    "",
    "x",
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": None},
    {"a": {"a": []}},
)


class Fuzzer:
    """One random source's worth of bodies. `wildness` is the chance that a value is of another type than it should be."""

    def __init__(self, random: Random, wildness: float) -> None:
        self.random = random
        self.wildness = wildness

    def object(self, kind: Kind, name: str) -> Object:
        """A sample of `kind` with parts replaced, added and left out."""
        base = sample(kind, name)
        schema = schemas.of(kind)
        made: Object = self.merged(base, schema, 0)
        if isinstance(made, dict) and self.random.random() < 0.8:
            made["apiVersion"], made["kind"] = kind.api_version, kind.kind
            metadata = made.get("metadata")
            made["metadata"] = metadata if isinstance(metadata, dict) else {}
            made["metadata"] |= {"name": name, **({"namespace": "default"} if kind.namespaced else {})}
            for field in ("resourceVersion", "generateName"):
                if self.random.random() < 0.9:
                    made["metadata"].pop(field, None)
        return made

    def merged(self, base: Any, schema: Schema, depth: int) -> Any:
        """`base` with some of what its schema allows."""
        random = self.random
        if random.random() < self.wildness:
            return self.junk()
        if schema.type == "struct" and isinstance(base, dict):
            result = {}
            for key, value in base.items():
                child = schema.properties.get(key)
                if child is None or random.random() < 0.06:
                    continue
                result[key] = self.merged(value, child, depth + 1) if random.random() < 0.7 else copy.deepcopy(value)
            extra = [key for key in schema.properties if key not in base]
            for key in random.sample(extra, min(len(extra), random.choice((0, 0, 1, 1, 2, 4)))):
                result[key] = self.value(schema.properties[key], depth + 1)
            return result
        if schema.type == "list" and isinstance(base, list):
            items = [self.merged(item, schema.element, depth + 1) for item in base]
            return items + [self.value(schema.element, depth + 1) for _ in range(random.choice((0, 0, 0, 1, 2)))]
        return copy.deepcopy(base) if random.random() < 0.8 else self.value(schema, depth)

    def value(self, schema: Schema, depth: int) -> Any:
        """Anything that the schema allows, or nearly."""
        random = self.random
        if random.random() < self.wildness:
            return self.junk()
        if random.random() < 0.03:
            return None
        match schema.type:
            case "struct":
                if depth > DEPTH_LIMIT:
                    return {}
                keys = list(schema.properties)
                chosen = random.sample(keys, min(len(keys), random.choice((0, 1, 1, 2, 3, 6))))
                return {key: self.value(schema.properties[key], depth + 1) for key in chosen}
            case "list":
                return [self.value(schema.element, depth + 1) for _ in range(random.choice((0, 1, 1, 2)))]
            case "map":
                return {random.choice(STRINGS): self.value(schema.element, depth + 1) for _ in range(random.choice((0, 1, 2)))}
            case "integer" | "number":
                return random.choice(INTEGERS if random.random() < 0.3 else INTEGERS[:10])
            case "boolean":
                return random.random() < 0.5
            case "intstr":
                return random.choice((*INTEGERS, *STRINGS))
            case "quantity":
                return random.choice(("1", "100m", "1Gi", "-1", "0", "1e3", 2, 1.5, "x" if random.random() < 0.2 else "3"))
            case "time" | "microtime":
                return random.choice(TIMES if random.random() < 0.2 else TIMES[2:6])
            case "bytes":
                return random.choice(("", "eA==", "eA", "é", "e A", "bm90IGpzb24="))
            case "any":
                return self.junk()
        return random.choice(STRINGS)

    def junk(self) -> Any:
        return copy.deepcopy(self.random.choice((*JUNK, *STRINGS[:8], *INTEGERS[:4])))

    def json_patch(self, obj: Object) -> Any:
        """Operations on places that are there, were there, or never were."""
        random = self.random
        places = ["", "/", "/metadata/name", "/spec", "/none", "/metadata/labels/a~1b", "no-slash", "/~2", *_pointers(obj, "")]
        operations: list[Any] = []
        for _ in range(random.choice((0, 1, 1, 2, 5))):
            name = random.choice(("add", "remove", "replace", "move", "copy", "test", "nonsense"))
            operation = {"op": name, "path": random.choice(places)}
            if random.random() < 0.9:
                operation["value"] = self.junk()
            if random.random() < 0.7:
                operation["from"] = random.choice(places)
            operations.append(operation if random.random() > self.wildness else self.junk())
        return operations if random.random() > self.wildness else self.junk()

    def merge(self, kind: Kind) -> Any:
        """A fragment of an object, perhaps with directives of strategic merge patches."""
        fragment = self.value(schemas.of(kind), 0)
        return self.directed(fragment)

    def directed(self, value: Any) -> Any:
        random = self.random
        if isinstance(value, dict):
            result = {key: self.directed(item) for key, item in value.items()}
            if random.random() < 0.1:
                result["$patch"] = random.choice(("replace", "delete", "merge", "nonsense", 1, None))
            if random.random() < 0.1:
                result["$retainKeys"] = random.choice((list(value), [], "x", None, [{}]))
            for key in value:
                if random.random() < 0.1:
                    prefix = random.choice(("$setElementOrder/", "$deleteFromPrimitiveList/"))
                    result[prefix + key] = random.choice(([], ["a"], [{"name": "a"}], [{}], "x", None, [[]]))
            return result
        if isinstance(value, list):
            return [self.directed(item) for item in value]
        return value


def _pointers(value: Any, path: str) -> list[str]:
    if isinstance(value, dict):
        below = [(f"{path}/{key}", item) for key, item in value.items()]
    elif isinstance(value, list):
        below = [(f"{path}/{index}", item) for index, item in enumerate(value)] + [(f"{path}/-", None), (f"{path}/-1", None)]
    else:
        return [path]
    return [path] + [pointer for place, item in below for pointer in _pointers(item, place)]

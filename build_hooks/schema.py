"""Build step: Kubernetes' OpenAPI definitions, as kubernetes-validate publishes them, become one compact file.

Undone on the way is what that package adds: enums of apiVersion and kind, nullable types, and its reshaping of Quantity and
IntOrString. The file: a big-endian 8-byte length, that many bytes of zlib-compressed JSON (definitions without descriptions),
then zlib-compressed JSON of descriptions: {definition: {"": text, property: text}}.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

VERSION = "v1.36.0-local"
OUTPUT = Path("navarch/api/schema.bin")

_RESHAPED = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
}


def _cleaned(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_cleaned(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for key, value in schema.items():
        if key == "description" and isinstance(value, str):
            continue
        if key == "properties":
            result[key] = {name: _cleaned(prop) for name, prop in value.items()}
        elif key == "type" and isinstance(value, list):
            (result[key],) = (name for name in value if name != "null")
        elif key == "$ref":
            result[key] = value.rpartition("/")[2]
        else:
            result[key] = _cleaned(value)
    return result


def definitions() -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """All definitions without descriptions, and the descriptions."""
    import kubernetes_validate

    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / VERSION
    source = json.loads((folder / "_definitions.json").read_text())["$defs"]
    schemas: dict[str, Any] = {}
    descriptions: dict[str, dict[str, str]] = {}
    for name, definition in source.items():
        schema = schemas[name] = _RESHAPED.get(name) or _cleaned(definition)
        if "x-kubernetes-group-version-kind" in definition:
            for field in ("apiVersion", "kind"):
                schema.get("properties", {}).get(field, {}).pop("enum", None)
        texts = {"": definition.get("description", "")}
        texts |= {key: prop["description"] for key, prop in definition.get("properties", {}).items() if "description" in prop}
        descriptions[name] = {key: text for key, text in texts.items() if text}
    return schemas, descriptions


def build(root: Path) -> Path:
    """Write the file below `root`; nothing is done if it is there already."""
    target = root / OUTPUT
    if not target.exists():
        schemas, descriptions = definitions()
        first, second = (
            zlib.compress(json.dumps(part, separators=(",", ":"), sort_keys=True).encode(), 9)
            for part in (schemas, descriptions)
        )
        target.write_bytes(struct.pack(">Q", len(first)) + first + second)
    return target


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))

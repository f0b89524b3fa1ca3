"""Write navarch/api/protobuf_fields.txt: field numbers of Kubernetes' protobuf messages, read from its published Go types.

The types are in Debian's golang-k8s-api-dev, golang-k8s-apimachinery-dev and golang-k8s-apiextensions-apiserver-dev:

    python tools/protobuf_fields.py /usr/share/gocode/src/k8s.io > navarch/api/protobuf_fields.txt

One line per message: its definition's name, then ``name=number`` for each field. A field that Go embeds, so that the JSON
form does not have it, is written ``>Definition=number``. A trailing ``*`` says that absent and zero differ (a pointer in Go), a
trailing ``!`` that zero is written in JSON too (no omitempty).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from navarch.api import schemas

_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r'^\s*(?:(\w+)\s+)?([\w.*\[\]]+)\s+`json:"([^"]*)"[^`]*? protobuf:"\w+,(\d+),[^"]*"', re.MULTILINE)
_IMPORT = re.compile(r'^\s*(\w+)\s+"(k8s\.io/[\w/.-]+)"', re.MULTILINE)


def _prefix(package: str) -> str:
    return "io.k8s." + package.removeprefix("k8s.io/").replace("/", ".")


def structs(root: Path) -> dict[str, list[str]]:
    """Definition name -> its fields, as this file writes them."""
    found = {}
    for file in sorted([*root.rglob("types.go"), *root.rglob("well_known_types.go")]):
        text = file.read_text()
        package = "k8s.io/" + str(file.parent.relative_to(root))
        imports = dict(_IMPORT.findall(text))
        for name, body in _STRUCT.findall(text):
            fields = []
            for _, type_, tag, number in _FIELD.findall(re.sub(r"//.*", "", body)):
                json_name, *options = tag.split(",")
                mark = "*" if type_.startswith("*") else "" if "omitempty" in options else "!"
                if "inline" in options or not json_name:
                    where, _, plain = type_.lstrip("*").rpartition(".")
                    json_name, mark = f">{_prefix(imports.get(where, package))}.{plain}", ""
                fields.append(f"{json_name}={number}{mark}")
            if fields:
                found[f"{_prefix(package)}.{name}"] = fields
    return found


def main() -> None:
    known, found = schemas.definitions(), structs(Path(sys.argv[1]))
    written = {name for name in found if name in known and "alpha" not in name}
    # What is only ever embedded has no definition of its own.
    waiting = list(written)
    while waiting:
        embedded = [field[1:].partition("=")[0] for field in found[waiting.pop()] if field.startswith(">")]
        waiting += [name for name in embedded if name in found and name not in written]
        written.update(waiting)
    for name in sorted(written):
        print(name, *found[name])


if __name__ == "__main__":
    main()

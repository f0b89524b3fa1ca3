"""Write navarch/api/protobuf/fields.txt: field numbers of Kubernetes' protobuf messages, read from its published Go types.

The types are in Debian's golang-k8s-api-dev, golang-k8s-apimachinery-dev and golang-k8s-apiextensions-apiserver-dev, and in
kube-aggregator, which Debian does not package:

    python tools/protobuf_fields.py /usr/share/gocode/src/k8s.io > navarch/api/protobuf/fields.txt

One line per message: its definition's name, then ``name=number`` for each field. A field that Go embeds, so that the JSON
form does not have it, is written ``>Definition=number``. A trailing ``*`` says that absent and zero differ (a pointer in Go), a
trailing ``!`` that zero is written in JSON too (no omitempty), a trailing ``&`` that the list is a message of its own.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from navarch.api import schemas

_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r'^\s*(?:(\w+)\s+)?([\w.*\[\]]+)\s+`json:"([^"]*)"[^`]*? protobuf:"\w+,(\d+),(\w+)[^"]*"', re.MULTILINE)
# A list that is a type of its own and not repeated on the wire is a message with repeated items.
_LIST = re.compile(r"^type (\w+) \[\]", re.MULTILINE)
_ALIAS = re.compile(r"^type (\w+) = (\w+)\.(\w+)$", re.MULTILINE)
_FILES = ("types.go", "well_known_types.go", "types_jsonschema.go", "meta/v1/group_version.go")
_IMPORT = re.compile(r'^\s*(\w+)\s+"(k8s\.io/[\w/.-]+)"', re.MULTILINE)


def _prefix(package: str) -> str:
    return "io.k8s." + package.removeprefix("k8s.io/").replace("/", ".")


def structs(root: Path) -> dict[str, list[str]]:
    """Definition name -> its fields, as this file writes them."""
    found = {}
    for file in sorted(file for name in _FILES for file in root.rglob(name)):
        text = file.read_text()
        package = "k8s.io/" + str(file.parent.relative_to(root))
        imports, lists = dict(_IMPORT.findall(text)), frozenset(_LIST.findall(text))
        aliases = {name: f"{_prefix(imports[where])}.{plain}" for name, where, plain in _ALIAS.findall(text)}
        for name, body in _STRUCT.findall(text):
            fields = []
            for _, type_, tag, number, label in _FIELD.findall(re.sub(r"//.*", "", body)):
                json_name, *options = tag.split(",")
                if json_name == "-":
                    continue
                mark = "*" if type_.startswith("*") else "" if "omitempty" in options else "!"
                if "inline" in options or not json_name:
                    where, _, plain = type_.lstrip("*").rpartition(".")
                    own = f"{_prefix(imports.get(where, package))}.{plain}"
                    json_name, mark = f">{own if where else aliases.get(plain, own)}", ""
                if type_ in lists and label == "opt":
                    mark += "&"
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

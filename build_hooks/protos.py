"""Build step: the messages of CRI and etcd (``*.proto``) become Python classes (``*_pb2.py``, ``*_pb2.pyi``), not committed."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path

PROTO_DIRECTORIES = (Path("navarch/cri"), Path("navarch/storage/etcd"))


def build(root: Path) -> None:
    """Compile below `root` what is newer than its classes."""
    for proto in sorted(proto for directory in PROTO_DIRECTORIES for proto in (root / directory).glob("*.proto")):
        made = proto.with_name(f"{proto.stem}_pb2.py")
        if made.exists() and made.stat().st_mtime >= proto.stat().st_mtime:
            continue
        protoc = import_module("grpc_tools.protoc")
        arguments = ["protoc", f"-I{root}", f"-I{files('grpc_tools')}/_proto", f"--python_out={root}", f"--pyi_out={root}"]
        if protoc.main([*arguments, str(proto)]) != 0:
            raise RuntimeError(f"protoc failed on {proto}")


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())

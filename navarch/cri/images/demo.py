"""The demo image: busybox, so that a cluster without any registry has something to run.

It holds the machine's own static busybox (Debian's busybox-static) under all its names, a few users and an empty web root.
Shell, `httpd` with CGI, `wget`, `nslookup` and `nc` are enough for a web application in a ConfigMap.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

from navarch.cri.images.oci import ImageConfig, Tree
from navarch.cri.images.pause import architecture

REFERENCE = "navarch.local/demo:1"

_USERS = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\ndemo:x:1000:1000:demo:/home/demo:/bin/sh\n"
_GROUPS = b"root:x:0:\nnogroup:x:65534:\ndemo:x:1000:\n"
_LIST_TIMEOUT_SECONDS = 10.0
_PROGRAM_INTERPRETER = 3


def find_busybox() -> Path | None:
    """A busybox on this machine that needs no shared libraries."""
    found = shutil.which("busybox")
    if found is None:
        return None
    path = Path(found).resolve()
    return path if is_static(path) else None


def is_static(program: Path) -> bool:
    """Whether an ELF program (64 bits, little-endian) asks for no interpreter, i.e. brings all its code along."""
    with program.open("rb") as stream:
        header = stream.read(64)
        if header[:6] != b"\x7fELF\x02\x01":
            return False
        (offset,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        stream.seek(offset)
        segments = stream.read(size * count)
    return all(struct.unpack_from("<I", segments, i * size)[0] != _PROGRAM_INTERPRETER for i in range(count))


def image(busybox: Path) -> tuple[Tree, ImageConfig]:
    """The demo image with this busybox."""
    listed = subprocess.run(
        [busybox, "--list-full"], check=True, capture_output=True, text=True, timeout=_LIST_TIMEOUT_SECONDS
    ).stdout
    tree = Tree()
    for name, mode in {"bin": 0o755, "etc": 0o755, "home": 0o755, "home/demo": 0o755, "root": 0o700}.items():
        tree.directory(name, mode)
    for name, mode in {"sbin": 0o755, "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755}.items():
        tree.directory(name, mode)
    for name, mode in {"var": 0o755, "var/tmp": 0o1777, "www": 0o755, "www/cgi-bin": 0o755}.items():
        tree.directory(name, mode)
    tree.file("bin/busybox", busybox, 0o755)
    tree.file("etc/passwd", _USERS)
    tree.file("etc/group", _GROUPS)
    for applet in listed.split():
        if applet != "bin/busybox" and not applet.startswith("linuxrc"):
            tree.link(applet, "/bin/busybox")
    return tree, ImageConfig(architecture=architecture(), command=("/bin/sh",))

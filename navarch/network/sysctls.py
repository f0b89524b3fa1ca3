"""Kernel settings that pod networking needs, in the network namespace of the process, and how they were before."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

logger = logging.getLogger(__name__)

ROOT = Path("/proc/sys")

FORWARDING: Mapping[str, str] = {
    # Pods' packets are carried from one interface to another.
    "net.ipv4.ip_forward": "1",
}
NEEDED: Mapping[str, str] = {
    **FORWARDING,
    # Packets between two pods of a bridge must pass the rules too, or answers come from an endpoint nobody asked.
    "net.bridge.bridge-nf-call-iptables": "1",
}
LOCALHOST: Mapping[str, str] = {
    # Node ports on 127.0.0.1. Only to be set while the proxy's table is there, which drops what else this would let in.
    "net.ipv4.conf.all.route_localnet": "1",
}


def set_needed(record: Path | None = None, wanted: Mapping[str, str] = NEEDED, *, root: Path = ROOT) -> None:
    """Set what is `wanted`; what was changed is noted in `record` for `restore`, as it was the first time."""
    changed = {}
    for name, value in wanted.items():
        path = _path(root, name)
        try:
            present = path.read_text().strip()
            if present != value:
                path.write_text(value)
                changed[name] = present
        except OSError as error:
            logger.warning("cannot set %s to %s: %s", name, value, error)
    if record is not None and changed:
        record.parent.mkdir(parents=True, exist_ok=True)
        noted = json.loads(record.read_text()) if record.exists() else {}
        record.write_text(json.dumps({**changed, **noted}))


def restore(record: Path, *, root: Path = ROOT) -> None:
    """Set back what `record` says was changed."""
    if not record.exists():
        return
    for name, value in json.loads(record.read_text()).items():
        try:
            _path(root, name).write_text(value)
        except OSError as error:
            logger.warning("cannot set %s back to %s: %s", name, value, error)
    record.unlink()


def _path(root: Path, name: str) -> Path:
    return root / name.replace(".", "/")

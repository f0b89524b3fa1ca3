"""Kernel settings that pod networking needs, in the network namespace of the process, and how they were before."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

logger = logging.getLogger(__name__)

ROOT = Path("/proc/sys")

NEEDED: Mapping[str, str] = {
    # Pods' packets are carried from one interface to another.
    "net.ipv4.ip_forward": "1",
    # Packets between two pods of a bridge must pass the rules too, or answers come from an endpoint nobody asked.
    "net.bridge.bridge-nf-call-iptables": "1",
    # Node ports on 127.0.0.1; the table drops what else this would let in.
    "net.ipv4.conf.all.route_localnet": "1",
}


def set_needed(record: Path | None = None, *, root: Path = ROOT) -> None:
    """Set what is needed; what was changed is written to `record`, once, for `restore`."""
    changed = {}
    for name, value in NEEDED.items():
        path = _path(root, name)
        try:
            present = path.read_text().strip()
            if present != value:
                path.write_text(value)
                changed[name] = present
        except OSError as error:
            logger.warning("cannot set %s to %s: %s", name, value, error)
    if record is not None and changed and not record.exists():
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(changed))


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

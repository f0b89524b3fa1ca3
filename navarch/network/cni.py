"""The CNI configuration of a node: a bridge with host-local addresses, unless the user has put another one there.

Pods' packets are masqueraded by the proxy's table, nowhere else: the plugin's own ipMasq stays off. Host ports are the portmap
plugin's.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from navarch.apimachinery.errors import Object

logger = logging.getLogger(__name__)

CNI_VERSION = "1.0.0"
NETWORK = "navarch"
BRIDGE = "navarch-pods"
FILE_NAME = "10-navarch.conflist"
DEFAULT_MTU = 1500
_SUFFIXES = (".conf", ".conflist", ".json")


def configuration(pod_cidr: str, *, mtu: int, data_directory: str, bridge: str = BRIDGE) -> Object:
    """The conflist: pods on a bridge that is their gateway, addresses from `pod_cidr`."""
    return {
        "cniVersion": CNI_VERSION,
        "name": NETWORK,
        "plugins": [
            {
                "type": "bridge",
                "bridge": bridge,
                "isDefaultGateway": True,
                "ipMasq": False,
                "hairpinMode": True,
                "mtu": mtu,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": pod_cidr}]], "dataDir": data_directory},
            },
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        ],
    }


def write(directory: Path, pod_cidr: str, *, mtu: int, data_directory: Path, bridge: str = BRIDGE) -> bool:
    """Put the conflist into `directory`; whether the file changed. Where the user has put one, nothing is written."""
    foreign = [path.name for path in _present(directory) if path.name != FILE_NAME]
    own = directory / FILE_NAME
    if foreign:
        logger.info("CNI configuration %s is used as it is", sorted(foreign)[0])
        own.unlink(missing_ok=True)
        return False
    text = json.dumps(configuration(pod_cidr, mtu=mtu, data_directory=str(data_directory), bridge=bridge), indent=2) + "\n"
    if own.exists() and own.read_text() == text:
        return False
    directory.mkdir(parents=True, exist_ok=True)
    # The runtime watches the directory: it must never see half a file, nor one of another name that ends like a configuration.
    partial = directory / f".{FILE_NAME}.partial"
    partial.write_text(text)
    partial.replace(own)
    return True


def _present(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return [path for path in directory.iterdir() if path.suffix in _SUFFIXES and not path.name.startswith(".")]

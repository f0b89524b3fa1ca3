"""Kinds of storage that pods name directly and that PersistentVolumes stand for alike; defaults and validation of each.

Most of them are served by CSI drivers today, whatever they are called here; the API keeps their rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required, too_long

HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
CSI_DRIVER_NAME_LIMIT = 63
_IQN = re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)\Z", re.ASCII)
_EUI = re.compile(r"eui.[A-Za-z0-9]{16}\Z")
_NAA = re.compile(r"naa.[A-Za-z0-9]{32}\Z")
_SCSI_NAMES = (("iqn", _IQN), ("eui", _EUI), ("naa", _NAA))
SCSI_NAME_STARTS = tuple(start for start, _ in _SCSI_NAMES)
_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]*\Z")
_QUOBYTE = "must be a host:port pair or multiple pairs separated by commas"
SCSI_PORTAL_TOO_LONG = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."
)
VOLUME_AND_PORTAL_LIMIT = 64

Check = Callable[[Object, str], Iterator[FieldError]]

# Fields that a kind of storage needs, and nothing else is asked of it.
_REQUIRED: dict[str, tuple[str, ...]] = {
    "rbd": ("monitors", "image"),
    "cephfs": ("monitors",),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "scaleIO": ("gateway", "system", "volumeName"),
}
_DEFAULTS: dict[str, Object] = {
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}
# Kubernetes calls two of them otherwise in its messages: where a second source is refused, and below themselves.
SHOWN_AS_EXTRA = {"cephfs": "cephFS"}
SHOWN = {"gcePersistentDisk": "persistentDisk"}


def default(sources: Object) -> None:
    """Fill in what the sources of a volume leave open. Changes them."""
    for kind, fields in _DEFAULTS.items():
        source = sources.get(kind)
        if source is not None:
            for field, value in fields.items():
                if not source.get(field):
                    source[field] = value


def needs(source: Object, path: str, *fields: str) -> Iterator[FieldError]:
    for field in fields:
        if not source.get(field):
            yield required(f"{path}.{field}")


def no_backsteps(target: str, path: str) -> Iterator[FieldError]:
    """A path that does not climb."""
    if ".." in target.split("/"):
        yield invalid_value(path, target, "must not contain '..'")


def descending_path(target: str, path: str) -> Iterator[FieldError]:
    """A relative path that does not climb."""
    if target.startswith("/"):
        yield invalid_value(path, target, "must be a relative path")
    yield from no_backsteps(target, path)


def _host_path(source: Object, path: str) -> Iterator[FieldError]:
    if not source.get("path"):
        yield required(f"{path}.path")
        return
    yield from no_backsteps(source["path"], f"{path}.path")
    if source.get("type", "") not in HOST_PATH_TYPES:
        yield not_supported(f"{path}.type", source["type"], HOST_PATH_TYPES)


def _disk(field: str) -> Check:
    def check(source: Object, path: str) -> Iterator[FieldError]:
        yield from needs(source, path, field)
        if not 0 <= source.get("partition", 0) <= 255:
            yield invalid_value(f"{path}.partition", source["partition"], "must be between 1 and 255, inclusive")

    return check


def _flocker(source: Object, path: str) -> Iterator[FieldError]:
    name, uuid = source.get("datasetName", ""), source.get("datasetUUID", "")
    if not name and not uuid:
        yield required(path, "one of datasetName and datasetUUID is required")
    if name and uuid:
        yield invalid_value(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        yield invalid_value(f"{path}.datasetName", name, "must not contain '/'")


def _nfs(source: Object, path: str) -> Iterator[FieldError]:
    yield from needs(source, path, "server", "path")
    if not source.get("path", "").startswith("/"):
        yield invalid_value(f"{path}.path", source.get("path", ""), "must be an absolute path")


def _quobyte(source: Object, path: str) -> Iterator[FieldError]:
    registry = source.get("registry", "")
    if not registry:
        yield required(f"{path}.registry", _QUOBYTE)
    elif len(source.get("tenant", "")) >= 65:
        yield required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in registry.split(","):
            if not _HOST_PORT.match(pair):
                yield invalid_value(f"{path}.registry", registry, _QUOBYTE)
    yield from needs(source, path, "volume")


def is_scsi_name(name: str) -> bool:
    """Whether a name begins with iqn, eui or naa and goes on as such a name must."""
    return any(name.startswith(start) and pattern.match(name) for start, pattern in _SCSI_NAMES)


def _fibre_channel(source: Object, path: str) -> Iterator[FieldError]:
    targets, wwids = source.get("targetWWNs") or [], source.get("wwids") or []
    if not targets and not wwids:
        yield required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if targets and wwids:
        yield invalid_value(f"{path}.targetWWNs", targets, "targetWWNs and wwids can not be specified simultaneously")
    if targets and source.get("lun") is None:
        yield required(f"{path}.lun", "lun is required if targetWWNs is specified")
    elif targets and not 0 <= source["lun"] <= 255:
        yield invalid_value(f"{path}.lun", source["lun"], "must be between 0 and 255, inclusive")


def _flex_volume(source: Object, path: str) -> Iterator[FieldError]:
    yield from needs(source, path, "driver")
    for key in sorted(source.get("options") or ()):
        if f".{key.partition('/')[0].lower()}".endswith((".kubernetes.io", ".k8s.io")):
            yield invalid_value(f"{path}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


def _azure_disk(source: Object, path: str) -> Iterator[FieldError]:
    yield from needs(source, path, "diskName", "diskURI")
    kind, uri = source.get("kind"), source.get("diskURI", "")
    for field, supported in (("cachingMode", ("None", "ReadOnly", "ReadWrite")), ("kind", ("Dedicated", "Managed", "Shared"))):
        if source.get(field) is not None and source[field] not in supported:
            yield not_supported(f"{path}.{field}", source[field], supported)
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        form = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
        yield not_supported(f"{path}.diskURI", uri, (form,))
    elif kind is not None and kind != "Managed" and not uri.startswith("https://"):
        form = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
        yield not_supported(f"{path}.diskURI", uri, (form,))


def validate_csi_driver_name(name: str, path: str) -> Iterator[FieldError]:
    """The name by which a CSI driver is known: a subdomain in any case, not too long."""
    if not name:
        yield required(path)
        return
    if len(name) > CSI_DRIVER_NAME_LIMIT:
        yield too_long(path, CSI_DRIVER_NAME_LIMIT)
    for text in names.dns1123_subdomain(name.lower()):
        yield invalid_value(path, name, text)


def _needs_only(fields: tuple[str, ...]) -> Check:
    return lambda source, path: needs(source, path, *fields)


CHECKS: dict[str, Check] = {
    "hostPath": _host_path,
    "gcePersistentDisk": _disk("pdName"),
    "awsElasticBlockStore": _disk("volumeID"),
    "flocker": _flocker,
    "nfs": _nfs,
    "quobyte": _quobyte,
    "fc": _fibre_channel,
    "flexVolume": _flex_volume,
    "azureDisk": _azure_disk,
    **{kind: _needs_only(fields) for kind, fields in _REQUIRED.items()},
}
"""What is wrong with a source, for those kinds that are the same everywhere."""

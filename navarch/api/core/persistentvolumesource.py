"""What a PersistentVolume stands for: one of many kinds of storage; defaults and validation of each.

Most of them are served by CSI drivers today, whatever they are called here; the API keeps their rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from navarch.api.core import volume
from navarch.apimachinery import names
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_long,
)

CSI_DRIVER_NAME_LIMIT = 63
CSI_SECRETS = ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")
_IQN = re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)\Z", re.ASCII)
_EUI = re.compile(r"eui.[A-Za-z0-9]{16}\Z")
_NAA = re.compile(r"naa.[A-Za-z0-9]{32}\Z")
_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]*\Z")
_QUOBYTE = "must be a host:port pair or multiple pairs separated by commas"

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


def default(spec: Object) -> None:
    """Fill in what the source of a volume leaves open. Changes `spec`."""
    for kind, fields in _DEFAULTS.items():
        source = spec.get(kind)
        if source is not None:
            for field, value in fields.items():
                if not source.get(field):
                    source[field] = value


def validate(spec: Object, path: str, volume_name: str) -> Iterator[FieldError]:
    """Exactly one source, and what is wrong with it."""
    found = [kind for kind in KINDS if spec.get(kind) is not None]
    if not found:
        yield required(path, "must specify a volume type")
        return
    for extra in found[1:]:
        yield forbidden_field(f"{path}.{_SHOWN.get(extra, extra)}", "may not specify more than 1 volume type")
    kind, source = found[0], spec[found[0]]
    where = f"{path}.{_PATHS.get(kind, kind)}"
    if kind == "iscsi":
        yield from _iscsi(source, where, volume_name)
    elif kind in _REQUIRED:
        yield from _needs(source, where, *_REQUIRED[kind])
    else:
        yield from _CHECKS[kind](source, where)


def _needs(source: Object, path: str, *fields: str) -> Iterator[FieldError]:
    for field in fields:
        if not source.get(field):
            yield required(f"{path}.{field}")


def _no_backsteps(target: str, path: str) -> Iterator[FieldError]:
    if ".." in target.split("/"):
        yield invalid_value(path, target, "must not contain '..'")


def _host_path(source: Object, path: str) -> Iterator[FieldError]:
    if not source.get("path"):
        yield required(f"{path}.path")
        return
    yield from _no_backsteps(source["path"], f"{path}.path")
    if source.get("type", "") not in volume.HOST_PATH_TYPES:
        yield not_supported(f"{path}.type", source["type"], volume.HOST_PATH_TYPES)


def _disk(field: str) -> Check:
    def check(source: Object, path: str) -> Iterator[FieldError]:
        yield from _needs(source, path, field)
        if not 0 <= source.get("partition", 0) <= 255:
            yield invalid_value(f"{path}.partition", source["partition"], "must be between 1 and 255, inclusive")

    return check


def _glusterfs(source: Object, path: str) -> Iterator[FieldError]:
    yield from _needs(source, path, "endpoints", "path")
    namespace = source.get("endpointsNamespace")
    if namespace == "":
        text = "if the endpointnamespace is set, it must be a valid namespace name"
        yield invalid_value(f"{path}.endpointsNamespace", namespace, text)
    elif namespace is not None:
        yield from (invalid_value(f"{path}.endpointsNamespace", namespace, text) for text in names.dns1123_label(namespace))


def _flocker(source: Object, path: str) -> Iterator[FieldError]:
    name, uuid = source.get("datasetName", ""), source.get("datasetUUID", "")
    if not name and not uuid:
        yield required(path, "one of datasetName and datasetUUID is required")
    if name and uuid:
        yield invalid_value(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        yield invalid_value(f"{path}.datasetName", name, "must not contain '/'")


def _nfs(source: Object, path: str) -> Iterator[FieldError]:
    yield from _needs(source, path, "server", "path")
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
    yield from _needs(source, path, "volume")


def _is_scsi_name(name: str) -> bool:
    """Whether a name that begins with iqn, eui or naa goes on as such a name must."""
    return any(name.startswith(start) and pattern.match(name) for start, pattern in _SCSI_NAMES)


_SCSI_NAMES = (("iqn", _IQN), ("eui", _EUI), ("naa", _NAA))


def _iscsi(source: Object, path: str, volume_name: str) -> Iterator[FieldError]:
    portal, iqn = source.get("targetPortal", ""), source.get("iqn", "")
    initiator, secret = source.get("initiatorName"), source.get("secretRef")
    yield from _needs(source, path, "targetPortal")
    if initiator is not None and len(f"{volume_name}:{portal}") > 64:
        text = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is "
        text += "specified."
        yield invalid_value(f"{path}.targetportal", portal, text)
    if not iqn:
        yield required(f"{path}.iqn")
    elif not _is_scsi_name(iqn):
        yield invalid_value(f"{path}.iqn", iqn, "must be valid format")
    if not 0 <= source.get("lun", 0) <= 255:
        yield invalid_value(f"{path}.lun", source["lun"], "must be between 0 and 255, inclusive")
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and secret is None:
        yield required(f"{path}.secretRef")
    if secret is not None:
        yield from _needs(secret, f"{path}.secretRef", "name")
    if initiator is not None and not _is_scsi_name(initiator):
        begun = initiator.startswith(("iqn", "eui", "naa"))
        text = "must be valid format" if begun else "must be valid format starting with iqn, eui, or naa"
        yield invalid_value(f"{path}.initiatorname", initiator, text)


def _cinder(source: Object, path: str) -> Iterator[FieldError]:
    yield from _needs(source, path, "volumeID")
    if source.get("secretRef") is not None:
        yield from _needs(source["secretRef"], f"{path}.secretRef", "name", "namespace")


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
    yield from _needs(source, path, "driver")
    for key in sorted(source.get("options") or ()):
        if f".{key.partition('/')[0].lower()}".endswith((".kubernetes.io", ".k8s.io")):
            yield invalid_value(f"{path}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


def _azure_file(source: Object, path: str) -> Iterator[FieldError]:
    yield from _needs(source, path, "secretName", "shareName")
    if source.get("secretNamespace") == "":
        yield required(f"{path}.secretNamespace")


def _azure_disk(source: Object, path: str) -> Iterator[FieldError]:
    yield from _needs(source, path, "diskName", "diskURI")
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


def _local(source: Object, path: str) -> Iterator[FieldError]:
    yield from _needs(source, path, "path")
    yield from _no_backsteps(source.get("path", ""), f"{path}.path")


def _storageos(source: Object, path: str) -> Iterator[FieldError]:
    yield from _needs(source, path, "volumeName")
    for field in ("volumeName", "volumeNamespace"):
        if source.get(field):
            yield from (invalid_value(f"{path}.{field}", source[field], text) for text in names.dns1123_label(source[field]))
    if source.get("secretRef") is not None:
        yield from _needs(source["secretRef"], f"{path}.secretRef", "name", "namespace")


def validate_csi_driver_name(name: str, path: str) -> Iterator[FieldError]:
    """The name by which a CSI driver is known: a subdomain in any case, not too long."""
    if not name:
        yield required(path)
    if len(name) > CSI_DRIVER_NAME_LIMIT:
        yield too_long(path, CSI_DRIVER_NAME_LIMIT)
    yield from (invalid_value(path, name, text) for text in names.dns1123_subdomain(name.lower()))


def _csi(source: Object, path: str) -> Iterator[FieldError]:
    yield from validate_csi_driver_name(source.get("driver", ""), f"{path}.driver")
    yield from _needs(source, path, "volumeHandle")
    for field in CSI_SECRETS:
        if source.get(field) is None:
            continue
        for part, check in (("name", names.dns1123_subdomain), ("namespace", names.dns1123_label)):
            where, value = f"{path}.{field}.{part}", source[field].get(part, "")
            if not value:
                yield required(where)
            else:
                yield from (invalid_value(where, value, text) for text in check(value))


_CHECKS: dict[str, Check] = {
    "hostPath": _host_path,
    "gcePersistentDisk": _disk("pdName"),
    "awsElasticBlockStore": _disk("volumeID"),
    "glusterfs": _glusterfs,
    "flocker": _flocker,
    "nfs": _nfs,
    "quobyte": _quobyte,
    "cinder": _cinder,
    "fc": _fibre_channel,
    "flexVolume": _flex_volume,
    "azureFile": _azure_file,
    "azureDisk": _azure_disk,
    "local": _local,
    "storageos": _storageos,
    "csi": _csi,
}
KINDS = (
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
)
# Kubernetes calls two of them otherwise in its messages.
_PATHS = {"gcePersistentDisk": "persistentDisk"}
_SHOWN = {"cephfs": "cephFS"}

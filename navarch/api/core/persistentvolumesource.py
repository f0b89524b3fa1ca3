"""What a PersistentVolume stands for: one of many kinds of storage; validation of each."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.core import volumesource
from navarch.api.core.volumesource import Check, needs
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, required

CSI_SECRETS = ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")


def validate(spec: Object, path: str, volume_name: str) -> Iterator[FieldError]:
    """Exactly one source, and what is wrong with it."""
    found = [kind for kind in KINDS if spec.get(kind) is not None]
    if not found:
        yield required(path, "must specify a volume type")
        return
    for extra in found[1:]:
        where = f"{path}.{volumesource.SHOWN_AS_EXTRA.get(extra, extra)}"
        yield forbidden_field(where, "may not specify more than 1 volume type")
    kind, source = found[0], spec[found[0]]
    where = f"{path}.{volumesource.SHOWN.get(kind, kind)}"
    if kind == "iscsi":
        yield from _iscsi(source, where, volume_name)
    else:
        yield from _CHECKS[kind](source, where)


def _glusterfs(source: Object, path: str) -> Iterator[FieldError]:
    yield from needs(source, path, "endpoints", "path")
    namespace = source.get("endpointsNamespace")
    if namespace == "":
        text = "if the endpointnamespace is set, it must be a valid namespace name"
        yield invalid_value(f"{path}.endpointsNamespace", namespace, text)
    elif namespace is not None:
        yield from (invalid_value(f"{path}.endpointsNamespace", namespace, text) for text in names.dns1123_label(namespace))


def _iscsi(source: Object, path: str, volume_name: str) -> Iterator[FieldError]:
    portal, iqn = source.get("targetPortal", ""), source.get("iqn", "")
    initiator, secret = source.get("initiatorName"), source.get("secretRef")
    yield from needs(source, path, "targetPortal")
    if initiator is not None and len(f"{volume_name}:{portal}") > volumesource.VOLUME_AND_PORTAL_LIMIT:
        yield invalid_value(f"{path}.targetportal", portal, volumesource.SCSI_PORTAL_TOO_LONG)
    if not iqn:
        yield required(f"{path}.iqn")
    elif not volumesource.is_scsi_name(iqn):
        yield invalid_value(f"{path}.iqn", iqn, "must be valid format")
    if not 0 <= source.get("lun", 0) <= 255:
        yield invalid_value(f"{path}.lun", source["lun"], "must be between 0 and 255, inclusive")
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and secret is None:
        yield required(f"{path}.secretRef")
    if secret is not None:
        yield from needs(secret, f"{path}.secretRef", "name")
    if initiator is not None and not volumesource.is_scsi_name(initiator):
        begun = initiator.startswith(volumesource.SCSI_NAME_STARTS)
        text = "must be valid format" if begun else "must be valid format starting with iqn, eui, or naa"
        yield invalid_value(f"{path}.initiatorname", initiator, text)


def _cinder(source: Object, path: str) -> Iterator[FieldError]:
    yield from needs(source, path, "volumeID")
    if source.get("secretRef") is not None:
        yield from needs(source["secretRef"], f"{path}.secretRef", "name", "namespace")


def _azure_file(source: Object, path: str) -> Iterator[FieldError]:
    yield from needs(source, path, "secretName", "shareName")
    if source.get("secretNamespace") == "":
        yield required(f"{path}.secretNamespace")


def _local(source: Object, path: str) -> Iterator[FieldError]:
    yield from needs(source, path, "path")
    yield from volumesource.no_backsteps(source.get("path", ""), f"{path}.path")


def _storageos(source: Object, path: str) -> Iterator[FieldError]:
    yield from needs(source, path, "volumeName")
    for field in ("volumeName", "volumeNamespace"):
        if source.get(field):
            yield from (invalid_value(f"{path}.{field}", source[field], text) for text in names.dns1123_label(source[field]))
    if source.get("secretRef") is not None:
        yield from needs(source["secretRef"], f"{path}.secretRef", "name", "namespace")


def _csi(source: Object, path: str) -> Iterator[FieldError]:
    yield from volumesource.validate_csi_driver_name(source.get("driver", ""), f"{path}.driver")
    yield from needs(source, path, "volumeHandle")
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
    **volumesource.CHECKS,
    "glusterfs": _glusterfs,
    "cinder": _cinder,
    "azureFile": _azure_file,
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

"""Volumes of a pod: one of many sources each; defaults and validation.

What PersistentVolumes can stand for, too, is checked in volumesource.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from navarch.api.core import persistentvolumeclaim, podenv, podimage, volumesource
from navarch.api.core.volumesource import Check, descending_path, needs
from navarch.api.objectmeta import validate_annotations, validate_labels
from navarch.apimachinery import names, quantity
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
)

DEFAULT_MODE = 0o644
MODE_LIMIT = 0o777
TOKEN_EXPIRATION_SECONDS = 3600
TOKEN_EXPIRATION_MIN_SECONDS = 600
TOKEN_EXPIRATION_MAX_SECONDS = 1 << 32
FILE_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
ONE_ONLY = "may not specify more than 1 volume type"
CONFLICTING = "conflicting duplicate paths"

# Defaults


def default(volume: Object) -> None:
    """Fill in what a volume leaves open. Changes it."""
    if len(volume) == 1 or not any(key for key in volume if key != "name"):
        volume["emptyDir"] = {}
        return
    for kind in ("configMap", "secret", "downwardAPI", "projected"):
        if volume.get(kind) is not None:
            volume[kind].setdefault("defaultMode", DEFAULT_MODE)
    if volume.get("image") is not None and not volume["image"].get("pullPolicy"):
        volume["image"]["pullPolicy"] = podimage.default_pull_policy(volume["image"].get("reference", ""))
    if volume.get("ephemeral") is not None:
        template = volume["ephemeral"].get("volumeClaimTemplate")
        if template is not None:
            template.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    volumesource.default(volume)
    _default_files((volume.get("downwardAPI") or {}).get("items") or ())
    for source in (volume.get("projected") or {}).get("sources") or ():
        # Beta interfaces that are not offered unless somebody asks for them (KEP-3257, KEP-4317).
        source.pop("clusterTrustBundle", None)
        source.pop("podCertificate", None)
        if source.get("serviceAccountToken") is not None:
            source["serviceAccountToken"].setdefault("expirationSeconds", TOKEN_EXPIRATION_SECONDS)
        _default_files((source.get("downwardAPI") or {}).get("items") or ())


def _default_files(files: Iterable[Object]) -> None:
    for file in files:
        podenv.default_field(file.get("fieldRef"))
        if file.get("resourceFieldRef") is not None:
            file["resourceFieldRef"].setdefault("divisor", "0")


# Claims: pods of a StatefulSet differ by nothing else, and rules make no difference between claims that have a name


def claim_names(spec: Object) -> tuple[str | None, ...]:
    """Of each volume of a pod's spec that is a claim, its name."""
    volumes = spec.get("volumes") or ()
    return tuple(volume["persistentVolumeClaim"].get("claimName") for volume in volumes if volume.get("persistentVolumeClaim"))


def with_claims_of(spec: Object, other: Object) -> Object:
    """A pod's spec with the claims that `other` has where it has any."""
    field = "persistentVolumeClaim"
    pairs = zip(spec["volumes"], other["volumes"], strict=True)
    return {**spec, "volumes": [{**volume, field: own[field]} if own.get(field) else volume for volume, own in pairs]}


def with_any_claims(spec: Object) -> Object:
    """A pod's spec with other claims in place of its own.

    As valid as the spec is, unless it has ephemeral volumes. The spec itself, if it names no claims.
    """
    volumes = spec.get("volumes") or ()
    if not any(volume.get("persistentVolumeClaim") for volume in volumes):
        return spec
    return {**spec, "volumes": [_with_any_claim(volume) for volume in volumes]}


def _with_any_claim(volume: Object) -> Object:
    claim = volume.get("persistentVolumeClaim")
    if not claim or not claim.get("claimName"):
        return volume
    return {**volume, "persistentVolumeClaim": {**claim, "claimName": "any"}}


# Validation


def validate(
    volumes: Iterable[Object], path: str, pod_name: str, *, is_pod: bool, usable: dict[str, Object]
) -> Iterator[FieldError]:
    """What is wrong with a pod's volumes, defaults applied. Those that nothing is wrong with become `usable`, by name.

    `pod_name` is "" where it is not known: in templates.
    """
    volumes = tuple(volumes)
    made = {f"{pod_name}-{volume.get('name', '')}" for volume in volumes if pod_name and volume.get("ephemeral") is not None}
    for index, volume in enumerate(volumes):
        where, name = f"{path}[{index}]", volume.get("name", "")
        problems = list(_sources(volume, where, pod_name, is_pod))
        if not name:
            problems.append(required(f"{where}.name"))
        else:
            problems += [invalid_value(f"{where}.name", name, text) for text in names.dns1123_label(name)]
        if name in usable:
            problems.append(duplicate(f"{where}.name", name))
        if not problems:
            usable[name] = volume
        else:
            yield from problems
        if made and (volume.get("persistentVolumeClaim") or {}).get("claimName") in made:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            yield invalid_value(f"{where}.persistentVolumeClaim.claimName", volume["persistentVolumeClaim"]["claimName"], text)


def _sources(volume: Object, path: str, pod_name: str, is_pod: bool) -> Iterator[FieldError]:
    kinds: list[str] = [kind for kind in volume if kind != "name"]
    if len(kinds) > 1:
        kinds.sort(key=_ORDER.__getitem__)
    kind = kinds[0]
    where, source = f"{path}.{volumesource.SHOWN.get(kind, kind)}", volume[kind]
    if kind == "image" and is_pod and not source.get("reference"):
        yield required(f"{where}.reference")
    yield from _CHECKS[kind](source, where)
    scsi = volume.get("iscsi")
    portal = f"{volume.get('name', '')}:{scsi.get('targetPortal', '')}" if scsi is not None else ""
    if scsi is not None and scsi.get("initiatorName") is not None and len(portal) > volumesource.VOLUME_AND_PORTAL_LIMIT:
        yield invalid_value(f"{path}.name", volume.get("name", ""), volumesource.SCSI_PORTAL_TOO_LONG)
    if kind == "ephemeral" and pod_name and volume.get("name"):
        claim = f"{pod_name}-{volume['name']}"
        for text in names.dns1123_subdomain(claim):
            yield invalid_value(f"{path}.name", volume["name"], f'PVC name "{claim}": {text}')
    for extra in kinds[1:]:
        yield forbidden_field(f"{path}.{_SHOWN_AS_EXTRA.get(extra, extra)}", ONE_ONLY)


def _empty_dir(source: Object, path: str) -> Iterator[FieldError]:
    limit = source.get("sizeLimit")
    if limit is not None and quantity.parse(limit) < 0:
        yield forbidden_field(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _git_repo(source: Object, path: str) -> Iterator[FieldError]:
    yield from needs(source, path, "repository")
    yield from descending_path(source.get("directory", ""), f"{path}.directory")


def _iscsi(source: Object, path: str) -> Iterator[FieldError]:
    yield from needs(source, path, "targetPortal")
    iqn, initiator = source.get("iqn", ""), source.get("initiatorName")
    if not iqn:
        yield required(f"{path}.iqn")
    else:
        yield from _scsi_name(iqn, f"{path}.iqn")
    if not 0 <= source.get("lun", 0) <= 255:
        yield invalid_value(f"{path}.lun", source["lun"], "must be between 0 and 255, inclusive")
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        yield required(f"{path}.secretRef")
    if initiator is not None:
        yield from _scsi_name(initiator, f"{path}.initiatorname")


def _scsi_name(name: str, path: str) -> Iterator[FieldError]:
    if not name.startswith(volumesource.SCSI_NAME_STARTS):
        yield invalid_value(path, name, "must be valid format starting with iqn, eui, or naa")
    elif not volumesource.is_scsi_name(name):
        yield invalid_value(path, name, "must be valid format")


def _named_secret(source: Object, path: str) -> Iterator[FieldError]:
    if source.get("secretRef") is not None:
        yield from needs(source["secretRef"], f"{path}.secretRef", "name")


def _cinder(source: Object, path: str) -> Iterator[FieldError]:
    yield from needs(source, path, "volumeID")
    yield from _named_secret(source, path)


def _storageos(source: Object, path: str) -> Iterator[FieldError]:
    yield from needs(source, path, "volumeName")
    for field in ("volumeName", "volumeNamespace"):
        if source.get(field):
            for text in names.dns1123_label(source[field]):
                yield invalid_value(f"{path}.{field}", source[field], text)
    yield from _named_secret(source, path)


def _csi(source: Object, path: str) -> Iterator[FieldError]:
    yield from volumesource.validate_csi_driver_name(source.get("driver", ""), f"{path}.driver")
    secret = source.get("nodePublishSecretRef")
    if secret is not None:
        if not secret.get("name"):
            yield required(f"{path}.nodePublishSecretRef.name")
        else:
            for text in names.dns1123_subdomain(secret["name"]):
                yield invalid_value(f"{path}.name", secret["name"], text)


def _image(source: Object, path: str) -> Iterator[FieldError]:
    yield from podimage.validate_pull_policy(source.get("pullPolicy", ""), f"{path}.pullPolicy")


def _ephemeral(source: Object, path: str) -> Iterator[FieldError]:
    template = source.get("volumeClaimTemplate")
    if template is None:
        yield required(f"{path}.volumeClaimTemplate")
        return
    where, metadata = f"{path}.volumeClaimTemplate", template.get("metadata") or {}
    yield from validate_annotations(metadata.get("annotations") or {}, f"{where}.metadata.annotations")
    yield from validate_labels(metadata.get("labels") or {}, f"{where}.metadata.labels")
    for field in metadata:
        if field not in ("annotations", "labels", "creationTimestamp"):
            yield forbidden_field(f"{where}.metadata.{field}", "cannot be set")
    yield from persistentvolumeclaim.validate_spec(template.get("spec") or {}, f"{where}.spec")


# Files


def validate_mode(mode: int | None, path: str) -> Iterator[FieldError]:
    if mode is not None and not 0 <= mode <= MODE_LIMIT:
        yield invalid_value(path, mode, FILE_MODE)


def _file_path(target: str, path: str) -> Iterator[FieldError]:
    """The same, of a file that the node writes: names that begin with two dots are its own."""
    yield from descending_path(target, path)
    if target.startswith("..") and not target.startswith("../"):
        yield invalid_value(path, target, "must not start with '..'")


def _keys(name_field: str) -> Check:
    """A ConfigMap or Secret whose keys are files."""

    def check(source: Object, path: str) -> Iterator[FieldError]:
        yield from needs(source, path, name_field)
        yield from validate_mode(source.get("defaultMode"), f"{path}.defaultMode")
        for index, item in enumerate(source.get("items") or ()):
            yield from _key_to_path(item, f"{path}.items[{index}]")

    return check


def _key_to_path(item: Object, path: str) -> Iterator[FieldError]:
    yield from needs(item, path, "key", "path")
    yield from _file_path(item.get("path", ""), f"{path}.path")
    yield from validate_mode(item.get("mode"), f"{path}.mode")


def _downward(source: Object, path: str) -> Iterator[FieldError]:
    yield from validate_mode(source.get("defaultMode"), f"{path}.defaultMode")
    for file in source.get("items") or ():
        yield from _downward_file(file, path)


def _downward_file(file: Object, path: str) -> Iterator[FieldError]:
    """What is wrong with a file is said of the volume; upstream does not say which file it is."""
    yield from needs(file, path, "path")
    yield from _file_path(file.get("path", ""), f"{path}.path")
    field, resource = file.get("fieldRef"), file.get("resourceFieldRef")
    if field is not None:
        yield from podenv.validate_field(field, podenv.OF_FILES, f"{path}.fieldRef")
        if resource is not None:
            yield invalid_value(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif resource is not None:
        yield from podenv.validate_resource(resource, f"{path}.resourceFieldRef", needs_container=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from validate_mode(file.get("mode"), f"{path}.mode")


def _projected(source: Object, path: str) -> Iterator[FieldError]:
    yield from validate_mode(source.get("defaultMode"), f"{path}.defaultMode")
    taken: set[str] = set()
    for index, part in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        for kind in ("secret", "configMap"):
            if part.get(kind) is not None:
                yield from _projected_keys(part[kind], f"{where}.{kind}", path, taken)
        for file in (part.get("downwardAPI") or {}).get("items") or ():
            yield from _downward_file(file, f"{where}.downwardAPI")
            target = file.get("path", "")
            if target and target in taken:
                yield invalid_value(path, target, CONFLICTING)
            taken.add(target)
        if part.get("serviceAccountToken") is not None:
            yield from _token(part["serviceAccountToken"], f"{where}.serviceAccountToken", path)
        if len(part) > 1:
            yield forbidden_field(where, "may not specify more than 1 volume type per source")


def _projected_keys(source: Object, path: str, volume_path: str, taken: set[str]) -> Iterator[FieldError]:
    yield from needs(source, path, "name")
    for index, item in enumerate(source.get("items") or ()):
        yield from _key_to_path(item, f"{path}.items[{index}]")
        target = item.get("path", "")
        if target and target in taken:
            yield invalid_value(volume_path, source.get("name", ""), CONFLICTING)
        taken.add(target)


def _token(token: Object, path: str, volume_path: str) -> Iterator[FieldError]:
    seconds = token["expirationSeconds"]
    if seconds < TOKEN_EXPIRATION_MIN_SECONDS:
        yield invalid_value(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    elif seconds > TOKEN_EXPIRATION_MAX_SECONDS:
        yield invalid_value(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    yield from needs(token, volume_path, "path")
    yield from _file_path(token.get("path", ""), f"{volume_path}.path")


def _needs(*fields: str) -> Check:
    return lambda source, path: needs(source, path, *fields)


_CHECKS: Mapping[str, Check] = {
    **volumesource.CHECKS,
    "emptyDir": _empty_dir,
    "gitRepo": _git_repo,
    "secret": _keys("secretName"),
    "iscsi": _iscsi,
    "glusterfs": _needs("endpoints", "path"),
    "persistentVolumeClaim": _needs("claimName"),
    "cinder": _cinder,
    "downwardAPI": _downward,
    "configMap": _keys("name"),
    "azureFile": _needs("secretName", "shareName"),
    "storageos": _storageos,
    "projected": _projected,
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
# Where there are several, the first in this order is the one that is meant.
_KINDS = (
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
)
_ORDER = {kind: index for index, kind in enumerate(_KINDS)}
_SHOWN_AS_EXTRA = {**volumesource.SHOWN_AS_EXTRA, "downwardAPI": "downwarAPI"}

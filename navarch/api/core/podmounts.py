"""Where a container sees its pod's volumes, as files and as block devices: validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from navarch.api.core.volumesource import descending_path, no_backsteps
from navarch.apimachinery import meta
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    forbidden_field,
    invalid_value,
    not_found_value,
    not_supported,
    required,
)

PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
RECURSIVE_READ_ONLY = ("Disabled", "Enabled", "IfPossible")


def validate(container: Object, volumes: Mapping[str, Object], path: str) -> Iterator[FieldError]:
    """``volumeMounts`` of the container at `path`. Of parts of a mount, the path is the list's, as upstream's is."""
    devices = container.get("volumeDevices") or ()
    device_names, device_paths = {d.get("name", "") for d in devices}, {d.get("devicePath", "") for d in devices}
    seen: set[str] = set()
    mounts = f"{path}.volumeMounts"
    for index, mount in enumerate(container["volumeMounts"]):
        where, name, target = f"{mounts}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield required(f"{where}.name")
        if name not in volumes:
            yield not_found_value(f"{where}.name", name)
        if not target:
            yield required(f"{where}.mountPath")
        if target in seen:
            yield invalid_value(f"{where}.mountPath", target, "must be unique")
        seen.add(target)
        if name in device_names:
            yield invalid_value(f"{where}.name", name, "must not already exist in volumeDevices")
        if target in device_paths:
            yield invalid_value(f"{where}.mountPath", target, "must not already exist as a path in volumeDevices")
        if mount.get("subPath"):
            yield from descending_path(mount["subPath"], f"{mounts}.subPath")
        if mount.get("subPathExpr"):
            if mount.get("subPath"):
                text = "subPathExpr and subPath are mutually exclusive"
                yield invalid_value(f"{where}.subPathExpr", mount["subPathExpr"], text)
            yield from descending_path(mount["subPathExpr"], f"{mounts}.subPathExpr")
        if mount.get("mountPropagation") is not None:
            yield from _propagation(mount["mountPropagation"], container, f"{mounts}.mountPropagation")
        if mount.get("recursiveReadOnly") is not None:
            yield from _recursive(mount, f"{mounts}.recursiveReadOnly")


def _propagation(mode: str, container: Object, path: str) -> Iterator[FieldError]:
    if mode not in PROPAGATIONS:
        yield not_supported(path, mode, PROPAGATIONS)
    if mode == "Bidirectional" and not (container.get("securityContext") or meta.EMPTY).get("privileged"):
        yield forbidden_field(path, "Bidirectional mount propagation is available only to privileged containers")


def _recursive(mount: Object, path: str) -> Iterator[FieldError]:
    mode = mount["recursiveReadOnly"]
    if mode not in RECURSIVE_READ_ONLY:
        yield not_supported(path, mode, RECURSIVE_READ_ONLY)
    elif mode != "Disabled":
        if not mount.get("readOnly"):
            yield forbidden_field(path, "may only be specified when readOnly is true")
        if mount.get("mountPropagation", "None") != "None":
            yield forbidden_field(path, "may only be specified when mountPropagation is None or not specified")


def validate_devices(container: Object, volumes: Mapping[str, Object], path: str) -> Iterator[FieldError]:
    """``volumeDevices`` of the container at `path`."""
    mounts = container.get("volumeMounts") or ()
    mount_names, mount_paths = {m.get("name", "") for m in mounts}, {m.get("mountPath", "") for m in mounts}
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for index, device in enumerate(container["volumeDevices"]):
        where, name, target = f"{path}.volumeDevices[{index}]", device.get("name", ""), device.get("devicePath", "")
        if not name:
            yield required(f"{where}.name")
        if name in seen_names:
            yield invalid_value(f"{where}.name", name, "must be unique")
        if name in volumes:
            if "persistentVolumeClaim" not in volumes[name] and "ephemeral" not in volumes[name]:
                text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
                yield invalid_value(f"{where}.name", name, text)
        else:
            yield not_found_value(f"{where}.name", name)
        if not target:
            yield required(f"{where}.devicePath")
        if target in seen_paths:
            yield invalid_value(f"{where}.devicePath", target, "must be unique")
        if target and any(no_backsteps(target, "")):
            yield invalid_value(f"{where}.devicePath", target, "can not contain backsteps ('..')")
        else:
            seen_paths.add(target)
        if name in mount_names:
            yield invalid_value(f"{where}.name", name, "must not already exist in volumeMounts")
        if target in mount_paths:
            yield invalid_value(f"{where}.devicePath", target, "must not already exist as a path in volumeMounts")
        if name:
            seen_names.add(name)

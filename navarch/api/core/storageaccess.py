"""What PersistentVolumes and the claims on them share: access modes, volume modes and classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported

ACCESS_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
"""Mode -> its abbreviation, in the order in which they are shown."""
VOLUME_MODES = ("Block", "Filesystem")
BETA_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def class_of(obj: Object) -> str:
    """The storage class of a volume or claim: of old its annotation, else its spec; "" is none."""
    annotations = meta.annotations(obj)
    if BETA_CLASS_ANNOTATION in annotations:
        return annotations[BETA_CLASS_ANNOTATION]
    return str((obj.get("spec") or {}).get("storageClassName") or "")


def class_warnings(obj: Object) -> Iterator[str]:
    if BETA_CLASS_ANNOTATION in meta.annotations(obj):
        yield f'metadata.annotations[{BETA_CLASS_ANNOTATION}]: deprecated since v1.8; use "storageClassName" attribute instead'


def abbreviated(modes: Iterable[str] | None) -> str:
    """``RWO,ROX``."""
    found = set(modes or ())
    return ",".join(short for mode, short in ACCESS_MODES.items() if mode in found)


def validate_access_modes(modes: Iterable[str], path: str) -> Iterator[FieldError]:
    """Known modes, and ReadWriteOncePod only alone."""
    known = set()
    for mode in modes:
        if mode in ACCESS_MODES:
            known.add(mode)
        else:
            yield not_supported(path, mode, sorted(ACCESS_MODES))
    if "ReadWriteOncePod" in known and len(known) > 1:
        yield forbidden_field(path, "may not use ReadWriteOncePod with other access modes")


def validate_volume_mode(mode: str | None, path: str) -> Iterator[FieldError]:
    if mode is not None and mode not in VOLUME_MODES:
        yield not_supported(path, mode, VOLUME_MODES)


def validate_class_name(name: str | None, path: str) -> Iterator[FieldError]:
    """The name of a class, where one is given."""
    if name:
        yield from (invalid_value(path, name, text) for text in names.dns1123_subdomain(name))

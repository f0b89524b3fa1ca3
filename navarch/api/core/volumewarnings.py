"""What is said of volumes that are no longer supported, or whose files get into each other's way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from navarch.apimachinery import quantity
from navarch.apimachinery.errors import Object

_REMOVED = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_BYTES = ("memory", "ephemeral-storage")
_SHOWN = {"storageos": "storageOS"}
_CERTIFICATE_PATHS = {
    "certificateChainPath": "PodCertificate chain",
    "keyPath": "PodCertificate key",
    "credentialBundlePath": "PodCertificate credential bundle",
}
_WITH_PATHS = frozenset({"configMap", "secret", "downwardAPI", "projected"})
Placed = tuple[str, str]
"""A path in a volume, and what puts something there ("" where only one thing could)."""


def removed(source: Object, path: str, among: Iterable[str] = tuple(_REMOVED)) -> Iterator[str]:
    """Of a volume's source whose plugin is gone."""
    for field in among:
        if source.get(field) is not None:
            yield f"{path}.{_SHOWN.get(field, field)}: {_REMOVED[field]}"


def fractional(amounts: Mapping[str, Any] | None, path: str, among: Iterable[str] = _BYTES) -> Iterator[str]:
    """Of amounts of bytes that are not whole."""
    for name in among:
        if amounts and name in amounts and quantity.parse(amounts[name]).denominator != 1:
            shown = quantity.canonical(amounts[name])
            yield f'{path}[{name}]: fractional byte value "{shown}" is invalid, must be an integer'


def claim_warnings(spec: Object, path: str) -> Iterator[str]:
    """Of a PersistentVolumeClaim's spec."""
    for side in ("requests", "limits"):
        yield from fractional((spec.get("resources") or {}).get(side), f"{path}.resources.{side}", ("storage",))


def volume_warnings(volumes: Iterable[Object], path: str) -> Iterator[str]:
    for index, volume in enumerate(volumes):
        if not _REMOVED.keys().isdisjoint(volume):
            yield from removed(volume, f"{path}[{index}]")
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if template:
            yield from claim_warnings(template.get("spec") or {}, f"{path}[{index}].ephemeral.volumeClaimTemplate.spec")
    for volume in volumes:
        if not _WITH_PATHS.isdisjoint(volume):
            yield from _overlaps(volume)


def _overlaps(volume: Object) -> Iterator[str]:
    name = volume.get("name", "")
    for field, kind, named in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"), ("downwardAPI", "", "")):
        items = (volume.get(field) or {}).get("items")
        if items:
            shown = f'{kind} "{volume[field].get(named, "")}"' if kind else "DownwardAPI"
            yield from _told(name, shown, [(item["path"], "") for item in items])
    placed: list[Placed] = []
    for source in (volume.get("projected") or {}).get("sources") or ():
        if not any(value is not None for value in source.values()):
            yield f'volume "{name}" (Projected) has no sources provided'
        placed += _projected(source)
    if placed:
        yield from _told(name, "Projected", placed)


def _projected(source: Object) -> Iterator[Placed]:
    for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
        if source.get(field) is not None:
            shown = f'{kind} "{source[field].get("name", "")}"'
            yield from ((item["path"], shown) for item in source[field].get("items") or ())
    for item in (source.get("downwardAPI") or {}).get("items") or ():
        yield item["path"], "DownwardAPI"
    if source.get("serviceAccountToken") is not None:
        yield source["serviceAccountToken"].get("path", ""), "ServiceAccountToken"
    bundle = source.get("clusterTrustBundle")
    if bundle is not None:
        yield bundle.get("path", ""), f'ClusterTrustBundle "{bundle.get("name") or bundle.get("signerName", "")}"'
    certificate = source.get("podCertificate") or {}
    for field, shown in _CERTIFICATE_PATHS.items():
        if certificate.get(field):
            yield certificate[field], shown


def _told(volume: str, shown: str, paths: Iterable[Placed]) -> Iterator[str]:
    found = [(path.rstrip("/"), source) for path, source in paths]
    if not any("/" in path for path, _ in found) and len({path for path, _ in found}) == len(found):
        return
    seen: list[Placed] = []
    for one in found:
        for other in seen:
            if _overlap(one[0], other[0]):
                yield f'volume "{volume}" ({shown}): overlapping paths: {_placed(one)} with {_placed(other)}'
        seen.append(one)


def _overlap(one: str, other: str) -> bool:
    return bool(one and other) and (f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/"))


def _placed(placed: Placed) -> str:
    path, source = placed
    return f'"{path}" ({source})' if source else f'"{path}"'

"""Cells of printed tables, as kubectl's users know them (k8s.io/kubernetes/pkg/printers)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object

UNKNOWN = "<unknown>"
NONE = "<none>"
UNSET = "<unset>"


def human_duration(seconds: float) -> str:
    """A span as k8s.io/apimachinery/pkg/util/duration writes it: 45s, 3m20s, 5h12m, 8d, 2y30d."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def since(timestamp: str | None, now: datetime) -> str:
    """How long ago a timestamp was."""
    return human_duration((now - meta.parse_time(timestamp)).total_seconds()) if timestamp else UNKNOWN


def age(obj: Object, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def labels(found: Mapping[str, str] | None) -> str:
    """``a=b,c=d``, or <none>."""
    return ",".join(f"{key}={value}" for key, value in sorted((found or {}).items())) or NONE


def selector(found: Object | None) -> str:
    """A LabelSelector as its query string."""
    try:
        return str(selectors.from_label_selector(found)) or NONE
    except ValueError:
        return "<error>"


def selector_fields(found: Object) -> str:
    """A LabelSelector as its Go type is written out."""
    pairs = "".join(f"{key}: {value}," for key, value in sorted((found.get("matchLabels") or {}).items()))
    items = ""
    for item in found.get("matchExpressions") or ():
        values = " ".join(item.get("values") or ())
        items += f"LabelSelectorRequirement{{Key:{item['key']},Operator:{item['operator']},Values:[{values}],}},"
    fields = f"MatchLabels:map[string]string{{{pairs}}},MatchExpressions:[]LabelSelectorRequirement{{{items}}},"
    return f"&LabelSelector{{{fields}}}"


def joined(items: Iterable[Any], otherwise: str = NONE) -> str:
    return ",".join(str(item) for item in items) or otherwise


def plain(value: Any) -> str:
    """A value of any kind as JSONPath prints it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)


def containers(pod_spec: Object | None) -> tuple[str, str]:
    """Names and images of a pod spec's containers."""
    found = (pod_spec or {}).get("containers") or ()
    return joined((c.get("name", "") for c in found), ""), joined((c.get("image", "") for c in found), "")

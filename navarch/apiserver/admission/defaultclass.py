"""Which of several default classes is the default one."""

from __future__ import annotations

from collections.abc import Callable

from navarch.api.kind import Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.storage.store import Store

MARK = b"is-default-class"


def default_class(store: Store, kind: Kind, is_default: Callable[[Object], bool]) -> str | None:
    """The name of the newest of the default classes; of those of one moment the first by name."""
    marked = (record.object() for record in store.collection(kind.key_prefix).records.values() if MARK in record.data)
    found = sorted((item for item in marked if is_default(item)), key=meta.name)
    chosen = max(found, key=lambda item: str(item["metadata"]["creationTimestamp"]), default=None)
    return None if chosen is None else meta.name(chosen)

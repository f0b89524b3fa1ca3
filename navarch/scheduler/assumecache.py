"""Objects as they are going to be: what the scheduler has decided about them and not yet seen written.

An assumed object stands until the informer has a newer one than that from which it was made, or until it is restored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object

if TYPE_CHECKING:
    from navarch.client.informer import Informer


class AssumeCache:
    """One resource's objects."""

    def __init__(self, informer: Informer) -> None:
        self.informer = informer
        self._assumed: dict[str, Object] = {}

    def get(self, key: str) -> Object | None:
        present = self.informer.get(key)
        assumed = self._assumed.get(key)
        if assumed is None:
            return present
        if present is None or _is_other(present, assumed):
            del self._assumed[key]
            return present
        return assumed

    def assume(self, obj: Object) -> bool:
        """Take it that the object will be so; False if it has changed, or gone, since it was read."""
        key = meta.key(obj)
        present = self.informer.get(key)
        if present is None or _is_other(present, obj):
            return False
        self._assumed[key] = obj
        return True

    def written(self, obj: Object) -> None:
        """The API has answered with this; what the informer has is older, for now."""
        present = self.informer.get(meta.key(obj))
        if present is not None and not _is_other(present, obj):
            self._assumed[meta.key(obj)] = obj

    def restore(self, key: str) -> None:
        """It will not be so after all."""
        self._assumed.pop(key, None)

    def assumed(self) -> list[Object]:
        """Those that differ from what the informer has."""
        return [found for key in list(self._assumed) if (found := self.get(key)) is not None and key in self._assumed]


def _is_other(present: Object, assumed: Object) -> bool:
    """Whether the informer has something newer, or another object by that name."""
    return meta.uid(present) != meta.uid(assumed) or meta.resource_version(present) > meta.resource_version(assumed)

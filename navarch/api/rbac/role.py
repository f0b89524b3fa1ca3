"""Role: what may be done in one namespace."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.kind import Kind
from navarch.api.rbac import policyrule
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object


def validate(role: Object) -> Iterator[FieldError]:
    yield from policyrule.validate(role.get("rules") or (), namespaced=True)


KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="Role",
    plural="roles",
    validate_name=names.path_segment,
    validate=validate,
    allow_create_on_update=True,
)

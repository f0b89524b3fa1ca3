"""ClusterRoleBinding: who has a ClusterRole everywhere."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.kind import Kind
from navarch.api.rbac import rolebinding
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object


def validate(binding: Object) -> Iterator[FieldError]:
    yield from rolebinding.validate_binding(binding, ("ClusterRole",), namespaced=False)


KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRoleBinding",
    plural="clusterrolebindings",
    namespaced=False,
    validate_name=names.path_segment,
    default=rolebinding.default,
    validate=validate,
    validate_update=rolebinding.validate_update,
    allow_create_on_update=True,
    columns=rolebinding.COLUMNS,
    row=rolebinding.row,
)

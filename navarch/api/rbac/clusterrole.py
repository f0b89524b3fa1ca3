"""ClusterRole: what may be done in all namespaces, or with what is in none."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api import labelselector
from navarch.api.kind import Kind
from navarch.api.rbac import policyrule
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, required


def validate(role: Object) -> Iterator[FieldError]:
    yield from policyrule.validate(role.get("rules") or (), namespaced=False)
    aggregation = role.get("aggregationRule")
    if aggregation is None:
        return
    path, selectors = "aggregationRule.clusterRoleSelectors", aggregation.get("clusterRoleSelectors") or ()
    if not selectors:
        yield required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for index, selector in enumerate(selectors):
        yield from labelselector.validate(selector, f"{path}[{index}]")


KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRole",
    plural="clusterroles",
    namespaced=False,
    validate_name=names.path_segment,
    validate=validate,
    allow_create_on_update=True,
)

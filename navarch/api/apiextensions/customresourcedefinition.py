"""CustomResourceDefinition: kinds that users define. There are none: they can be looked for, but not made.

kubectl looks here before it says that a kind is unknown.
"""

from __future__ import annotations

from navarch.api.kind import Kind

KIND = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    verbs=("get", "list", "watch"),
)

"""Who says how many pods there should be: the controller above a pod, or any object with a scale subresource."""

from __future__ import annotations

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.controllers.controller import Cluster

SCALED_KINDS = {
    ("apps", "ReplicaSet"): "replicasets.apps",
    ("apps", "Deployment"): "deployments.apps",
    ("apps", "StatefulSet"): "statefulsets.apps",
    ("", "ReplicationController"): "replicationcontrollers",
}
"""Those that are known from caches."""

Scale = tuple[str, int]
"""(uid of who says it, how many)."""


async def find(reference: Object, namespace: str, cluster: Cluster) -> Scale | None:
    """The scale of an owner of pods; None if it is not there. Raises ValueError if it is nothing that has a scale."""
    known = _known(reference, namespace, cluster)
    if known is None:
        return await _by_subresource(reference, namespace, cluster)
    if reference["kind"] == "ReplicaSet":
        above = meta.controller_of(known)
        if above is not None and above["kind"] == "Deployment":
            known = _known(above, namespace, cluster)
            if known is None:
                return await _by_subresource(reference, namespace, cluster)
    return meta.uid(known), int(known["spec"].get("replicas", 1))


def _known(reference: Object, namespace: str, cluster: Cluster) -> Object | None:
    resource = SCALED_KINDS.get((_group(reference), reference["kind"]), "")
    found = cluster.cached(resource, reference["name"], namespace) if resource in cluster.resources else None
    return found if found is not None and meta.uid(found) == reference["uid"] else None


def _group(reference: Object) -> str:
    return str(reference["apiVersion"]).rpartition("/")[0]


async def _by_subresource(reference: Object, namespace: str, cluster: Cluster) -> Scale | None:
    """Of any kind there is: what discovery says of it leads to its scale."""
    version, kind = reference["apiVersion"], reference["kind"]
    base = f"/apis/{version}" if _group(reference) else f"/api/{version}"
    request = cluster.client.transport.request
    try:
        resources = (await request("GET", base)).get("resources") or ()
    except StatusError as error:
        if not error.is_not_found:
            raise ValueError(error.message) from error
        resources = ()
    plural = next((item["name"] for item in resources if item["kind"] == kind and "/" not in item["name"]), "")
    if not plural:
        raise ValueError(f'no matches for kind "{kind}" in version "{version}"')
    if not any(item["name"] == f"{plural}/scale" and item["kind"] == "Scale" for item in resources):
        group = _group(reference)
        raise ValueError(f"{plural}{'.' if group else ''}{group} does not implement the scale subresource")
    try:
        scale = await request("GET", f"{base}/namespaces/{namespace}/{plural}/{reference['name']}/scale")
    except StatusError as error:
        if error.is_not_found:
            return None
        raise ValueError(error.message) from error
    if meta.uid(scale) != reference["uid"]:
        return None
    return meta.uid(scale), int((scale.get("spec") or {}).get("replicas") or 0)

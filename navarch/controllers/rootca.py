"""A ConfigMap kube-root-ca.crt in every namespace, by which pods know the API server."""

from __future__ import annotations

from collections.abc import Iterable

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.informer import Informers
from navarch.controllers.config import ControllerConfig
from navarch.controllers.controller import Cluster, Controller, Watch, is_namespace_terminating

NAME = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal "
    "service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)


def controller(config: ControllerConfig) -> Controller:
    """The controller that publishes `config.root_ca_pem`."""
    data = {"ca.crt": config.root_ca_pem}

    async def reconcile(namespace: Object, cluster: Cluster) -> None:
        name = meta.name(namespace)
        if meta.being_deleted(namespace):
            return
        try:
            if cluster.cached("configmaps", NAME, name) is None:
                await cluster.create("configmaps", _config_map(name, data))
                return
            # Caches hold ConfigMaps' metadata only; this runs at the start and when somebody changed it.
            present = await cluster.client.get("configmaps", NAME, name)
            if present.get("data") != data:
                await cluster.update("configmaps", {**present, "data": data})
        except StatusError as error:
            if not error.is_already_exists and not is_namespace_terminating(error):
                raise

    watch = Watch("configmaps", _namespace_of_changed, metadata_only=True)
    return Controller("root-ca-certificate-publisher", "namespaces", reconcile, relevant=_began, watches=(watch,))


def _config_map(namespace: str, data: dict[str, str]) -> Object:
    metadata = {"name": NAME, "namespace": namespace, "annotations": {"kubernetes.io/description": DESCRIPTION}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _began(old: Object | None, new: Object | None) -> bool:
    return old is None


def _namespace_of_changed(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    obj = new if new is not None else old
    if old is not None and obj is not None and meta.name(obj) == NAME:
        yield meta.namespace(obj)

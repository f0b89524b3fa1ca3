"""A ServiceAccount "default" in every namespace, for pods that name none."""

from __future__ import annotations

from collections.abc import Iterable

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.informer import Informers
from navarch.controllers.controller import Cluster, Controller, Watch, is_namespace_terminating

DEFAULT = "default"


async def reconcile(namespace: Object, cluster: Cluster) -> None:
    name = meta.name(namespace)
    if meta.being_deleted(namespace) or cluster.cached("serviceaccounts", DEFAULT, name) is not None:
        return
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": DEFAULT, "namespace": name}}
    try:
        await cluster.create("serviceaccounts", account)
    except StatusError as error:
        if not error.is_already_exists and not is_namespace_terminating(error):
            raise


def _namespace_of_lost(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    if new is None and old is not None and meta.name(old) == DEFAULT:
        yield meta.namespace(old)


CONTROLLER = Controller(
    "serviceaccount-controller", "namespaces", reconcile, watches=(Watch("serviceaccounts", _namespace_of_lost),)
)

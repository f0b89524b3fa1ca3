"""Tell for each ResourceQuota how much of what it limits is used.

The API server charges what is made as it is made; here it is found out what has gone, and what there was before the quota.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from navarch.api import registry
from navarch.api.core import quotausage
from navarch.api.core.quotausage import Amounts
from navarch.api.resource.deviceclass import extended_resource
from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.controllers import customkinds
from navarch.controllers.controller import Cluster, Controller, Watch

RESOURCE, CLASSES = "resourcequotas", "deviceclasses.resource.k8s.io"
RESYNC_SECONDS = 300.0
"""How often everything is counted anew: a charge is never given back by a server that stopped in between."""
CUSTOM_RESYNC_SECONDS = 5.0
"""How often custom resources are counted: no cache of them is kept for that."""

Objects = Callable[[str], Iterable[Object] | None]
"""resource -> the objects in the quota's namespace; None for one that is not known."""


def hard(quota: Object) -> Amounts:
    return (quota.get("spec") or {}).get("hard") or {}


def used(quota: Object, objects: Objects, now: datetime, lookups: quotausage.Lookups = quotausage.NOTHING) -> Amounts:
    """What is used of everything that a quota limits, as far as it is known."""
    by_resource: dict[str, list[str]] = {}
    for name in hard(quota):
        for resource in quotausage.resources_of(name):
            by_resource.setdefault(resource, []).append(name)
    found: dict[str, list[str]] = {}
    for resource, names in by_resource.items():
        present = objects(resource)
        if present is None:
            continue
        found = {name: [] for name in names} | found
        for obj in present:
            if quotausage.is_in_scope(quota, resource, obj):
                usage = quotausage.usage(resource, obj, now, lookups)
                for name in names:
                    if name in usage:
                        found[name].append(usage[name])
    return {name: quantity.total(amounts) for name, amounts in found.items()}


def until_next_expiry(pods: Iterable[Object], now: datetime) -> float:
    """After how many seconds the next of the pods that are being deleted stops counting without being gone."""
    ends = (quotausage.expiry(pod) for pod in pods)
    return min(((end - now).total_seconds() for end in ends if end is not None and end >= now), default=RESYNC_SECONDS)


def _same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    if one.keys() != other.keys():
        return False
    return all(quantity.parse(amount) == quantity.parse(other[name]) for name, amount in one.items())


async def reconcile(quota: Object, cluster: Cluster) -> float | None:
    if meta.being_deleted(quota):
        return None
    namespace, now = meta.namespace(quota), cluster.now()

    custom = await _custom_objects(quota, cluster)

    def objects(resource: str) -> Iterable[Object] | None:
        return cluster.informer(resource).list(namespace) if resource in cluster.resources else custom.get(resource)

    before: Object = quota.get("status") or {}
    counted = used(quota, objects, now, _lookups(cluster))
    # What nobody knows how to count keeps what was said of it.
    known: Amounts = before.get("used") or {}
    counted |= {name: known[name] for name in hard(quota).keys() & known.keys() if name not in counted}
    if not (_same(hard(quota), before.get("hard") or {}) and _same(counted, known) and before.keys() >= {"hard", "used"}):
        await cluster.update_status(RESOURCE, {**quota, "status": {"hard": hard(quota), "used": counted}})
    pods = cluster.informer(quotausage.PODS).list(namespace)
    # A moment after: until then the pod counts.
    resync = CUSTOM_RESYNC_SECONDS if custom else RESYNC_SECONDS
    return min(resync, until_next_expiry(pods, now) + 1.0)


def _lookups(cluster: Cluster) -> quotausage.Lookups:
    return quotausage.Lookups(
        lambda name: extended_resource(cluster.cached(CLASSES, name)),
        lambda namespace, name: cluster.cached(quotausage.PODS, name, namespace),
        lambda namespace: cluster.informer(quotausage.DEVICE_CLAIMS).list(namespace),
    )


async def _custom_objects(quota: Object, cluster: Cluster) -> Mapping[str, Sequence[Object]]:
    """The objects of the custom resources that a quota limits, by ``plural.group``."""
    resources = {resource for name in hard(quota) for resource in quotausage.resources_of(name)}
    wanted = [
        definition
        for definition in cluster.informer(customkinds.DEFINITIONS).list()
        if meta.name(definition) in resources - set(cluster.resources)
    ]
    found = {}
    for kind in customkinds.one_each(wanted):
        if kind.namespaced:
            found[kind.resource] = (await cluster.client.list(kind, meta.namespace(quota))).get("items") or []
    return found


def _defines_limited(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    """The quotas that limit what has just been defined."""
    if new is not None:
        for quota in informers.get(RESOURCE).list():
            if any(meta.name(new) in quotausage.resources_of(name) for name in hard(quota)):
                yield meta.key(quota)


def _counts_devices_otherwise(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    """The quotas that limit the resource which a device class has come to name, or names no longer."""
    names = {f"requests.{extended_resource(found)}" for found in (old, new)}
    if len(names) > 1:
        for quota in informers.get(RESOURCE).list():
            if not names.isdisjoint(hard(quota)):
                yield meta.key(quota)


def _relevant(old: Object | None, new: Object | None) -> bool:
    """Charges are no news."""
    return new is not None and (old is None or hard(old) != hard(new))


def _uses_less(resource: str, old: Object | None, new: Object | None) -> bool:
    """Whether a change may have made something free."""
    if old is None:
        return False
    if new is None:
        return True
    if resource == quotausage.PODS:
        now = clock.now()
        ended = quotausage.is_counted(old, now) and not quotausage.is_counted(new, now)
        return ended or quotausage.is_terminating(old) != quotausage.is_terminating(new)
    if resource in quotausage.MEASURED:
        now = clock.now()
        return quotausage.usage(resource, old, now) != quotausage.usage(resource, new, now)
    return False


def _watch(resource: str) -> Watch:
    def keys(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
        if not _uses_less(resource, old, new):
            return
        obj = new if new is not None else old
        assert obj is not None
        for quota in informers.get(RESOURCE).list(meta.namespace(obj)):
            if any(quotausage.counts(resource, name) for name in hard(quota)):
                yield meta.key(quota)

    return Watch(resource, keys, metadata_only=resource not in quotausage.MEASURED)


def controller() -> Controller:
    """The controller, over every kind that can be counted."""
    counted = [
        kind.resource
        for kind in registry.kinds()
        if kind.namespaced and "watch" in kind.verbs and kind.stored_as is None and kind.resource not in quotausage.UNCOUNTED
    ]
    watches = (
        *(_watch(resource) for resource in counted if resource != RESOURCE),
        Watch(customkinds.DEFINITIONS, _defines_limited),
        Watch(CLASSES, _counts_devices_otherwise),
    )
    return Controller("resourcequota-controller", RESOURCE, reconcile, relevant=_relevant, watches=watches)

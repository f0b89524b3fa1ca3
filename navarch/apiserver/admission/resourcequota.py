"""ResourceQuota: what is made or grows is charged to the namespace's quotas before it is stored, and refused beyond them.

A charge is a write of the quota's status, made on its newest version without giving way in between, so that of two who want
the last piece one gets it. Whoever then fails to store his object gives it back. What is charged but not yet stored is known
here, and a status that reports less than is there, or about to be, is raised to that: a count from an older view
of the namespace (the controller's) takes back no charge.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from navarch.api import registry
from navarch.api.core import pod, quotausage, resourcequota
from navarch.api.core.quotausage import Amounts
from navarch.api.kind import Kind
from navarch.api.resource import deviceclass
from navarch.api.resource.deviceclass import extended_resource
from navarch.apimachinery import errors, meta, quantity
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.apiserver.admission.presence import Presence
from navarch.component import clock
from navarch.storage.backend import StorageError
from navarch.storage.changes import Record
from navarch.storage.mvcc import ConflictError
from navarch.storage.store import Store

logger = logging.getLogger(__name__)

CHARGE_ATTEMPTS = 10
QUOTA = resourcequota.KIND

Flight = tuple[str, Object]
"""(resource, object): what is being stored."""


class QuotaExceededError(Exception):
    """What a quota has against an object."""


class ResourceQuota(AdmissionPlugin):
    """The last of the plugins: whoever refuses after it would have to give back."""

    def __init__(self, store: Store, custom: Callable[[str], Kind | None] = lambda resource: None) -> None:
        """`custom` finds the kinds that are not built in, by ``plural.group``."""
        self._store = store
        self._custom = custom
        self._in_flight: dict[str, dict[str, Flight]] = {}
        """By namespace and the object's key, where the namespace has quotas."""
        self._presence = Presence(store, QUOTA, self.changed)
        self._lookups = quotausage.Lookups(
            lambda name: extended_resource(self._get(deviceclass.KIND, "", name)),
            lambda namespace, name: self._get(pod.KIND, namespace, name),
            lambda namespace: self._objects(namespace, quotausage.DEVICE_CLAIMS, {}),
        )

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return self._presence.is_any

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        if attributes.kind is QUOTA and attributes.subresource == "status" and old is not None:
            return self._raised(attributes.namespace, obj, old)
        return obj

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        resource, namespace = attributes.kind.resource, attributes.namespace
        if obj is None or not namespace or resource in quotausage.UNCOUNTED or not _may_use_more(attributes, obj, old):
            return
        quotas = [record.object() for record in self._quotas(namespace)]
        if not quotas:
            return
        try:
            charged = [meta.name(quota) for quota in quotas if charge(quota, resource, obj, old, self._lookups)]
            if charged and not attributes.request.dry_run:
                await self._charge_all(attributes, charged, obj, old)
        except QuotaExceededError as error:
            raise errors.forbidden(attributes.kind.group, attributes.kind.plural, meta.name(obj), str(error)) from None

    def _get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        record = self._store.latest(kind.key_prefix, kind.key(namespace, name))
        return None if record is None else record.object()

    # Charging

    def _quotas(self, namespace: str) -> Iterator[Record]:
        """The newest versions of a namespace's quotas."""
        for record in self._store.collection(QUOTA.key_prefix).range(f"{QUOTA.key_prefix}{namespace}/"):
            latest = self._store.latest(QUOTA.key_prefix, record.key)
            if latest is not None:
                yield latest

    async def _charge_all(self, attributes: Attributes, names: list[str], obj: Object, old: Object | None) -> None:
        resource, namespace = attributes.kind.resource, attributes.namespace
        key = attributes.kind.key(namespace, meta.name(obj))
        self._in_flight.setdefault(namespace, {})[key] = (resource, obj)
        charged: list[tuple[str, str, Amounts]] = []
        settle = partial(self._settle, namespace, key, obj, charged)
        try:
            for name in names:
                found = await self._charge(QUOTA.key(namespace, name), resource, obj, old)
                if found is not None:
                    charged.append(found)
        except BaseException:
            await settle(False)
            raise
        attributes.settle.append(settle)

    async def _charge(self, key: str, resource: str, obj: Object, old: Object | None) -> tuple[str, str, Amounts] | None:
        """Charge one quota. Returns its key and uid and what was charged. Raises QuotaExceededError."""
        for _ in range(CHARGE_ATTEMPTS):
            base = self._store.latest(QUOTA.key_prefix, key)
            if base is None:
                return None
            quota = base.object()
            wanted = charge(quota, resource, obj, old, self._lookups)
            if not wanted:
                return None
            used = quota["status"]["used"]
            more = {name: quantity.total((used.get(name, "0"), amount)) for name, amount in wanted.items()}
            if await self._write(base, quota, {**used, **more}):
                return key, meta.uid(quota), wanted
        raise errors.conflict("", QUOTA.plural, key.rpartition("/")[2], errors.MODIFIED)

    async def _write(self, base: Record, quota: Object, used: Amounts) -> bool:
        """Whether the quota could be written as using this."""
        from navarch.apiserver.resources import versioned

        written = {**quota, "metadata": dict(quota["metadata"]), "status": {**quota["status"], "used": used}}
        try:
            await self._store.put(QUOTA.key_prefix, base.key, versioned(written), base, written)
        except ConflictError:
            return False
        except StorageError as error:
            raise errors.internal_error(str(error)) from error
        return True

    async def _settle(
        self, namespace: str, key: str, obj: Object, charged: list[tuple[str, str, Amounts]], stored: bool
    ) -> None:
        """The object has been stored, or not: then what was charged for it is given back."""
        flights = self._in_flight.get(namespace) or {}
        # Another attempt at the same name may have taken the place by now.
        if key in flights and flights[key][1] is obj:
            del flights[key]
            if not flights:
                del self._in_flight[namespace]
        if stored:
            return
        for quota_key, uid, amounts in charged:
            try:
                await self._give_back(quota_key, uid, amounts)
            except StatusError as error:
                logger.warning("%s counts too much until it is counted anew: %s", quota_key, error.message)

    async def _give_back(self, key: str, uid: str, amounts: Amounts) -> None:
        for _ in range(CHARGE_ATTEMPTS):
            base = self._store.latest(QUOTA.key_prefix, key)
            quota = base.object() if base is not None else None
            if base is None or quota is None or meta.uid(quota) != uid:
                return
            used = (quota.get("status") or {}).get("used") or {}
            less = {name: quantity.remainder(used[name], amounts[name]) for name in amounts.keys() & used.keys()}
            if await self._write(base, quota, {**used, **less}):
                return
        raise errors.conflict("", QUOTA.plural, key.rpartition("/")[2], errors.MODIFIED)

    # What is there

    def _raised(self, namespace: str, quota: Object, old: Object) -> Object:
        """A status that reports no less than is there and about to be."""
        status = quota.get("status") or {}
        used, before = status.get("used") or {}, (old.get("status") or {}).get("used") or {}
        lowered = [name for name in used if name not in before or quantity.parse(used[name]) < quantity.parse(before[name])]
        if not lowered:
            return quota
        least = self._present(namespace, quota, lowered)
        raised = {name: least[name] for name in lowered if quantity.parse(least[name]) > quantity.parse(used[name])}
        return meta.set_path(quota, {**used, **raised}, "status", "used") if raised else quota

    def _present(self, namespace: str, quota: Object, names: list[str]) -> Amounts:
        """What the objects of a quota's namespace use."""
        found: dict[str, list[str]] = {name: [] for name in names}
        flights = self._in_flight.get(namespace) or {}
        by_resource: dict[str, list[str]] = {}
        for name in names:
            for resource in quotausage.resources_of(name):
                by_resource.setdefault(resource, []).append(name)
        for resource, wanted in by_resource.items():
            for obj in self._objects(namespace, resource, flights):
                if quotausage.is_in_scope(quota, resource, obj):
                    used = quotausage.usage(resource, obj, clock.now(), self._lookups)
                    for name in wanted:
                        if name in used:
                            found[name].append(used[name])
        return {name: quantity.total(amounts) for name, amounts in found.items()}

    def _objects(self, namespace: str, resource: str, flights: dict[str, Flight]) -> Iterable[Object]:
        kind = _kind(resource) or self._custom(resource)
        if kind is not None:
            for record in self._store.collection(kind.key_prefix).range(f"{kind.key_prefix}{namespace}/"):
                if record.key not in flights:
                    yield record.object()
        yield from (obj for what, obj in flights.values() if what == resource)


def _kind(resource: str) -> Kind | None:
    try:
        return registry.resource(resource)
    except KeyError:
        return None


def _may_use_more(attributes: Attributes, obj: Object, old: Object | None) -> bool:
    """Whether a write can change what its object uses."""
    resource, subresource = attributes.kind.resource, attributes.subresource
    if attributes.operation == "CREATE":
        return not subresource
    if attributes.operation != "UPDATE" or old is None:
        return False
    if resource == quotausage.PODS:
        moves = not subresource and quotausage.is_terminating(obj) != quotausage.is_terminating(old)
        return moves or subresource == "resize"
    return resource in (quotausage.SERVICES, quotausage.CLAIMS) and subresource in ("", "status")


def charge(
    quota: Object, resource: str, obj: Object, old: Object | None, lookups: quotausage.Lookups = quotausage.NOTHING
) -> Amounts:
    """What storing `obj` (in place of `old`) adds to what a quota counts. Raises QuotaExceededError."""
    status, name = quota.get("status") or {}, meta.name(quota)
    hard: Amounts = status.get("hard") or {}
    limited = [limit for limit in hard if quotausage.counts(resource, limit)]
    if not limited or not quotausage.is_in_scope(quota, resource, obj):
        return {}
    if resource == quotausage.PODS:
        problem = quotausage.missing(limited, obj)
        if problem:
            raise QuotaExceededError(f"failed quota: {name}: {problem}")
    used: Amounts = status.get("used") or {}
    if any(limit not in used for limit in limited):
        raise QuotaExceededError(f"status unknown for quota: {name}, resources: {','.join(sorted(limited))}")
    now = clock.now()
    wanted = quotausage.usage(resource, obj, now, lookups)
    negative = sorted(item for item, amount in wanted.items() if quantity.parse(amount) < 0)
    if negative:
        raise QuotaExceededError(f"quota usage is negative for resource(s): {','.join(negative)}")
    if old is not None and quotausage.is_in_scope(quota, resource, old):
        before = quotausage.usage(resource, old, now, lookups)
        wanted = {item: quantity.remainder(amount, before.get(item, "0")) for item, amount in wanted.items()}
    wanted = {item: wanted[item] for item in limited if item in wanted and quantity.parse(wanted[item])}
    exceeded = [
        item
        for item, amount in wanted.items()
        if quantity.parse(used[item]) + quantity.parse(amount) > quantity.parse(hard[item])
    ]
    if exceeded:
        shown = (_shown({item: amounts[item] for item in exceeded}) for amounts in (wanted, used, hard))
        raise QuotaExceededError("exceeded quota: {}, requested: {}, used: {}, limited: {}".format(name, *shown))
    return wanted


def _shown(amounts: Amounts) -> str:
    return ",".join(f"{name}={amount}" for name, amount in sorted(amounts.items()))

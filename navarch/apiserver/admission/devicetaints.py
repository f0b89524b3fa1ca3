"""Taints of devices say since when they are there: since they are written, if whoever writes them does not say."""

from __future__ import annotations

from navarch.api.kind import Kind
from navarch.api.resource import resourceslice
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.component import clock


class DeviceTaints(AdmissionPlugin):
    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is resourceslice.KIND

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        devices = obj["spec"].get("devices") or ()
        if all("timeAdded" in taint for device in devices for taint in device.get("taints") or ()):
            return obj
        now = clock.timestamp()
        return meta.set_path(obj, [_stamped(device, now) for device in devices], "spec", "devices")


def _stamped(device: Object, now: str) -> Object:
    if not device.get("taints"):
        return device
    return {**device, "taints": [{"timeAdded": now, **taint} for taint in device["taints"]]}

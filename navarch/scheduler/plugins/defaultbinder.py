"""DefaultBinder: write the binding to the API."""

from __future__ import annotations

from collections.abc import Sequence

from navarch.apimachinery.errors import Object, StatusError
from navarch.scheduler.events import EventHint
from navarch.scheduler.framework import Code, CycleState, Plugin, Status
from navarch.scheduler.podinfo import PodInfo


class DefaultBinder(Plugin):
    name = "DefaultBinder"

    def events_to_register(self) -> Sequence[EventHint]:
        return ()

    async def bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        binding: Object = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"kind": "Node", "name": node_name},
        }
        try:
            await self.handle.client.create("pods", binding, pod.namespace, name=pod.name, subresource="binding")
        except (StatusError, OSError) as error:
            return Status(Code.ERROR, (str(error),))
        return None

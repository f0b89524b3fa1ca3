"""ComponentStatus: the parts of the control plane, asked when somebody wants to know."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from navarch.api.core import componentstatus
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.apiserver import selection
from navarch.apiserver.health import Check
from navarch.apiserver.request import Answer, APIRequest, ListAnswer, ObjectAnswer
from navarch.storage.changes import Record

NAMES = ("controller-manager", "scheduler", "etcd-0")
ELSEWHERE = "is not run by this server"


class ComponentStatuses:
    """Answers for /api/v1/componentstatuses."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        """By component; those that are missing do not run here."""

    def serve(self, request: APIRequest) -> Answer:
        kind, info = componentstatus.KIND, request.info
        if info.verb == "get":
            if info.name not in NAMES:
                raise errors.not_found("", kind.plural, info.name)
            return ObjectAnswer(kind, object=self._status(info.name))
        if info.verb != "list":
            raise errors.method_not_allowed()
        chosen = selection.parse(kind, request.option("labelSelector"), request.option("fieldSelector"))
        found = [status for status in map(self._status, NAMES) if chosen.matches(status)]
        return ListAnswer(kind, [Record(status["metadata"]["name"], orjson.dumps(status), 0, 0) for status in found], 0)

    def _status(self, name: str) -> Object:
        check = self._checks.get(name)
        problem = ELSEWHERE if check is None else check()
        condition = {"type": "Healthy", "status": "False" if problem else "True", "message": problem or "ok"}
        return {"apiVersion": "v1", "kind": "ComponentStatus", "metadata": {"name": name}, "conditions": [condition]}

"""Which node ports a Service gets (pkg/registry/core/service/storage/alloc.go and portallocator).

A number is one Service's, for all protocols: ports of one Service that differ in nothing but their protocol share theirs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.component import clock

NODE_PORTS = range(30000, 32768)
# The first numbers are left for those who ask for a particular one (KEP-3668).
STATIC_BAND = 86
ATTEMPTS = 64
OUT_OF_RANGE = "provided port is not in the valid range. The range of valid ports is 30000-32767"
TAKEN = "provided port is already allocated"


class NodePorts:
    """The choice for one Service; what it has chosen counts as taken from then on."""

    def __init__(self, is_free: Callable[[int], bool], service: Object, kept: Iterable[int] | None) -> None:
        """`kept` are the numbers that the Service has already; None: it is a new one."""
        self._is_free = is_free
        self._service = service
        self._is_new = kept is None
        self._own = set(kept or ())

    def allocate(self) -> list[Object]:
        """The Service's ports with the node ports they need. Raises 422 for one that cannot be had, 500 if there is none."""
        ports = self._service["spec"].get("ports") or ()
        wants = self._service["spec"]["type"] == "NodePort" or self._service["spec"].get("allocateLoadBalancerNodePorts", True)
        asked = {port["port"]: port["nodePort"] for port in reversed(ports) if port.get("nodePort")}
        given: dict[int, int] = {}
        found = []
        for index, port in enumerate(ports):
            number, shared = port.get("nodePort"), given.get(port["port"])
            if not number and self._is_new:
                number = shared or asked.get(port["port"])
            if number:
                if number != shared and (self._is_new or number not in self._own):
                    self._take(number, index)
            elif wants:
                number = self._any("a nodePort")
            if number:
                given.setdefault(port["port"], number)
                port = {**port, "nodePort": number}
            found.append(port)
        return found

    def health(self, wanted: int) -> int:
        """The node port at which load balancers ask whether a node has endpoints; `wanted` may be 0. Raises 500."""
        if not wanted:
            return self._any("a HealthCheck NodePort 0")
        problem = self._problem(wanted)
        if problem:
            raise errors.internal_error(f"failed to allocate requested HealthCheck NodePort {wanted}: {problem}")
        return wanted

    def _take(self, number: int, index: int) -> None:
        problem = self._problem(number)
        if problem:
            invalid = errors.invalid_value(f"spec.ports[{index}].nodePort", number, problem)
            raise errors.invalid("", "Service", meta.name(self._service), [invalid])
        self._own.add(number)

    def _problem(self, number: int) -> str:
        if number not in NODE_PORTS:
            return OUT_OF_RANGE
        return "" if number not in self._own and self._is_free(number) else TAKEN

    def _any(self, what: str) -> int:
        candidates = (clock.random().choice(NODE_PORTS[STATIC_BAND:]) for _ in range(ATTEMPTS))
        for number in itertools.chain(candidates, NODE_PORTS[STATIC_BAND:], NODE_PORTS[:STATIC_BAND]):
            if not self._problem(number):
                self._own.add(number)
                return number
        raise errors.internal_error(f"failed to allocate {what}: range is full")

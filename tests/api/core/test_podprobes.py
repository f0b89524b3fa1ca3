"""What probes and handlers of a container's lifecycle must keep to."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from tests.api.core.podchanges import EXEC, NEGATIVE, PORT, C, main
from tests.api.rules import on_create

PROBES: list[tuple[Object, list[str]]] = [
    (main(livenessProbe={}), [f"{C}.livenessProbe: Required value: must specify a handler type"]),
    (
        main(livenessProbe={**EXEC, "tcpSocket": {"port": 1}}),
        [f"{C}.livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
    ),
    (main(livenessProbe={"exec": {}}), [f"{C}.livenessProbe.exec.command: Required value"]),
    (main(livenessProbe={"httpGet": {"port": 0}}), [f"{C}.livenessProbe.httpGet.port: Invalid value: 0: {PORT}"]),
    (
        main(livenessProbe={"httpGet": {"port": 1, "scheme": "x"}}),
        [f'{C}.livenessProbe.httpGet.scheme: Unsupported value: "x": supported values: "HTTP", "HTTPS"'],
    ),
    (
        main(livenessProbe={"tcpSocket": {"port": "-"}}),
        [
            f'{C}.livenessProbe.tcpSocket.port: Invalid value: "-": must contain at least one letter (a-z)',
            f'{C}.livenessProbe.tcpSocket.port: Invalid value: "-": must not begin or end with a hyphen',
        ],
    ),
    (main(livenessProbe={"grpc": {"port": 0}}), [f"{C}.livenessProbe.grpc.port: Invalid value: 0: {PORT}"]),
    *(
        (main(readinessProbe={**EXEC, field: -1}), [f"{C}.readinessProbe.{field}: Invalid value: -1: {NEGATIVE}"])
        for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
    ),
    (main(livenessProbe={**EXEC, "successThreshold": 2}), [f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1"]),
    (main(startupProbe={**EXEC, "successThreshold": 2}), [f"{C}.startupProbe.successThreshold: Invalid value: 2: must be 1"]),
    (
        main(livenessProbe={**EXEC, "terminationGracePeriodSeconds": 0}),
        [f"{C}.livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"],
    ),
    (
        main(readinessProbe={**EXEC, "terminationGracePeriodSeconds": 5}),
        [f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes"],
    ),
    (main(lifecycle={"postStart": {}}), [f"{C}.lifecycle.postStart: Required value: must specify a handler type"]),
    (
        main(lifecycle={"preStop": {"sleep": {"seconds": 31}}}),
        [
            f"{C}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds "
            "(30)"
        ],
    ),
]


@pytest.mark.parametrize(("change", "expected"), PROBES)
def test_each_rule_of_probes_says_what_upstream_says(change: Object, expected: list[str]) -> None:
    assert on_create("pods", change) == expected

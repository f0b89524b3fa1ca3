"""What containers must keep to."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from tests.api.core.podchanges import EXEC, LABEL, PORT, C, main, spec
from tests.api.rules import on_create

E = "spec.initContainers[0]"


def init(**fields: Any) -> Object:
    return {"spec": {"initContainers": [{"name": "before", "image": "registry.example/app:1", **fields}]}}


CONTAINERS: list[tuple[Object, list[str]]] = [
    (spec(containers=[]), ["spec.containers: Required value"]),
    (main(name=None), [f"{C}.name: Required value"]),
    (main(name="A"), [f'{C}.name: Invalid value: "A": {LABEL}']),
    (main(image=""), [f"{C}.image: Required value"]),
    (main(image=" a"), [f'{C}.image: Invalid value: " a": must not have leading or trailing whitespace']),
    (
        main(terminationMessagePolicy="x"),
        [f'{C}.terminationMessagePolicy: Unsupported value: "x": supported values: "File", "FallbackToLogsOnError"'],
    ),
    (
        main(imagePullPolicy="x"),
        [f'{C}.imagePullPolicy: Unsupported value: "x": supported values: "Always", "IfNotPresent", "Never"'],
    ),
    (
        spec(containers=[{"name": "a", "image": "b"}, {"name": "a", "image": "b"}]),
        ['spec.containers[1].name: Duplicate value: "a"'],
    ),
    (main(ports=[{}]), [f"{C}.ports[0].containerPort: Required value"]),
    (main(ports=[{"containerPort": 70000}]), [f"{C}.ports[0].containerPort: Invalid value: 70000: {PORT}"]),
    (main(ports=[{"containerPort": 1, "hostPort": -1}]), [f"{C}.ports[0].hostPort: Invalid value: -1: {PORT}"]),
    (
        main(ports=[{"containerPort": 1, "protocol": "x"}]),
        [f'{C}.ports[0].protocol: Unsupported value: "x": supported values: "SCTP", "TCP", "UDP"'],
    ),
    (
        main(ports=[{"containerPort": 1, "name": "1"}]),
        [f'{C}.ports[0].name: Invalid value: "1": must contain at least one letter (a-z)'],
    ),
    (
        main(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]),
        [f'{C}.ports[1].name: Duplicate value: "a"'],
    ),
    (
        main(ports=[{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}]),
        [f'{C}.ports[1].hostPort: Duplicate value: "TCP//5"'],
    ),
    (
        {"spec": {**main(ports=[{"containerPort": 1, "hostPort": 2}])["spec"], "hostNetwork": True}},
        [f"{C}.ports[0].hostPort: Invalid value: 2: must match `containerPort` when `hostNetwork` is true"],
    ),
    (main(resizePolicy=[{"resourceName": "cpu"}]), [f"{C}.resizePolicy: Required value"]),
    (
        main(resizePolicy=[{"resourceName": "x", "restartPolicy": "NotRequired"}]),
        [f'{C}.resizePolicy: Unsupported value: "x": supported values: "cpu", "memory"'],
    ),
    (
        main(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "NotRequired"}] * 2),
        [f'{C}.resizePolicy[1]: Duplicate value: "cpu"'],
    ),
    (
        {
            "spec": {
                "restartPolicy": "Never",
                **main(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "RestartContainer"}])["spec"],
            }
        },
        [f"{C}.resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when pod `restartPolicy` is 'Never'"],
    ),
    (
        main(restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]),
        [f"{C}.restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
    ),
    (
        main(restartPolicy="x"),
        [f'{C}.restartPolicy: Unsupported value: "x": supported values: "Always", "Never", "OnFailure"'],
    ),
    (
        main(restartPolicy="Never", restartPolicyRules=[{"action": "x"}]),
        [
            f'{C}.restartPolicyRules[0].action: Unsupported value: "x": supported values: "Restart", "RestartAllContainers"',
            f"{C}.restartPolicyRules[0].exitCodes: Required value: must be specified",
        ],
    ),
    (
        main(restartPolicy="Never", restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "x", "values": [1]}}]),
        [f'{C}.restartPolicyRules[0].exitCodes.operator: Unsupported value: "x": supported values: "In", "NotIn"'],
    ),
    (
        main(
            restartPolicy="Never",
            restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [*range(256)]}}],
        ),
        [f"{C}.restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items"],
    ),
    (
        main(
            restartPolicy="Never",
            restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}] * 21,
        ),
        [f"{C}.restartPolicyRules: Too many: 21: must have at most 20 items"],
    ),
    (init(name="main"), [f'{E}.name: Duplicate value: "main"']),
    (init(restartPolicy="x"), [f'{E}.restartPolicy: Unsupported value: "x": supported values: "Always", "Never", "OnFailure"']),
    *(
        (init(**{field: value}), [f"{E}.{field}: Forbidden: may not be set for init containers without restartPolicy=Always"])
        for field, value in (
            ("lifecycle", {"preStop": EXEC}),
            ("livenessProbe", EXEC),
            ("readinessProbe", EXEC),
            ("startupProbe", EXEC),
        )
    ),
    (init(restartPolicy="Always", readinessProbe=EXEC, lifecycle={"preStop": EXEC}), []),
    (
        init(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]),
        [
            f"{E}.resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must not be set to 'RestartContainer' "
            "for non-sidecar initContainers"
        ],
    ),
    (
        init(ports=[{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}]),
        [f'{E}.ports[1].hostPort: Duplicate value: "TCP//5"'],
    ),
    (
        spec(ephemeralContainers=[{"name": "debug", "image": "a"}]),
        ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    ),
    (
        spec(containers=[{"name": "", "image": "a"}, {"name": "", "image": "a"}]),
        [
            "spec.containers[0].name: Required value",
            "spec.containers[1].name: Required value",
            'spec.containers[1].name: Duplicate value: ""',
        ],
    ),
    (
        init(restartPolicyRules=[{"action": "x"}]),
        ["spec.initContainers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
    ),
]


@pytest.mark.parametrize(("change", "expected"), CONTAINERS)
def test_each_rule_of_containers_says_what_upstream_says(change: Object, expected: list[str]) -> None:
    assert on_create("pods", change) == expected

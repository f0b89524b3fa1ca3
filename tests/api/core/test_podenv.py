"""What variables of containers must keep to."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from tests.api.core.podchanges import NAME, SUBDOMAIN, C, main, mounted
from tests.api.rules import on_create

ENVIRONMENT: list[tuple[Object, list[str]]] = [
    (main(env=[{"value": "a"}]), [f"{C}.env[0].name: Required value"]),
    (
        main(env=[{"name": "a=b"}]),
        [
            f'{C}.env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII '
            "characters other than '='"
        ],
    ),
    (
        main(env=[{"name": "A", "valueFrom": {}}]),
        [
            f'{C}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, '
            "`secretKeyRef` or `fileKeyRef`"
        ],
    ),
    (
        main(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        [f'{C}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ),
    (
        main(
            env=[
                {
                    "name": "A",
                    "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}, "secretKeyRef": {"name": "s", "key": "k"}},
                }
            ]
        ),
        [f'{C}.env[0].valueFrom: Invalid value: "": may not have more than one field specified at a time'],
    ),
    (
        main(env=[{"name": "A", "valueFrom": {"fieldRef": {}}}]),
        [f"{C}.env[0].valueFrom.fieldRef.fieldPath: Required value"],
    ),
    (
        main(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.x"}}}]),
        [
            f'{C}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.x": error converting fieldPath: field label '
            "not supported: metadata.x"
        ],
    ),
    (
        main(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}]),
        [
            f'{C}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: "metadata.name", '
            '"metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", '
            '"status.hostIPs", "status.podIP", "status.podIPs"'
        ],
    ),
    (
        main(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a b']"}}}]),
        [f'{C}.env[0].valueFrom.fieldRef: Invalid value: "a b": {NAME}'],
    ),
    (
        main(env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.x"}}}]),
        [
            f'{C}.env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.x": supported values: "limits.cpu", '
            '"limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"'
        ],
    ),
    (
        main(env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1Mi"}}}]),
        [
            f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1 are '
            "supported with the cpu resource"
        ],
    ),
    (
        main(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "S"}}}]),
        [
            f'{C}.env[0].valueFrom.secretKeyRef.name: Invalid value: "S": {SUBDOMAIN}',
            f"{C}.env[0].valueFrom.secretKeyRef.key: Required value",
        ],
    ),
    (
        main(env=[{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "../x", "key": "K"}}}]),
        [
            f"{C}.env[0].valueFrom.fileKeyRef.path: Invalid value: \"../x\": must not contain '..'",
            f'{C}.env[0].valueFrom.fileKeyRef.volumeName: Not found: "v"',
        ],
    ),
    (
        mounted(env=[{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "p", "path": "x", "key": "K"}}}]),
        [f'{C}.env[0].valueFrom.fileKeyRef.volumeName: Invalid value: "p": referenced volume must be of type emptyDir'],
    ),
    (main(envFrom=[{}]), [f'{C}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`']),
    (
        main(envFrom=[{"configMapRef": {"name": "a"}, "secretRef": {"name": "a"}}]),
        [f'{C}.envFrom: Invalid value: "": may not have more than one field specified at a time'],
    ),
    (main(envFrom=[{"configMapRef": {}}]), [f"{C}.envFrom[0].configMapRef.name: Required value"]),
]


@pytest.mark.parametrize(("change", "expected"), ENVIRONMENT)
def test_each_rule_of_variables_says_what_upstream_says(change: Object, expected: list[str]) -> None:
    assert on_create("pods", change) == expected

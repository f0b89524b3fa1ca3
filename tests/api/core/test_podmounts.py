"""What is mounted into containers, and as which devices."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from tests.api.core.podchanges import C, mounted, spec
from tests.api.rules import on_create

MOUNTS: list[tuple[Object, list[str]]] = [
    (
        mounted({"mountPath": "/a"}),
        [f"{C}.volumeMounts[0].name: Required value", f'{C}.volumeMounts[0].name: Not found: ""'],
    ),
    (mounted({"name": "x", "mountPath": "/a"}), [f'{C}.volumeMounts[0].name: Not found: "x"']),
    (mounted({"name": "v"}), [f"{C}.volumeMounts[0].mountPath: Required value"]),
    (
        mounted({"name": "v", "mountPath": "/a"}, {"name": "p", "mountPath": "/a"}),
        [f'{C}.volumeMounts[1].mountPath: Invalid value: "/a": must be unique'],
    ),
    (
        mounted({"name": "v", "mountPath": "/a", "subPath": "/x"}),
        [f'{C}.volumeMounts.subPath: Invalid value: "/x": must be a relative path'],
    ),
    (
        mounted({"name": "v", "mountPath": "/a", "subPathExpr": "a/.."}),
        [f"{C}.volumeMounts.subPathExpr: Invalid value: \"a/..\": must not contain '..'"],
    ),
    (
        mounted({"name": "v", "mountPath": "/a", "subPath": "x", "subPathExpr": "y"}),
        [f'{C}.volumeMounts[0].subPathExpr: Invalid value: "y": subPathExpr and subPath are mutually exclusive'],
    ),
    (
        mounted({"name": "v", "mountPath": "/a", "mountPropagation": "x"}),
        [
            f'{C}.volumeMounts.mountPropagation: Unsupported value: "x": supported values: "Bidirectional", "HostToContainer", '
            '"None"'
        ],
    ),
    (
        mounted({"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}),
        [
            f"{C}.volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged "
            "containers"
        ],
    ),
    (
        mounted({"name": "v", "mountPath": "/a", "recursiveReadOnly": "Enabled", "mountPropagation": "HostToContainer"}),
        [
            f"{C}.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
            f"{C}.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not "
            "specified",
        ],
    ),
    (
        mounted({"name": "v", "mountPath": "/a", "readOnly": True, "recursiveReadOnly": "x"}),
        [f'{C}.volumeMounts.recursiveReadOnly: Unsupported value: "x": supported values: "Disabled", "Enabled", "IfPossible"'],
    ),
    (
        mounted({"name": "p", "mountPath": "/a"}, devices=[{"name": "p", "devicePath": "/a"}]),
        [
            f'{C}.volumeMounts[0].name: Invalid value: "p": must not already exist in volumeDevices',
            f'{C}.volumeMounts[0].mountPath: Invalid value: "/a": must not already exist as a path in volumeDevices',
            f'{C}.volumeDevices[0].name: Invalid value: "p": must not already exist in volumeMounts',
            f'{C}.volumeDevices[0].devicePath: Invalid value: "/a": must not already exist as a path in volumeMounts',
        ],
    ),
    (
        mounted(devices=[{"name": "v", "devicePath": "/a/../b"}]),
        [
            f'{C}.volumeDevices[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim or '
            "Ephemeral for block mode",
            f"{C}.volumeDevices[0].devicePath: Invalid value: \"/a/../b\": can not contain backsteps ('..')",
        ],
    ),
    (
        mounted(devices=[{"name": "p", "devicePath": "/a"}, {"name": "p", "devicePath": "/a"}]),
        [
            f'{C}.volumeDevices[1].name: Invalid value: "p": must be unique',
            f'{C}.volumeDevices[1].devicePath: Invalid value: "/a": must be unique',
        ],
    ),
    (
        mounted(devices=[{"devicePath": ""}]),
        [
            f"{C}.volumeDevices[0].name: Required value",
            f'{C}.volumeDevices[0].name: Not found: ""',
            f"{C}.volumeDevices[0].devicePath: Required value",
        ],
    ),
    (
        spec(volumes=[{"name": "v", "hostPath": {"path": ""}, "emptyDir": {"sizeLimit": "-1"}}]),
        [
            "spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity",
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ],
    ),
]


@pytest.mark.parametrize(("change", "expected"), MOUNTS)
def test_each_rule_of_mounts_says_what_upstream_says(change: Object, expected: list[str]) -> None:
    assert on_create("pods", change) == expected

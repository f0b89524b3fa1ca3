"""What security contexts must keep to, on which operating system."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from tests.api.core.podchanges import C, main, spec
from tests.api.rules import on_create

SECURITY: list[tuple[Object, list[str]]] = [
    *(
        (
            spec(securityContext={field: -1}),
            [f"spec.securityContext.{field}: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
        )
        for field in ("fsGroup", "runAsUser", "runAsGroup")
    ),
    (
        spec(securityContext={"supplementalGroups": [-1]}),
        ["spec.securityContext.supplementalGroups[0]: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
    ),
    (
        spec(securityContext={"fsGroupChangePolicy": "x"}),
        ['spec.securityContext.fsGroupChangePolicy: Unsupported value: "x": supported values: "Always", "OnRootMismatch"'],
    ),
    (
        spec(securityContext={"supplementalGroupsPolicy": "x"}),
        ['spec.securityContext.supplementalGroupsPolicy: Unsupported value: "x": supported values: "Merge", "Strict"'],
    ),
    (
        spec(securityContext={"seccompProfile": {"type": "Localhost"}}),
        ["spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"],
    ),
    (
        spec(securityContext={"appArmorProfile": {"type": "x"}}),
        [
            'spec.securityContext.appArmorProfile.type: Unsupported value: "x": supported values: "Localhost", '
            '"RuntimeDefault", "Unconfined"'
        ],
    ),
    (
        spec(securityContext={"sysctls": [{"name": "a", "value": "1"}, {"name": "a", "value": "1"}]}),
        ['spec.securityContext.sysctls[1].name: Duplicate value: "a"'],
    ),
    (
        spec(hostNetwork=True, securityContext={"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}),
        [
            'spec.securityContext.sysctls[0].name: Invalid value: "net.core.somaxconn": may not be specified when '
            "'hostNetwork' is true"
        ],
    ),
    (
        main(securityContext={"procMount": "Unmasked"}),
        [f'{C}.securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'],
    ),
    (
        main(securityContext={"allowPrivilegeEscalation": False, "privileged": True}),
        [
            f'{C}.securityContext: Invalid value: {{"Capabilities":null,"Privileged":true,"SELinuxOptions":null,'
            '"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,'
            '"AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}: cannot set '
            "`allowPrivilegeEscalation` to false and `privileged` to true"
        ],
    ),
    (
        spec(securityContext={"seccompProfile": {"type": "Unconfined", "localhostProfile": "a"}}),
        [
            "spec.securityContext.seccompProfile.localhostProfile: Invalid value: "
            '{"Type":"Unconfined","LocalhostProfile":"a"}: can only be set when seccomp type is Localhost'
        ],
    ),
    (
        spec(securityContext={"seLinuxChangePolicy": "MountOption"}),
        ['spec.securityContext.seLinuxChangePolicy: Unsupported value: "MountOption": supported values: "Recursive"'],
    ),
    (
        spec(hostPID=True, shareProcessNamespace=True, securityContext={"fsGroup": -1, "fsGroupChangePolicy": "x"}),
        [
            "spec.securityContext.fsGroup: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both "
            "be enabled",
            'spec.securityContext.fsGroupChangePolicy: Unsupported value: "x": supported values: "Always", "OnRootMismatch"',
        ],
    ),
    (spec(hostUsers=False, hostNetwork=True), ["spec.hostNetwork: Forbidden: when `hostUsers` is false"]),
    (spec(hostUsers=False, hostPID=True), ["spec.HostPID: Forbidden: when `hostUsers` is false"]),
    (spec(os={"name": "x"}), ['spec.os: Unsupported value: "x": supported values: "linux", "windows"']),
    (
        spec(
            os={"name": "windows"},
            hostPID=True,
            hostIPC=False,
            shareProcessNamespace=False,
            securityContext={"seLinuxOptions": {}, "fsGroup": 1, "runAsUser": 0},
        ),
        [
            f"spec.{field}: Forbidden: cannot be set for a windows pod"
            for field in (
                "securityContext.seLinuxOptions",
                "hostPID",
                "securityContext.fsGroup",
                "shareProcessNamespace",
                "securityContext.runAsUser",
            )
        ],
    ),
    (
        spec(os={"name": "linux"}, securityContext={"windowsOptions": {"runAsUserName": "x"}}),
        ["spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"],
    ),
    (
        spec(securityContext={"windowsOptions": {"hostProcess": True}}),
        ["spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers"],
    ),
]


@pytest.mark.parametrize(("change", "expected"), SECURITY)
def test_each_rule_of_security_says_what_upstream_says(change: Object, expected: list[str]) -> None:
    assert on_create("pods", change) == expected

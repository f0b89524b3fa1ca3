"""What new pods must keep to: for each rule a pod that breaks it, and all that is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from tests.api.rules import made, on_create

C = "spec.containers[0]"
E = "spec.initContainers[0]"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NAME = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
PORT = "must be between 1 and 65535, inclusive"
NEGATIVE = "must be greater than or equal to 0"
SECCOMP = "container.seccomp.security.alpha.kubernetes.io/main"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/main"
EXEC = {"exec": {"command": ["true"]}}
REQUIRED_TERMS = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED_TERMS = "preferredDuringSchedulingIgnoredDuringExecution"


def main(**fields: Any) -> Object:
    """A pod of one container with these fields."""
    return {"spec": {"containers": [{"name": "main", "image": "registry.example/app:1", **fields}]}}


def init(**fields: Any) -> Object:
    return {"spec": {"initContainers": [{"name": "before", "image": "registry.example/app:1", **fields}]}}


def spec(**fields: Any) -> Object:
    return {"spec": fields}


def mounted(*mounts: Object, devices: list[Object] | None = None, **fields: Any) -> Object:
    """A pod whose container mounts volumes; there are `v`, an emptyDir, and `p`, a claimed one."""
    volumes = [{"name": "v"}, {"name": "p", "persistentVolumeClaim": {"claimName": "c"}}]
    container = {"name": "main", "image": "a", "volumeMounts": list(mounts), **fields}
    if devices is not None:
        container["volumeDevices"] = devices
    return {"spec": {"volumes": volumes, "containers": [container]}}


def affinity(kind: str, term: Object, *, weight: int | None = None) -> Object:
    if kind == "nodeAffinity":
        if weight is None:
            return spec(affinity={kind: {REQUIRED_TERMS: {"nodeSelectorTerms": [term]}}})
        return spec(affinity={kind: {PREFERRED_TERMS: [{"weight": weight, "preference": term}]}})
    if weight is None:
        return spec(affinity={kind: {REQUIRED_TERMS: [term]}})
    return spec(affinity={kind: {PREFERRED_TERMS: [{"weight": weight, "podAffinityTerm": term}]}})


def spread(**fields: Any) -> Object:
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    return spec(topologySpreadConstraints=[{**constraint, **fields}])


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
    (
        spec(volumes=[{"name": "v", "hostPath": {"path": ""}, "emptyDir": {"sizeLimit": "-1"}}]),
        [
            "spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity",
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ],
    ),
]

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
]

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

RESOURCES: list[tuple[Object, list[str]]] = [
    (
        main(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
        [f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ),
    (
        main(resources={"limits": {"cpu": "-1"}}),
        [
            f'{C}.resources.limits[cpu]: Invalid value: "-1": {NEGATIVE}',
            f'{C}.resources.requests[cpu]: Invalid value: "-1": {NEGATIVE}',
        ],
    ),
    (
        main(resources={"requests": {"x": "1"}}),
        [
            f'{C}.resources.requests[x]: Invalid value: "x": must be a standard resource type or fully qualified',
            f'{C}.resources.requests[x]: Invalid value: "x": must be a standard resource for containers',
        ],
    ),
    (
        main(resources={"requests": {"example.com/gpu": "1"}}),
        [f"{C}.resources.limits: Required value: Limit must be set for non overcommitable resources"],
    ),
    (
        main(resources={"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "2"}}),
        [f'{C}.resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2'],
    ),
    (
        main(resources={"limits": {"example.com/gpu": "1500m"}}),
        [
            f'{C}.resources.limits[example.com/gpu]: Invalid value: "1500m": must be an integer',
            f'{C}.resources.requests[example.com/gpu]: Invalid value: "1500m": must be an integer',
        ],
    ),
    (
        main(resources={"limits": {"hugepages-2Mi": "2Mi"}}),
        [f"{C}.resources: Forbidden: HugePages require cpu or memory"],
    ),
    (
        main(resources={"limits": {"hugepages-2Mi": "1Mi", "cpu": "1"}}),
        [
            f'{C}.resources.limits[hugepages-2Mi]: Invalid value: "1Mi": 1Mi is not positive integer multiple of hugepages-2Mi',
            f'{C}.resources.requests[hugepages-2Mi]: Invalid value: "1Mi": 1Mi is not positive integer multiple of '
            "hugepages-2Mi",
        ],
    ),
    (
        main(resources={"claims": [{"name": "x"}]}),
        [
            f'{C}.resources.claims[0]: Not found: "x": must be one of the names in pod.spec.resourceClaims which is empty',
        ],
    ),
    (
        spec(resourceClaims=[{"name": "a"}]),
        [
            'spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,"ResourceClaimTemplateName":null}: '
            "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
        ],
    ),
    (
        spec(resourceClaims=[{"name": "a", "resourceClaimName": "b"}, {"name": "a", "resourceClaimName": "B"}]),
        [
            'spec.resourceClaims[1].name: Duplicate value: "a"',
            f'spec.resourceClaims[1].resourceClaimName: Invalid value: "B": {SUBDOMAIN}',
        ],
    ),
    (
        spec(resources={"requests": {"ephemeral-storage": "1"}}),
        [
            'spec.resources.requests[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", '
            '"hugepages-", "memory"'
        ],
    ),
    (
        {"spec": {"resources": {"requests": {"cpu": "1"}}, **main(resources={"requests": {"cpu": "2"}})["spec"]}},
        [
            'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests '
            "of 2"
        ],
    ),
    (spec(overhead={"x": "1"}), [
        'spec.overhead.limits[x]: Invalid value: "x": must be a standard resource type or fully qualified',
        'spec.overhead.limits[x]: Invalid value: "x": must be a standard resource for containers',
    ]),
]  # fmt: skip

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

SCHEDULING: list[tuple[Object, list[str]]] = [
    (spec(nodeSelector={"a b": "c"}), [f'spec.nodeSelector: Invalid value: "a b": {NAME}']),
    (
        spec(affinity={"nodeAffinity": {REQUIRED_TERMS: {}}}),
        [
            f"spec.affinity.nodeAffinity.{REQUIRED_TERMS}.nodeSelectorTerms: Required value: must have at least one node "
            "selector term"
        ],
    ),
    (
        affinity("nodeAffinity", {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1", "2"]}]}),
        [
            f"spec.affinity.nodeAffinity.{REQUIRED_TERMS}.nodeSelectorTerms[0].matchExpressions[0].values: Required value: "
            "must be specified single value when `operator` is 'Lt' or 'Gt'"
        ],
    ),
    (
        affinity("nodeAffinity", {}, weight=0),
        [f"spec.affinity.nodeAffinity.{PREFERRED_TERMS}[0].weight: Invalid value: 0: must be in the range 1-100"],
    ),
    (
        affinity("podAffinity", {"labelSelector": {}}),
        [
            f"spec.affinity.podAffinity.{REQUIRED_TERMS}[0].topologyKey: Required value: can not be empty",
            f'spec.affinity.podAffinity.{REQUIRED_TERMS}[0].topologyKey: Invalid value: "": name part must be non-empty',
            f'spec.affinity.podAffinity.{REQUIRED_TERMS}[0].topologyKey: Invalid value: "": {NAME}',
        ],
    ),
    (
        affinity("podAntiAffinity", {"topologyKey": "zone", "namespaces": ["A"]}, weight=1),
        [f'spec.affinity.podAntiAffinity.{PREFERRED_TERMS}[0].podAffinityTerm.namespace: Invalid value: "A": {LABEL}'],
    ),
    (
        affinity("podAffinity", {"topologyKey": "zone", "matchLabelKeys": ["a"]}),
        [
            f"spec.affinity.podAffinity.{REQUIRED_TERMS}[0].matchLabelKeys: Forbidden: must not be specified when "
            "labelSelector is not set"
        ],
    ),
    (
        affinity(
            "podAffinity", {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"]}
        ),
        [
            f'spec.affinity.podAffinity.{REQUIRED_TERMS}[0].matchLabelKeys[0]: Invalid value: "a": exists in both '
            "matchLabelKeys and mismatchLabelKeys"
        ],
    ),
    (
        {
            "metadata": {"labels": {"a": "1"}},
            **affinity(
                "podAffinity", {"topologyKey": "z", "labelSelector": {"matchLabels": {"a": "1"}}, "matchLabelKeys": ["a"]}
            ),
        },
        [
            f'spec.affinity.podAffinity.{REQUIRED_TERMS}[0][0]: Invalid value: "a": exists in both matchLabelKeys and '
            "labelSelector"
        ],
    ),
    (spread(maxSkew=0), ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"]),
    (spread(topologyKey=""), ["spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty"]),
    (
        spread(whenUnsatisfiable=""),
        [
            'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "": supported values: "DoNotSchedule", '
            '"ScheduleAnyway"'
        ],
    ),
    (
        spread(whenUnsatisfiable="ScheduleAnyway", minDomains=1),
        [
            "spec.topologySpreadConstraints[0].minDomains: Invalid value: 1: can only use minDomains if "
            "whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"
        ],
    ),
    (spread(minDomains=0), ["spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero"]),
    (
        spread(nodeTaintsPolicy="x"),
        ['spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: "x": supported values: "Honor", "Ignore"'],
    ),
    (
        spec(topologySpreadConstraints=spread()["spec"]["topologySpreadConstraints"] * 2),
        ['spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{zone, DoNotSchedule}"'],
    ),
    (
        spec(tolerations=[{}]),
        [
            'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match '
            'all values and all keys"'
        ],
    ),
    (
        spec(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
        ["spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'"],
    ),
    (
        spec(tolerations=[{"key": "a", "value": "b c"}]),
        [f'spec.tolerations[0].operator: Invalid value: "b c": {VALUE}'],
    ),
    (
        spec(tolerations=[{"key": "a", "operator": "Lt", "value": "1"}]),
        ['spec.tolerations[0].operator: Unsupported value: "Lt": supported values: "Equal", "Exists", "Lt", "Gt"'],
    ),
    (
        spec(tolerations=[{"key": "a", "operator": "x"}]),
        ['spec.tolerations[0].operator: Unsupported value: "x": supported values: "Equal", "Exists"'],
    ),
    (
        spec(tolerations=[{"key": "a", "effect": "x"}]),
        ['spec.tolerations[0].effect: Unsupported value: "x": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'],
    ),
    (
        spec(tolerations=[{"key": "a", "tolerationSeconds": 1}]),
        ["spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set"],
    ),
    (
        spec(schedulingGates=[{"name": "a b"}, {"name": "a b"}]),
        [
            f'spec.schedulingGates[0]: Invalid value: "a b": {NAME}',
            f'spec.schedulingGates[1]: Invalid value: "a b": {NAME}',
            'spec.schedulingGates[1]: Duplicate value: "a b"',
        ],
    ),
    (
        spec(schedulingGates=[{"name": "a"}], nodeName="n"),
        ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
    ),
    (
        spec(readinessGates=[{"conditionType": "a b"}]),
        [f'spec.readinessGates[0].conditionType: Invalid value: "a b": {NAME}'],
    ),
    (
        spec(preemptionPolicy="x"),
        ['spec.preemptionPolicy: Unsupported value: "x": supported values: "PreemptLowerPriority", "Never"'],
    ),
]

NETWORK: list[tuple[Object, list[str]]] = [
    (
        spec(restartPolicy="x"),
        ['spec.restartPolicy: Unsupported value: "x": supported values: "Always", "OnFailure", "Never"'],
    ),
    (
        spec(dnsPolicy="x"),
        [
            'spec.dnsPolicy: Unsupported value: "x": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", '
            '"None"'
        ],
    ),
    (spec(dnsPolicy="None"), ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]),
    (
        spec(dnsPolicy="None", dnsConfig={}),
        ["spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None"],
    ),
    (
        spec(dnsConfig={"nameservers": ["10.0.0.1", "10.0.0.2", "10.0.0.3", "x"]}),
        [
            'spec.dnsConfig.nameservers: Invalid value: ["10.0.0.1","10.0.0.2","10.0.0.3","x"]: must not have more than 3 '
            "nameservers",
            f'spec.dnsConfig.nameservers[3]: Invalid value: "x": {IP}',
        ],
    ),
    (spec(dnsConfig={"options": [{"value": "1"}]}), ["spec.dnsConfig.options[0]: Required value: must not be empty"]),
    (spec(dnsConfig={"searches": [".", "a_b.example."]}), []),
    (spec(hostAliases=[{"ip": "x"}]), [f'spec.hostAliases[0].ip: Invalid value: "x": {IP}']),
    (
        spec(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["A"]}]),
        [f'spec.hostAliases[0].hostnames[0]: Invalid value: "A": {SUBDOMAIN}'],
    ),
    (spec(hostname="A"), [f'spec.hostname: Invalid value: "A": {LABEL}']),
    (spec(subdomain="A"), [f'spec.subdomain: Invalid value: "A": {LABEL}']),
    (spec(serviceAccountName="A"), [f'spec.serviceAccountName: Invalid value: "A": {SUBDOMAIN}']),
    (spec(nodeName="A"), [f'spec.nodeName: Invalid value: "A": {SUBDOMAIN}']),
    (spec(priorityClassName="A"), [f'spec.priorityClassName: Invalid value: "A": {SUBDOMAIN}']),
    (spec(runtimeClassName="A"), [f'spec.runtimeClassName: Invalid value: "A": {SUBDOMAIN}']),
    (spec(runtimeClassName=""), [f'spec.runtimeClassName: Invalid value: "": {SUBDOMAIN}']),
    (
        spec(hostnameOverride="a", setHostnameAsFQDN=True, hostNetwork=True),
        [
            "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
            "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true",
        ],
    ),
    (
        spec(activeDeadlineSeconds=0),
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    ),
    (spec(terminationGracePeriodSeconds=-1), []),
    (
        {
            "metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}},
            **spec(nodeName="n", resourceClaims=[{"name": "A"}, {"name": "A"}]),
        },
        [": Forbidden: static pods do not support resource claims"] * 2,
    ),
]

ANNOTATIONS: list[tuple[Object, list[str]]] = [
    (
        {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}},
        [
            'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod '
            "annotation is set"
        ],
    ),
    (
        {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "+1"}}},
        [
            'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+1": must be a 32bit integer',
        ],
    ),
    (
        {"metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "x"}}},
        ['metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: "x": must be a valid seccomp profile'],
    ),
    (
        {
            "metadata": {
                "annotations": {
                    "container.seccomp.security.alpha.kubernetes.io/a": "localhost//etc",
                    "container.seccomp.security.alpha.kubernetes.io/b": "localhost/../b",
                }
            }
        },
        [
            'metadata.annotations.container.seccomp.security.alpha.kubernetes.io/a: Invalid value: "/etc": must be a relative '
            "path",
            'metadata.annotations.container.seccomp.security.alpha.kubernetes.io/b: Invalid value: "../b": must not contain '
            "'..'",
        ],
    ),
    ({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-05"}}}, []),
    (
        {
            "metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}},
            "spec": {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
        },
        ["spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"],
    ),
    (
        {
            "metadata": {"annotations": {"container.seccomp.security.alpha.kubernetes.io/main": "x"}},
            **main(securityContext={"seccompProfile": {"type": "Unconfined"}}),
        },
        [
            'metadata.annotations.container.seccomp.security.alpha.kubernetes.io/main: Invalid value: "x": must be a valid '
            "seccomp profile",
            f"{C}.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match",
        ],
    ),
    *(
        (
            {"metadata": {"annotations": {APPARMOR: value}}, **spec(securityContext={"appArmorProfile": field}, **more)},
            [f"{C}.securityContext.appArmorProfile.{part}: Forbidden: {text}" for part, text in problems],
        )
        for value, field, more, problems in (
            # What the pod says holds for a container of which the annotation says nothing that a field could say.
            ("", {"type": "Unconfined"}, {}, [("type", "apparmor type in annotation and field must match")]),
            (
                "localhost/",
                {"type": "Localhost", "localhostProfile": "a"},
                {},
                [
                    ("localhostProfile", "apparmor profile in annotation and field must match"),
                ],
            ),
            ("localhost/a", {"type": "Localhost", "localhostProfile": "a"}, {}, []),
        )
    ),
    (
        {"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/x": "y"}}},
        [
            'metadata.annotations[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: "x": container not found',
            'metadata.annotations[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: "y": invalid AppArmor '
            'profile name: "y"',
        ],
    ),
]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        *CONTAINERS,
        *ENVIRONMENT,
        *MOUNTS,
        *PROBES,
        *RESOURCES,
        *SECURITY,
        *SCHEDULING,
        *NETWORK,
        *ANNOTATIONS,
    ],
)
def test_each_rule_of_a_new_pod_says_what_upstream_says(change: Object, expected: list[str]) -> None:
    assert on_create("pods", change) == expected


def test_of_a_template_only_the_seccomp_profile_must_match_its_annotation() -> None:
    fields = {"seccompProfile": {"type": "RuntimeDefault"}, "appArmorProfile": {"type": "RuntimeDefault"}}
    annotations = {SECCOMP: "unconfined", APPARMOR: "unconfined"}
    change = {"template": {"metadata": {"annotations": annotations}, **main(securityContext=fields)}}
    assert on_create("podtemplates", change) == [
        "template.spec.containers[0].securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field "
        "must match"
    ]


def test_what_a_pod_leaves_open_is_filled_in() -> None:
    pod = made(
        "pods",
        {
            "spec": {
                "hostNetwork": True,
                "containers": [
                    {
                        "name": "main",
                        "image": "app",
                        "ports": [{"containerPort": 80}],
                        "resources": {"limits": {"cpu": "1", "memory": "0.0001"}},
                        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                        "livenessProbe": {"httpGet": {"port": 80}},
                        "lifecycle": {"stopSignal": "SIGTERM"},
                    }
                ],
            }
        },
    )
    container = pod["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "Always" and "lifecycle" not in container
    assert container["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
    assert container["resources"]["requests"] == container["resources"]["limits"] == {"cpu": "1", "memory": "1m"}
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    probe = {"failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1}
    assert container["livenessProbe"] == {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, **probe}
    assert pod["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}
    assert pod["spec"]["enableServiceLinks"] is True and pod["spec"]["terminationGracePeriodSeconds"] == 30


def test_a_grace_period_below_zero_is_one_second() -> None:
    assert made("pods", spec(terminationGracePeriodSeconds=-5))["spec"]["terminationGracePeriodSeconds"] == 1
    template = {"template": {"spec": {"containers": [{"name": "a", "image": "a"}], "terminationGracePeriodSeconds": -5}}}
    assert made("podtemplates", template)["template"]["spec"]["terminationGracePeriodSeconds"] == -5


def test_a_pod_that_waits_to_be_scheduled_has_done_so_since_it_was_made() -> None:
    pod = made("pods", {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, **spec(schedulingGates=[{"name": "a"}])})
    condition = pod["status"]["conditions"][0]
    assert (condition["reason"], condition["lastTransitionTime"]) == ("SchedulingGated", "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("value", "change", "expected"),
    [
        ("runtime/default", {}, {"type": "RuntimeDefault"}),
        ("localhost/a", {}, {"type": "Localhost", "localhostProfile": "a"}),
        ("localhost/", {}, None),
        ("localhost/ a", {}, None),
        ("", {}, None),
        ("unconfined", spec(os={"name": "windows"}), None),
        ("unconfined", spec(securityContext={"appArmorProfile": {"type": "Unconfined"}}), None),
        ("unconfined", spec(securityContext={"appArmorProfile": {"type": "RuntimeDefault"}}), {"type": "Unconfined"}),
    ],
)
def test_what_an_annotation_says_of_apparmor_becomes_a_field(value: str, change: Object, expected: Object | None) -> None:
    pod = made("pods", {"metadata": {"annotations": {APPARMOR: value}}, **change})
    context = pod["spec"]["containers"][0].get("securityContext") or {}
    assert context.get("appArmorProfile") == expected


def test_labels_of_the_pod_are_merged_into_its_selectors() -> None:
    term = {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["a", "none"], "mismatchLabelKeys": ["b"]}
    pod = made("pods", {"metadata": {"labels": {"a": "1", "b": "2"}}, **affinity("podAntiAffinity", term, weight=1)})
    merged = pod["spec"]["affinity"]["podAntiAffinity"][PREFERRED_TERMS][0]["podAffinityTerm"]["labelSelector"]
    assert merged["matchExpressions"] == [
        {"key": "a", "operator": "In", "values": ["1"]},
        {"key": "b", "operator": "NotIn", "values": ["2"]},
    ]


@pytest.mark.parametrize(
    ("requests", "limits", "whole", "expected"),
    [
        ({}, {}, None, "BestEffort"),
        ({"cpu": "0"}, {}, None, "BestEffort"),
        ({"cpu": "1"}, {}, None, "Burstable"),
        ({}, {"cpu": "1", "memory": "1"}, None, "Guaranteed"),
        ({"cpu": "1"}, {"cpu": "2", "memory": "1"}, None, "Burstable"),
        ({"cpu": "1"}, {}, {"limits": {"cpu": "1", "memory": "1"}}, "Guaranteed"),
    ],
)
def test_the_class_of_service_follows_from_the_resources(
    requests: Object, limits: Object, whole: Object | None, expected: str
) -> None:
    change = main(resources={"requests": requests, "limits": limits})
    if whole is not None:
        change["spec"]["resources"] = whole
    assert made("pods", change)["status"]["qosClass"] == expected

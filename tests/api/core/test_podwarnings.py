"""What the author of a pod is warned of, alone and in a template."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.rules import merged

NULL = "a null labelSelector results in matching no pod"
C = "spec.containers[0]"


def pod(annotations: Object | None = None, **spec: Any) -> Object:
    main = {"name": "main", "image": "i"}
    return {"metadata": {"name": "a", "annotations": annotations or {}}, "spec": {"containers": [main], **spec}}


def main(**fields: Any) -> Object:
    return pod(containers=[{"name": "main", "image": "i", **fields}])


def ports(*found: Object) -> Object:
    return main(ports=[{"protocol": "TCP", **port} for port in found])


def volume(**source: Any) -> Object:
    return pod(volumes=[{"name": "v", **source}])


def projected(*sources: Object) -> Object:
    return volume(projected={"sources": list(sources)})


def items(*paths: str) -> list[Object]:
    return [{"key": path, "path": path} for path in paths]


def warned(obj: Object) -> list[str]:
    return list(resource("pods").warnings(obj, None))


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (pod(), []),
        (
            pod(nodeSelector={"beta.kubernetes.io/os": "linux", "x": "y"}),
            ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
        ),
        (
            pod(
                affinity={
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "In", "values": ["-1"]}]}
                            ]
                        }
                    }
                }
            ),
            [
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]."
                'matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; use "kubernetes.io/arch" instead'
            ],
        ),
        (
            pod(
                affinity={
                    "nodeAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {
                                "weight": 10,
                                "preference": {"matchExpressions": [{"key": "foo", "operator": "In", "values": ["-1"]}]},
                            }
                        ]
                    }
                }
            ),
            [
                "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0]."
                "values[0]: -1 is invalid, a valid label must be an empty string or consist of alphanumeric "
                "characters, '-', '_' "
                "or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
                "'12345', regex "
                "used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ],
        ),
        (
            pod(topologySpreadConstraints=[{"topologyKey": "failure-domain.beta.kubernetes.io/zone"}]),
            [
                "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated "
                "since v1.17; "
                'use "topology.kubernetes.io/zone" instead',
                f"spec.topologySpreadConstraints[0].labelSelector: {NULL}",
            ],
        ),
        (
            pod({"scheduler.alpha.kubernetes.io/critical-pod": ""}),
            [
                "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; "
                'use the "priorityClassName" field instead'
            ],
        ),
        (
            pod({"seccomp.security.alpha.kubernetes.io/pod": "x", "container.seccomp.security.alpha.kubernetes.io/main": "x"}),
            [
                f'metadata.annotations[{key}]: non-functional in v1.27+; use the "seccompProfile" field instead'
                for key in ("seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/main")
            ],
        ),
        (
            pod(
                {"seccomp.security.alpha.kubernetes.io/pod": "x"},
                securityContext={"seccompProfile": {"type": "RuntimeDefault"}},
            ),
            [],
        ),
        (pod({"container.apparmor.security.beta.kubernetes.io/main": "unconfined"}), []),
        (volume(gitRepo={}), ["spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+"]),
        (volume(storageos={}), ["spec.volumes[0].storageOS: deprecated in v1.22, non-functional in v1.25+"]),
        (volume(rbd={}), ["spec.volumes[0].rbd: deprecated in v1.28, non-functional in v1.31+"]),
        (
            volume(ephemeral={"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1500m"}}}}}),
            [
                "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "
                '"1500m" is invalid, must be an integer'
            ],
        ),
        (volume(configMap={"name": "c", "items": items("a", "b", "ab")}), []),
        (
            volume(configMap={"name": "c", "items": items("a/b", "a", "a/")}),
            [
                'volume "v" (ConfigMap "c"): overlapping paths: "a" with "a/b"',
                'volume "v" (ConfigMap "c"): overlapping paths: "a" with "a/b"',
                'volume "v" (ConfigMap "c"): overlapping paths: "a" with "a"',
            ],
        ),
        (
            volume(secret={"secretName": "s", "items": items("a", "a")}),
            ['volume "v" (Secret "s"): overlapping paths: "a" with "a"'],
        ),
        (
            volume(downwardAPI={"items": items("a", "a")}),
            ['volume "v" (DownwardAPI): overlapping paths: "a" with "a"'],
        ),
        (
            projected(
                {"serviceAccountToken": {"path": "token"}},
                {"configMap": {"name": "c", "items": items("token/x")}},
                {"secret": {"name": "s", "items": items("fine")}},
                {"clusterTrustBundle": {"name": "t", "path": "fine/"}},
                {"podCertificate": {"keyPath": "token", "certificateChainPath": "chain"}},
                {},
            ),
            [
                'volume "v" (Projected) has no sources provided',
                'volume "v" (Projected): overlapping paths: "token/x" (ConfigMap "c") with "token" (ServiceAccountToken)',
                'volume "v" (Projected): overlapping paths: "fine" (ClusterTrustBundle "t") with "fine" (Secret "s")',
                'volume "v" (Projected): overlapping paths: "token" (PodCertificate key) with "token" (ServiceAccountToken)',
                'volume "v" (Projected): overlapping paths: "token" (PodCertificate key) with "token/x" (ConfigMap "c")',
            ],
        ),
        (pod(hostAliases=[{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}]), ['spec.hostAliases[1].ip: duplicate ip "1.1.1.1"']),
        (
            pod(imagePullSecrets=[{"name": "a"}, {"name": "a"}, {}]),
            [
                'spec.imagePullSecrets[1].name: duplicate name "a"',
                'spec.imagePullSecrets[2].name: invalid empty name ""',
            ],
        ),
        (
            pod(overhead={"memory": "1500m", "cpu": "5m"}),
            ['spec.overhead[memory]: fractional byte value "1500m" is invalid, must be an integer'],
        ),
        (
            main(resources={"limits": {"memory": "0.5", "cpu": "1m"}, "requests": {"ephemeral-storage": "1500m"}}),
            [
                f'{C}.resources.limits[memory]: fractional byte value "500m" is invalid, must be an integer',
                f'{C}.resources.requests[ephemeral-storage]: fractional byte value "1500m" is invalid, must be an integer',
            ],
        ),
        (
            main(
                env=[
                    {"name": "a", "value": "1"},
                    {"name": "a", "value": "$(a)2"},
                    {"name": "a", "value": "$(a)"},
                    {"name": "a"},
                ]
            ),
            [f'{C}.env[{n}]: hides previous definition of "a", which may be dropped when using apply' for n in (2, 3)],
        ),
        (
            ports({"containerPort": 80, "hostIP": "10.0.0.1"}),
            [f"{C}.ports[0]: hostIP set without hostPort: {{Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}}"],
        ),
        (
            ports({"containerPort": 80}, {"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}),
            [f"{C}.ports[1]: duplicate port definition with {C}.ports[0]"],
        ),
        (
            ports({"containerPort": 80, "hostPort": 1}, {"containerPort": 80}, {"containerPort": 80, "hostPort": 2}),
            [
                f"{C}.ports[1]: overlapping port definition with {C}.ports[0]",
                f"{C}.ports[2]: overlapping port definition with {C}.ports[1]",
            ],
        ),
        (
            ports({"containerPort": 80, "hostPort": 1, "hostIP": "1.1.1.1"}, {"containerPort": 80, "hostPort": 1}),
            [f"{C}.ports[1]: dangerously ambiguous port definition with {C}.ports[0]"],
        ),
        (
            merged(
                main(ports=[{"containerPort": 81, "protocol": "TCP", "name": "http"}]),
                {
                    "spec": {
                        "initContainers": [
                            {"name": "side", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}]}
                        ]
                    }
                },
            ),
            [
                f'{C}.ports[0]: duplicate port name "http" with spec.initContainers[0].ports[0], services and probes '
                f"that select "
                "ports by name will use spec.initContainers[0].ports[0]"
            ],
        ),
        (
            pod(terminationGracePeriodSeconds=-1),
            ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"],
        ),
        (
            pod(
                affinity={
                    "podAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z"}],
                        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {}}],
                    },
                    "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {}}]},
                }
            ),
            [
                f"spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: {NULL}",
                "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: "
                f"{NULL}",
            ],
        ),
        (
            pod(dnsConfig={"nameservers": ["1.2.3.4", "2001:DB8::1"]}, hostAliases=[{"ip": "::ffff:1.2.3.4"}]),
            [
                'spec.dnsConfig.nameservers[1]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format '
                '("2001:db8::1")',
                'spec.hostAliases[0].ip: non-standard IP address "::ffff:1.2.3.4" will be considered invalid in a future '
                'Kubernetes release: use "1.2.3.4"',
            ],
        ),
    ],
)
def test_a_pod(obj: Object, expected: list[str]) -> None:
    assert warned(obj) == expected


def test_a_name_that_is_no_host_name() -> None:
    obj = {**pod(), "metadata": {"name": "a.b"}}
    told = "which can result in surprising behavior; a DNS label is recommended: [must not contain dots]"
    assert warned(obj) == [f"metadata.name: this is used in the Pod's hostname, {told}"]
    for kind in ("deployments.apps", "replicasets.apps", "replicationcontrollers", "jobs.batch"):
        workload = {"metadata": {"name": "a.b"}, "spec": {"template": pod()}}
        assert list(resource(kind).warnings(workload, None)) == [
            f"metadata.name: this is used in Pod names and hostnames, {told}"
        ]


def test_changes_of_a_pod_are_not_looked_at() -> None:
    assert list(resource("pods").warnings(pod(terminationGracePeriodSeconds=-1), pod())) == []


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("deployments.apps", "spec.template"),
        ("replicasets.apps", "spec.template"),
        ("daemonsets.apps", "spec.template"),
        ("statefulsets.apps", "spec.template"),
        ("replicationcontrollers", "spec.template"),
        ("jobs.batch", "spec.template"),
        ("cronjobs.batch", "spec.jobTemplate.spec.template"),
        ("podtemplates", "template"),
    ],
)
def test_templates_are_looked_at_when_they_change(kind: str, path: str) -> None:
    def made(template: Object) -> Object:
        obj: Object = template
        for field in reversed(path.split(".")):
            obj = {field: obj}
        obj["metadata"] = {"name": "a"}
        if kind == "cronjobs.batch":
            obj["spec"]["schedule"] = "@daily"
        return obj

    warnings = resource(kind).warnings
    apparmor = {"container.apparmor.security.beta.kubernetes.io/main": "unconfined"}
    told = [
        f"{path}.metadata.annotations[container.apparmor.security.beta.kubernetes.io/main]: deprecated since v1.30; "
        'use the "appArmorProfile" field instead'
    ]
    assert list(warnings(made(pod(apparmor)), None)) == told
    assert list(warnings(made(pod(apparmor)), made(pod()))) == told
    assert list(warnings(made(pod(apparmor)), made(pod(apparmor)))) == []

"""What is said of objects that are allowed but not wise, by kind; pods and Ingresses have tests of their own."""

from __future__ import annotations

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object

ZONE = "failure-domain.beta.kubernetes.io/zone"
USE_ZONE = 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
USE_CLASS = f'metadata.annotations[{BETA_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
TIDY = 'IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")'
BIG: Object = {"completionMode": "Indexed", "completions": 100_001, "parallelism": 10_001, "template": {}}
MANY = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be "
    "able to track completedIndexes when a big number of indexes fail"
)


def annotated(annotation: str, **fields: Object) -> Object:
    return {"metadata": {"name": "a", "annotations": {annotation: "x"}}, **fields}


def spec(**fields: object) -> Object:
    return {"metadata": {"name": "a"}, "spec": fields}


@pytest.mark.parametrize(
    ("kind", "obj", "expected"),
    [
        (
            "services",
            annotated("service.kubernetes.io/topology-aware-hints", spec={}),
            [
                "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
                "service.kubernetes.io/topology-mode instead"
            ],
        ),
        (
            "services",
            spec(type="ClusterIP", clusterIP="2001:DB8::1", clusterIPs=["2001:DB8::1"]),
            [f"spec.clusterIPs[0]: {TIDY}"],
        ),
        (
            "services",
            spec(type="ClusterIP", clusterIP="None", clusterIPs=["None"], externalIPs=["1.1.1.1"], sessionAffinity="ClientIP"),
            ["spec.externalIPs is ignored for headless services", "spec.SessionAffinity is ignored for headless services"],
        ),
        (
            "services",
            spec(type="LoadBalancer", externalIPs=["1.1.1.1"], loadBalancerSourceRanges=["10.1.0.0/8"]),
            [
                "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
                'spec.loadBalancerSourceRanges[0]: CIDR value "10.1.0.0/8" is ambiguous in this context '
                '(should be "10.0.0.0/8" or "10.1.0.0/32"?)',
            ],
        ),
        ("services", spec(type="LoadBalancer", loadBalancerIP="2001:DB8::1"), [f"spec.loadBalancerIP: {TIDY}"]),
        (
            "services",
            spec(type="ExternalName", externalName="a.example", externalIPs=["1.1.1.1"]),
            ['spec.externalIPs is ignored when spec.type is "ExternalName"'],
        ),
        (
            "services",
            spec(type="ClusterIP", externalName="a.example", trafficDistribution="PreferClose"),
            [
                'spec.externalName is ignored when spec.type is not "ExternalName"',
                'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"',
            ],
        ),
        (
            "endpoints",
            {"metadata": {}, "subsets": [{"addresses": [{"ip": "1.1.1.1"}], "notReadyAddresses": [{"ip": "2001:DB8::1"}]}]},
            [f"subsets[0].notReadyAddresses[0].ip: {TIDY}"],
        ),
        (
            "endpoints",
            {
                "metadata": {"labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}},
                "subsets": [{"addresses": [{"ip": "2001:DB8::1"}]}],
            },
            [],
        ),
        (
            "endpointslices.discovery.k8s.io",
            {"metadata": {}, "addressType": "FQDN", "endpoints": []},
            ["spec.addressType: FQDN endpoints are deprecated"],
        ),
        (
            "endpointslices.discovery.k8s.io",
            {"metadata": {}, "addressType": "IPv6", "endpoints": [{"addresses": ["2001:DB8::1"]}]},
            [f"endpoints[0].addresses[0]: {TIDY}"],
        ),
        (
            "networkpolicies.networking.k8s.io",
            spec(
                ingress=[{"from": [{"ipBlock": {"cidr": "2001:DB8::/32", "except": ["2001:db8::1/64"]}}]}],
                egress=[{"to": [{"podSelector": {}}]}],
            ),
            [
                'spec.ingress[0].from[0].ipBlock.cidr: IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format '
                '("2001:db8::/32")',
                'spec.ingress[0].from[0].ipBlock.except[0]: CIDR value "2001:db8::1/64" is ambiguous in this context '
                '(should be "2001:db8::/64" or "2001:db8::1/128"?)',
            ],
        ),
        (
            "persistentvolumes",
            annotated(
                BETA_CLASS,
                spec={
                    "persistentVolumeReclaimPolicy": "Recycle",
                    "cephfs": {},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": ZONE}]}]}},
                },
            ),
            [
                USE_CLASS,
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
                "recommended approach "
                "is to use dynamic provisioning.",
                f"spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: {ZONE} is {USE_ZONE}",
                "spec.cephfs: deprecated in v1.28, non-functional in v1.31+",
            ],
        ),
        (
            "persistentvolumeclaims",
            annotated(BETA_CLASS, spec={"resources": {"requests": {"storage": "1500m"}}}),
            [USE_CLASS, 'spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer'],
        ),
        (
            "storageclasses.storage.k8s.io",
            {"metadata": {}, "allowedTopologies": [{"matchLabelExpressions": [{"key": "x"}, {"key": ZONE}]}]},
            [f"allowedTopologies[0].matchLabelExpressions[1].key: {USE_ZONE}"],
        ),
        (
            "csistoragecapacities.storage.k8s.io",
            {"metadata": {}, "nodeTopology": {"matchLabels": {ZONE: "a"}, "matchExpressions": [{"key": ZONE}]}},
            [
                f"nodeTopology.matchExpressions[0].key: {ZONE} is {USE_ZONE}",
                f"nodeTopology.matchLabels.{ZONE}: {USE_ZONE}",
            ],
        ),
        (
            "runtimeclasses.node.k8s.io",
            {"metadata": {}, "scheduling": {"nodeSelector": {ZONE: "a"}}},
            [f"scheduling.nodeSelector: {USE_ZONE}"],
        ),
        (
            "nodes",
            spec(configSource={}, externalID="x"),
            [
                "spec.configSource: the feature is removed",
                "spec.externalID: this field is deprecated, and is unused by Kubernetes",
            ],
        ),
        ("jobs.batch", {"metadata": {"name": "a"}, "spec": BIG}, [f"spec: {MANY}"]),
        (
            "cronjobs.batch",
            spec(schedule="@daily", jobTemplate={"spec": BIG}),
            [f"spec.jobTemplate.spec: {MANY}"],
        ),
    ],
)
def test_new_objects(kind: str, obj: Object, expected: list[str]) -> None:
    assert list(resource(kind).warnings(obj, None)) == expected


def test_a_deprecated_annotation_of_an_account_is_told_of_once() -> None:
    key = "kubernetes.io/enforce-mountable-secrets"
    warnings, old, new = resource("serviceaccounts").warnings, {"metadata": {"name": "a"}}, annotated(key)
    told = [
        f"metadata.annotations[{key}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    ]
    assert list(warnings(new, None)) == list(warnings(new, old)) == told
    assert list(warnings(new, new)) == list(warnings(old, None)) == []


def test_a_schedule_with_a_time_zone_in_it_is_told_of_when_it_is_kept() -> None:
    cronjob = spec(schedule="TZ=Europe/Zurich 0 0 * * *", jobTemplate={"spec": {"template": {}}})
    assert list(resource("cronjobs.batch").warnings(cronjob, cronjob)) == [
        "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, "
        "see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
    ]


def test_claims_of_a_stateful_set_are_looked_at_with_every_write() -> None:
    claim = {"spec": {"resources": {"limits": {"storage": "1500m"}}}}
    obj = spec(template={}, volumeClaimTemplates=[claim], revisionHistoryLimit=-1)
    kept = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
    told = 'resources.limits[storage]: fractional byte value "1500m" is invalid, must be an integer'
    warnings = resource("statefulsets.apps").warnings
    assert list(warnings(obj, None)) == [f"spec.volumeClaimTemplates[0].{told}", kept]
    assert list(warnings(obj, obj)) == [f"spec.volumeClaimTemplates[0].Spec.{told}", kept]

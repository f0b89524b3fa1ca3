"""What may change of a pod: by updates, of its status, its ephemeral containers and its resources."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api.core import podresize, podstatus
from navarch.apimachinery.errors import Object
from tests.api.rules import made, on_update

ONE = {"name": "main", "image": "registry.example/app:1"}
TERMS = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
NOT_AGAIN = "Forbidden: may not be transitioned to non-terminated state"


def spec(**fields: Any) -> Object:
    return {"spec": fields}


def terms(*expressions: Object) -> Object:
    chosen = [{"matchExpressions": list(expressions)}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": chosen}}}


SSD = {"key": "disk", "operator": "In", "values": ["ssd"]}
ZONE = {"key": "zone", "operator": "Exists"}
GATED = {"schedulingGates": [{"name": "example.com/a"}, {"name": "example.com/b"}]}
TOLERATED = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}


def test_what_holds_for_annotations_of_any_pod_is_said_twice_of_an_update() -> None:
    change = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "x"}}}
    once = 'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "x": must be a 32bit integer'
    assert on_update("pods", change) == [once, once]


@pytest.mark.parametrize(
    ("before", "change", "expected"),
    [
        ({}, spec(containers=[{**ONE, "image": "other:2"}]), []),
        ({}, spec(containers=[ONE, {**ONE, "name": "b"}]), [
            "spec.containers: Forbidden: pod updates may not add or remove containers",
        ]),
        ({}, spec(initContainers=[{**ONE, "name": "b"}]), [
            "spec.initContainers: Forbidden: pod updates may not add or remove containers",
        ]),
        ({}, spec(activeDeadlineSeconds=5), []),
        (spec(activeDeadlineSeconds=5), spec(activeDeadlineSeconds=4), []),
        (spec(activeDeadlineSeconds=5), spec(activeDeadlineSeconds=6), [
            "spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value",
        ]),
        (spec(activeDeadlineSeconds=5), spec(activeDeadlineSeconds=None), [
            'spec.activeDeadlineSeconds: Invalid value: "null": must not update from a positive integer to nil value',
        ]),
        (spec(tolerations=[TOLERATED]), spec(tolerations=[{**TOLERATED, "tolerationSeconds": 9}, {"operator": "Exists"}]), []),
        (spec(tolerations=[TOLERATED]), spec(tolerations=[]), [
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ]),
        (spec(**GATED), spec(schedulingGates=[{"name": "example.com/b"}]), []),
        (spec(**GATED), spec(schedulingGates=[{"name": "example.com/c"}]), [
            "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'example.com/c'",
        ]),
        (spec(**GATED), spec(nodeSelector={"a": "1"}), []),
        (spec(**GATED, nodeSelector={"a": "1"}), spec(nodeSelector={"a": "2"}), [
            'spec.nodeSelector: Invalid value: {"a":"2"}: only additions to spec.nodeSelector are allowed (no mutations or '
            "deletions)",
        ]),
        (spec(**GATED), spec(affinity=terms(SSD)), []),
        (spec(**GATED, affinity=terms(SSD)), spec(affinity=terms(SSD, ZONE)), []),
        (spec(**GATED, affinity=terms(SSD)), spec(affinity=terms(ZONE)), [
            f'{TERMS}[0]: Invalid value: {{"MatchExpressions":[{{"Key":"zone","Operator":"Exists","Values":null}}],'
            '"MatchFields":null}: only additions are allowed (no mutations or deletions)',
        ]),
        ({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}, **spec(nodeName="n")},
         {"metadata": {"annotations": None}}, [
            "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not remove or update mirror pod annotation",
        ]),
        ({}, {"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/main": "unconfined"}}}, [
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/main]: Forbidden: may not add AppArmor "
            "annotations",
        ]),
    ],
)  # fmt: skip
def test_little_of_a_pod_can_be_updated(before: Object, change: Object, expected: list[str]) -> None:
    assert on_update("pods", change, before) == expected


@pytest.mark.parametrize(
    ("status", "address", "listed"),
    [
        ({"podIP": "10.0.0.1"}, "10.0.0.1", [{"ip": "10.0.0.1"}]),
        ({"podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}]}, "10.0.0.2", [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}]),
        ({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}]}, "10.0.0.1", [{"ip": "10.0.0.1"}]),
        (
            {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
            "10.0.0.1",
            [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
        ),
    ],
)
def test_who_tells_one_address_of_a_pod_tells_the_others(status: Object, address: str, listed: list[Object]) -> None:
    old = made("pods")
    new = podstatus.prepare_update({**old, "status": status}, old)
    assert (new["status"]["podIP"], new["status"]["podIPs"]) == (address, listed)
    assert list(podstatus.validate_update(new, old)) == []


def ended(code: int) -> Object:
    return {"name": "main", "state": {"terminated": {"exitCode": code}}}


RUNNING = {"name": "main", "state": {"running": {}}}


@pytest.mark.parametrize(
    ("before", "status", "expected"),
    [
        ({}, {"conditions": [{"type": "a b", "status": "True"}]}, "status.conditions[0].Type: Invalid value: "),
        (
            {},
            {"conditions": [{"type": "Ready", "observedGeneration": -1}]},
            "status.conditions[0].observedGeneration: Invalid value: -1: must be a non-negative integer",
        ),
        ({}, {"observedGeneration": -1}, "status.observedGeneration: Invalid value: -1: must be a non-negative integer"),
        ({}, {"qosClass": "Guaranteed"}, 'status.qosClass: Invalid value: "Guaranteed": field is immutable'),
        ({}, {"nominatedNodeName": "A"}, 'status.nominatedNodeName: Invalid value: "A": '),
        (
            spec(nodeName="n"),
            {"nominatedNodeName": "m"},
            "status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node",
        ),
        (
            {},
            {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]},
            'status.podIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"10.0.0.2"}]: may specify no more than one IP for each IP '
            "family",
        ),
        (
            {},
            {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "::1"}, {"ip": "::2"}]},
            'status.podIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"::1"},{"IP":"::2"}]: may specify no more than one IP',
        ),
        (
            {},
            {"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.2"}]},
            'status.hostIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `hostIP`',
        ),
        (
            {},
            {"resourceClaimStatuses": [{"name": "a"}]},
            'status.resourceClaimStatuses[0].name: Invalid value: "a": must match the name of an entry in '
            "`spec.resourceClaims`",
        ),
    ],
)
def test_a_status_makes_sense(before: Object, status: Object, expected: str) -> None:
    messages = on_update("pods", {"status": status}, before, "status")
    assert len(messages) == 1 and messages[0].startswith(expected), messages


GPU = "example.com/gpu"
ASKING = spec(containers=[{**ONE, "resources": {"requests": {GPU: "1"}, "limits": {GPU: "1"}}}])
LABEL = "a lowercase RFC 1123 label must consist of"


def mapping(container: str = "main", resource: str = GPU, request: str = "container-0-request-0") -> Object:
    return {"containerName": container, "resourceName": resource, "requestName": request}


@pytest.mark.parametrize(
    ("mappings", "claim", "expected"),
    [
        ([mapping()], "main-extended-resources-x", []),
        ([mapping(), mapping(request="container-0-request-1")], "c", []),
        ([], "c", ["requestMappings: Required value: at least one request mapping is required"]),
        ([mapping()], "", ["resourceClaimName: Required value"]),
        ([mapping()], "C", ['resourceClaimName: Invalid value: "C": a lowercase RFC 1123 subdomain must consist of']),
        (
            [mapping("other")],
            "c",
            [
                'requestMappings[0].containerName: Invalid value: "other": must match the name of an entry in '
                "spec.initContainers.name or spec.containers.name"
            ],
        ),
        (
            [mapping(resource="example.com/nic")],
            "c",
            [
                'requestMappings[0].resourceName: Invalid value: "example.com/nic": must match the extended resource name of '
                "an entry in spec.initContainers.resources.requests or spec.containers.resources.requests"
            ],
        ),
        ([mapping(request="R")], "c", [f'requestName: Invalid value: "R": {LABEL}']),
        (
            [mapping(), mapping()],
            "c",
            [
                'requestMappings[1].containerName: Duplicate value: "main"',
                f'requestMappings[1].resourceName: Duplicate value: "{GPU}"',
                'requestMappings[1].requestName: Duplicate value: "container-0-request-0"',
            ],
        ),
    ],
)
def test_a_status_names_the_claim_for_extended_resources(mappings: list[Object], claim: str, expected: list[str]) -> None:
    status = {"extendedResourceClaimStatus": {"requestMappings": mappings, "resourceClaimName": claim}}
    messages = on_update("pods", {"status": status}, ASKING, "status")
    assert len(messages) == len(expected)
    for message, beginning in zip(messages, expected, strict=True):
        assert message.startswith(f"status.extendedResourceClaimStatus.{beginning}")


def test_generations_of_conditions_are_left_by_who_does_not_tell_them() -> None:
    old = made("pods")
    ready, odd = {"type": "Ready", "status": "True"}, {"type": "example.com/odd", "status": "True"}
    generations = (odd | {"observedGeneration": 1}, ready | {"observedGeneration": 2}, odd | {"observedGeneration": 3})
    old["status"] = {**old["status"], "conditions": list(generations)}
    told = [odd, odd, odd, ready | {"observedGeneration": 5}]
    prepared = podstatus.prepare_update({**old, "status": {"conditions": told}}, old)["status"]["conditions"]
    assert [condition.get("observedGeneration") for condition in prepared] == [1, 3, None, 5]


def test_fields_of_features_that_are_off_are_dropped_unless_they_were_there() -> None:
    mounted = {"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v", "volumeStatus": {"image": {"imageRef": "a"}}}]}
    status = {"nodeAllocatableResourceClaimStatuses": [{"resourceClaimName": "a"}], "initContainerStatuses": [mounted]}
    old = made("pods")
    prepared = podstatus.prepare_update({**old, "status": status}, old)["status"]
    assert "nodeAllocatableResourceClaimStatuses" not in prepared
    assert prepared["initContainerStatuses"][0]["volumeMounts"] == [{"name": "v", "mountPath": "/v"}]
    old["status"] = {**old["status"], **status}
    assert podstatus.prepare_update({**old, "status": status}, old)["status"].items() >= status.items()


DEVICES = spec(
    resourceClaims=[{"name": "c", "resourceClaimName": "c"}],
    containers=[
        {
            **ONE,
            "resources": {
                "requests": {GPU: "1"},
                "limits": {GPU: "1"},
                "claims": [{"name": "c", "request": "r"}],
            },
        }
    ],
)
CLAIM_FORMAT = (
    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if "
    "request is empty"
)


@pytest.mark.parametrize(
    ("name", "devices", "expected"),
    [
        (GPU, [{"resourceID": "a", "health": "Healthy"}, {"resourceID": "b", "health": "Unknown", "message": "x" * 1024}], []),
        ("claim:c/r", [], []),
        ("claim:c", [], [f'name: Invalid value: "claim:c": {CLAIM_FORMAT}']),
        ("cpu", [], ['name: Invalid value: "cpu": must match one of the container\'s resource requests']),
        (GPU, [{"resourceID": "a"}, {"resourceID": "a", "health": "Healthy", "message": ""}], [
            'resources[0].health: Unsupported value: "": supported values: "Healthy", "Unhealthy", "Unknown"',
            "resources[1].message: Required value: must be non-empty if specified",
            'resources[1].resourceID: Duplicate value: "a"',
        ]),
        (GPU, [{"resourceID": "a", "health": "Healthy", "message": "x" * 1025}], [
            "resources[0].message: Too long: may not be more than 1024 bytes",
        ]),
    ],
)  # fmt: skip
def test_a_status_says_how_the_devices_of_containers_are(name: str, devices: list[Object], expected: list[str]) -> None:
    container = {"name": "main", "allocatedResourcesStatus": [{"name": name, "resources": devices}]}
    path = "status.containerStatuses[0].allocatedResourcesStatus[0]"
    messages = on_update("pods", {"status": {"containerStatuses": [container]}}, DEVICES, "status")
    assert messages == [f"{path}.{text}" for text in expected]


def test_what_a_status_may_not_say_of_a_container() -> None:
    ephemeral = {"name": "x", "allocatedResourcesStatus": [{"name": "cpu"}]}
    assert on_update("pods", {"status": {"ephemeralContainerStatuses": [ephemeral]}}, {}, "status") == [
        "status.ephemeralContainerStatuses[0].allocatedResourcesStatus: Forbidden: must not be specified in container status"
    ]
    user = {"name": "main", "user": {"linux": {"uid": 0, "gid": 0}}}
    windows = spec(os={"name": "windows"})
    assert on_update("pods", {"status": {"containerStatuses": [user]}}, windows, "status") == [
        "status.containerStatuses[0].user.linux: Forbidden: cannot be set for a windows pod"
    ]


@pytest.mark.parametrize(
    ("policy", "container", "code", "expected"),
    [
        ("Always", {}, 0, []),
        ("OnFailure", {}, 1, []),
        ("OnFailure", {}, 0, [f"status.containerStatuses[0].state: {NOT_AGAIN}"]),
        ("Never", {}, 1, [f"status.containerStatuses[0].state: {NOT_AGAIN}"]),
        ("Never", {"restartPolicy": "Always"}, 0, []),
        (
            "Never",
            {
                "restartPolicy": "Never",
                "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
            },
            42,
            [],
        ),
    ],
)
def test_containers_that_are_done_for_good_stay_so(policy: str, container: Object, code: int, expected: list[str]) -> None:

    old = made("pods", spec(restartPolicy=policy, containers=[{**ONE, **container}]))
    old["status"]["containerStatuses"] = [ended(code)]
    new = {**old, "status": {**old["status"], "containerStatuses": [RUNNING]}}
    assert [problem.message for problem in podstatus.validate_update(new, old)] == expected


def test_a_container_that_there_is_no_more_cannot_run_again_unless_all_can() -> None:
    def again(**container: Any) -> list[str]:
        old = made("pods", spec(restartPolicy="Never", containers=[{**ONE, **container}]))
        old["status"]["containerStatuses"] = [{"name": "other", "state": {"running": {}}}, {**ended(0), "name": "gone"}]
        new = {**old, "status": {**old["status"], "containerStatuses": [{**RUNNING, "name": "gone"}]}}
        return [problem.message for problem in podstatus.validate_update(new, old)]

    assert again() == [f"status.containerStatuses[1].state: {NOT_AGAIN}"]
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}
    assert again(restartPolicy="Never", restartPolicyRules=[rule]) == []


DEBUGGER = {"name": "debugger", "image": "busybox:1", "targetContainerName": "main"}


def ephemeral(*containers: Object, before: Object | None = None) -> list[str]:
    return on_update("pods", spec(ephemeralContainers=list(containers)), before, "ephemeralcontainers")


NOT_FOR_EPHEMERAL = "Forbidden: cannot be set for an Ephemeral Container"


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (DEBUGGER, []),
        ({**DEBUGGER, "name": "main"}, ['spec.ephemeralContainers[0].name: Duplicate value: "main"']),
        ({**DEBUGGER, "name": ""}, ["spec.ephemeralContainers[0].name: Required value"]),
        ({**DEBUGGER, "targetContainerName": "x"}, ['spec.ephemeralContainers[0].targetContainerName: Not found: "x"']),
        (
            {**DEBUGGER, "image": "a "},
            ['spec.ephemeralContainers[0].image: Invalid value: "a ": must not have leading or trailing whitespace'],
        ),
        *(
            ({**DEBUGGER, field: value}, [f"spec.ephemeralContainers[0].{field}: {NOT_FOR_EPHEMERAL}"])
            for field, value in (
                ("ports", [{"containerPort": 1}]),
                ("resources", {"requests": {"cpu": "1"}}),
                ("livenessProbe", {"exec": {"command": ["x"]}}),
                ("readinessProbe", {"exec": {"command": ["x"]}}),
                ("startupProbe", {"exec": {"command": ["x"]}}),
                ("lifecycle", {"preStop": {"exec": {"command": ["x"]}}}),
                ("restartPolicy", "Always"),
                ("resizePolicy", [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]),
            )
        ),
    ],
)
def test_ephemeral_containers_have_little(container: Object, expected: list[str]) -> None:
    assert ephemeral(container) == expected


def test_ephemeral_containers_mount_whole_volumes() -> None:
    mount = {"name": "v", "mountPath": "/v", "subPath": "a"}
    messages = ephemeral({**DEBUGGER, "volumeMounts": [mount]}, before=spec(volumes=[{"name": "v"}]))
    assert messages == [f"spec.ephemeralContainers[0].volumeMounts[0].subPath: {NOT_FOR_EPHEMERAL}"]


def test_ephemeral_containers_stay_as_they_are() -> None:
    there = spec(ephemeralContainers=[DEBUGGER])
    assert ephemeral(DEBUGGER, {**DEBUGGER, "name": "second"}, before=there) == []
    removed = 'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debugger" may not be removed\n'
    assert ephemeral(before=there) == [removed]
    changed = 'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debugger" may not be changed\n'
    difference = """\
@@ -1,6 +1,6 @@
 {
  "Name": "debugger",
- "Image": "busybox:1",
+ "Image": "other:1",
  "Command": null,
  "Args": null,
  "WorkingDir": "",
"""
    assert ephemeral({**DEBUGGER, "image": "other:1"}, before=there) == [changed + difference]


MIRROR = {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}, **spec(nodeName="n")}


def test_what_the_api_only_mirrors_is_left_alone() -> None:
    assert ephemeral(DEBUGGER, before=MIRROR) == [": Forbidden: static pods do not support ephemeral containers"]
    assert resized({"requests": {"cpu": "2"}}, before=MIRROR) == [": Forbidden: static pods cannot be resized"]


def sized(resources: Object, **fields: Any) -> Object:
    return spec(containers=[{**ONE, "resources": resources, **fields}])


def resized(resources: Object, *, before: Object, **fields: Any) -> list[str]:
    return on_update("pods", sized(resources, **fields), before, "resize")


BURSTABLE = sized({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}})


@pytest.mark.parametrize(
    ("before", "resources", "expected"),
    [
        (BURSTABLE, {"requests": {"cpu": "1500m", "memory": "2Gi"}, "limits": {"cpu": "3"}}, []),
        (BURSTABLE, {"requests": {"cpu": "1", "memory": "1Gi"}}, [
            "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
        ]),
        (BURSTABLE, {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}, [
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
        ]),
        (BURSTABLE, {"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}, "limits": {"cpu": "2"}}, [
            f"spec: Forbidden: {podresize.ONLY_COMPUTE}",
        ]),
        (BURSTABLE, {"requests": {"cpu": "3", "memory": "1Gi"}, "limits": {"cpu": "2"}}, [
            'spec.containers[0].resources.requests: Invalid value: "3": must be less than or equal to cpu limit of 2',
        ]),
        (BURSTABLE, {"limits": {"cpu": "2", "memory": "1Gi"}}, [
            'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing',
        ]),
        (
            sized({"requests": {"cpu": "1", "ephemeral-storage": "1"}}),
            {"requests": {"cpu": "1"}},
            [
                "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
                f"spec: Forbidden: {podresize.ONLY_COMPUTE}",
            ],
        ),
        (
            spec(
                resourceClaims=[{"name": "c", "resourceClaimName": "c"}],
                containers=[{**ONE, "resources": {"claims": [{"name": "c"}]}}],
            ),
            {"claims": [{"name": "c"}]},
            [f"spec: Forbidden: {podresize.ONLY_COMPUTE}"],
        ),
        (spec(os={"name": "windows"}, **BURSTABLE["spec"]), {"requests": {"cpu": "2"}}, [
            ": Forbidden: windows pods cannot be resized",
        ]),
    ],
)  # fmt: skip
def test_a_resize_changes_cpu_and_memory_only(before: Object, resources: Object, expected: list[str]) -> None:
    assert resized(resources, before=before) == expected


def test_a_resize_is_about_the_same_containers() -> None:
    assert on_update("pods", spec(containers=[ONE, {**ONE, "name": "b"}]), {}, "resize") == [
        "spec.containers: Forbidden: containers may not be added or removed on resize"
    ]
    assert on_update("pods", spec(containers=[{**ONE, "name": "b"}]), {}, "resize") == [
        "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"
    ]


def test_a_resize_takes_nothing_else_along() -> None:
    old = made("pods", BURSTABLE)
    sent = made("pods", sized({"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2"}}, command=["other"]))
    sent["spec"] = {**sent["spec"], "nodeName": "elsewhere"}
    sent["status"] = {"phase": "Failed"}
    prepared = podresize.prepare(sent, old)
    assert prepared["status"] == old["status"] and "nodeName" not in prepared["spec"]
    container = prepared["spec"]["containers"][0]
    assert "command" not in container and container["resources"]["requests"]["cpu"] == "2"


def test_a_node_that_does_not_tell_resources_cannot_resize() -> None:
    old = made("pods", BURSTABLE)
    old["status"]["containerStatuses"] = [RUNNING]
    new = podresize.prepare(made("pods", sized({"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2"}})), old)
    assert [problem.message for problem in podresize.validate(new, old)] == [
        "spec: Forbidden: Pod running on node without support for resize"
    ]


def test_init_containers_are_resized_unless_they_would_have_to_restart() -> None:
    def before_main(cpu: str, **fields: Any) -> Object:
        return spec(initContainers=[{**ONE, "name": "first", "resources": {"requests": {"cpu": cpu}}, **fields}])

    assert on_update("pods", before_main("2"), before_main("1"), "resize") == []
    sidecar = {"restartPolicy": "Always", "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]}
    assert on_update("pods", before_main("2", **sidecar), before_main("1", **sidecar), "resize") == []
    changed = before_main("1", resources={"requests": {"cpu": "1", "ephemeral-storage": "1"}})
    assert on_update("pods", changed, before_main("1"), "resize") == [
        f"spec.initContainers[0]: Forbidden: {podresize.ONLY_COMPUTE_OF_INIT}"
    ]
    assert on_update("pods", before_main("1", resources=None), before_main("1"), "resize") == [
        'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing',
        "spec.initContainers[0].resources.requests: Forbidden: resource requests cannot be removed",
    ]


def test_every_container_of_which_more_is_changed_is_told() -> None:
    two = [{**ONE, "resources": {"requests": {"cpu": "1"}}}, {**ONE, "name": "b"}]
    more = [{**container, "resources": {"requests": {"cpu": "1", "ephemeral-storage": "1"}}} for container in two]
    assert (
        on_update("pods", spec(containers=more), spec(containers=two), "resize")
        == [f"spec: Forbidden: {podresize.ONLY_COMPUTE}"] * 2
    )


def test_a_whole_pod_is_resized() -> None:
    def whole(**resources: Any) -> Object:
        return spec(resources=resources or None)

    assert on_update("pods", whole(requests={"cpu": "2"}), whole(requests={"cpu": "1"}), "resize") == []
    hugepages = {"requests": {"cpu": "1", "hugepages-2Mi": "2Mi"}, "limits": {"hugepages-2Mi": "2Mi"}}
    assert on_update(
        "pods", whole(requests={"hugepages-2Mi": None}, limits={"hugepages-2Mi": None}), whole(**hugepages), "resize"
    ) == [
        "spec.resources.requests: Forbidden: pod-level resource requests cannot be removed",
        "spec.resources.limits: Forbidden: pod-level resource limits cannot be removed",
        f"spec: Forbidden: {podresize.ONLY_COMPUTE_OF_POD}",
    ]
    assert on_update("pods", whole(), whole(requests={"cpu": "1"}), "resize")[-1] == (
        "spec.resources: Forbidden: pod-level resources cannot be removed"
    )


def test_times_that_nobody_has_told_are_null() -> None:
    old = {"metadata": {}, "spec": {"containers": []}}
    ended = {"exitCode": 1, "finishedAt": "2026-05-01T12:00:00Z"}
    status = {
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-05-01T12:00:00Z"}, {"type": "x"}],
        "containerStatuses": [{"name": "c", "state": {"running": {}}, "lastState": {"terminated": ended}}],
        "initContainerStatuses": [{"name": "i", "state": {"waiting": {}}, "lastState": {}}],
    }
    found = podstatus.prepare_update({**old, "status": status}, old)["status"]
    assert [(one["lastProbeTime"], one["lastTransitionTime"]) for one in found["conditions"]] == [
        (None, "2026-05-01T12:00:00Z"),
        (None, None),
    ]
    states = found["containerStatuses"][0]
    assert states["state"] == {"running": {"startedAt": None}}
    assert states["lastState"] == {"terminated": {**ended, "startedAt": None}}
    assert found["initContainerStatuses"] == status["initContainerStatuses"]

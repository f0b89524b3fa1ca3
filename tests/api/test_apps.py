"""The apps kinds: rules of strategies and statuses, defaults of claim templates, the generation of a DaemonSet's template."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from navarch.api.apps.daemonset import TEMPLATE_GENERATION
from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.rules import made, on_create, on_update
from tests.apiserver.bench import Bench, bench
from tests.apiserver.samples import sample

DEPLOYMENT, REPLICA_SET, CONTROLLER = "deployments.apps", "replicasets.apps", "replicationcontrollers"
DAEMON_SET, STATEFUL_SET, REVISION = "daemonsets.apps", "statefulsets.apps", "controllerrevisions.apps"
NEGATIVE = "must be greater than or equal to 0"
TOO_MANY = "cannot be greater than status.replicas"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("api")) as found:
        yield found


def updating(type_: str, **rolling: object) -> Object:
    return {"spec": {"updateStrategy": {"type": type_, **({"rollingUpdate": rolling} if rolling else {})}}}


AT = "spec.updateStrategy.rollingUpdate"


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (DAEMON_SET, updating("Odd"), [
            'spec.updateStrategy: Unsupported value: {"Type":"Odd","RollingUpdate":null}: '
            'supported values: "RollingUpdate", "OnDelete"',
        ]),
        (DAEMON_SET, updating("RollingUpdate", maxUnavailable=0), [
            f"{AT}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
        ]),
        (DAEMON_SET, updating("RollingUpdate", maxUnavailable=1, maxSurge="101%"), [
            f'{AT}.maxSurge: Invalid value: "101%": must not be greater than 100%',
            f'{AT}.maxSurge: Invalid value: "101%": may not be set when maxUnavailable is non-zero',
        ]),
        (DAEMON_SET, {"spec": {"selector": None}}, [
            'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
        ]),
        (STATEFUL_SET, updating("Odd"), [
            'spec.updateStrategy: Invalid value: {"Type":"Odd","RollingUpdate":null}: '
            "must be 'RollingUpdate' or 'OnDelete'",
        ]),
        (STATEFUL_SET, updating("OnDelete", partition=1), [
            f'{AT}: Invalid value: {{"Partition":1,"MaxUnavailable":null}}: '
            "only allowed for updateStrategy 'RollingUpdate'",
        ]),
        # How many may be updated at once is not read, nor is a rolling update asked for.
        (STATEFUL_SET, updating("RollingUpdate", maxUnavailable=0), []),
        (STATEFUL_SET, updating("RollingUpdate"), []),
        (STATEFUL_SET, updating("RollingUpdate", partition=-1), [f"{AT}.partition: Invalid value: -1: {NEGATIVE}"]),
        (STATEFUL_SET, {"spec": {"revisionHistoryLimit": -1}}, []),
        (STATEFUL_SET, {"spec": {"serviceName": "a.b"}}, ['spec.serviceName: Invalid value: "a.b": must not contain dots']),
        (STATEFUL_SET, {"spec": {"volumeClaimTemplates": [{"metadata": {"name": "a"}}]}}, [
            "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
            "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value",
        ]),
        (STATEFUL_SET, {"spec": {"template": {"spec": {"activeDeadlineSeconds": 1}}}}, [
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not Supported",
        ]),
        (DAEMON_SET, {"spec": {"template": {"spec": {"activeDeadlineSeconds": 1}}}}, [
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported",
        ]),
        (DEPLOYMENT, {"spec": {"strategy": {"type": "Odd"}}}, [
            'spec.strategy: Unsupported value: {"Type":"Odd","RollingUpdate":null}: '
            'supported values: "Recreate", "RollingUpdate"',
        ]),
        (DEPLOYMENT, {"spec": {"template": {"metadata": {"labels": None}}}}, [
            "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
        ]),
        (STATEFUL_SET, {"spec": {"podManagementPolicy": "Odd"}}, [
            "spec.podManagementPolicy: Invalid value: \"Odd\": must be 'OrderedReady' or 'Parallel'",
        ]),
        (STATEFUL_SET, {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Odd"}}}, [
            'spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Odd": '
            'supported values: "Retain", "Delete"',
        ]),
        (STATEFUL_SET, {"metadata": {"name": "a.b"}}, ['metadata.name: Invalid value: "a.b": must not contain dots']),
        (REVISION, {"data": None, "revision": -1}, [
            "data: Required value: data is mandatory",
            f"revision: Invalid value: -1: {NEGATIVE}",
        ]),
    ],
)  # fmt: skip
def test_what_a_workload_may_not_be(name: str, change: Object, expected: list[str]) -> None:
    assert on_create(name, change) == expected


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        (name, {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}, [])
        for name in (DEPLOYMENT, REPLICA_SET, CONTROLLER, STATEFUL_SET)
    ]
    + [
        (DEPLOYMENT, {"replicas": 1, "updatedReplicas": 2, "unavailableReplicas": -1}, [
            f"status.unavailableReplicas: Invalid value: -1: {NEGATIVE}",
            f"status.updatedReplicas: Invalid value: 2: {TOO_MANY}",
        ]),
        (DEPLOYMENT, {"replicas": 2, "readyReplicas": 1, "availableReplicas": 2}, [
            "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas",
        ]),
        (REPLICA_SET, {"replicas": 1, "fullyLabeledReplicas": 2, "readyReplicas": 3}, [
            f"status.fullyLabeledReplicas: Invalid value: 2: {TOO_MANY}",
            f"status.readyReplicas: Invalid value: 3: {TOO_MANY}",
        ]),
        (CONTROLLER, {"replicas": -1, "observedGeneration": -1}, [
            f"status.replicas: Invalid value: -1: {NEGATIVE}",
            f"status.observedGeneration: Invalid value: -1: {NEGATIVE}",
            f"status.fullyLabeledReplicas: Invalid value: 0: {TOO_MANY}",
            f"status.readyReplicas: Invalid value: 0: {TOO_MANY}",
            f"status.availableReplicas: Invalid value: 0: {TOO_MANY}",
        ]),
        (STATEFUL_SET, {"replicas": 1, "currentReplicas": 2, "availableReplicas": 1}, [
            f"status.currentReplicas: Invalid value: 2: {TOO_MANY}",
            "status.availableReplicas: Invalid value: 1: cannot be greater than status.readyReplicas",
        ]),
        (DAEMON_SET, {"numberReady": -1, "numberUnavailable": -1, "collisionCount": -1}, [
            f"status.numberReady: Invalid value: -1: {NEGATIVE}",
            f"status.numberUnavailable: Invalid value: -1: {NEGATIVE}",
            f"status.collisionCount: Invalid value: -1: {NEGATIVE}",
        ]),
    ],
)  # fmt: skip
def test_what_a_status_may_not_say(name: str, status: Object, expected: list[str]) -> None:
    assert on_update(name, {"status": status}, subresource="status") == expected


@pytest.mark.parametrize("name", [DEPLOYMENT, DAEMON_SET, STATEFUL_SET])
@pytest.mark.parametrize(("now", "said"), [(1, 1), (None, 0)])
def test_collisions_are_never_forgotten(name: str, now: int | None, said: int) -> None:
    kind = resource(name)
    before = {**made(name), "status": {"replicas": 0, "collisionCount": 2}}
    after = {**before, "status": {"replicas": 0} | ({} if now is None else {"collisionCount": now})}
    assert [problem.message for problem in kind.validate_status_update(after, before)] == [
        f"status.collisionCount: Invalid value: {said}: cannot be decremented"
    ]


def test_claim_templates_are_whole_claims(api: Bench) -> None:
    body = sample(resource(STATEFUL_SET), "claiming")
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    body["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": spec}]
    assert api.made(STATEFUL_SET, body)["spec"]["volumeClaimTemplates"] == [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"},
            "spec": {**spec, "volumeMode": "Filesystem"},
            "status": {"phase": "Pending"},
        }
    ]


def test_containers_mount_what_their_set_claims_for_them() -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("data", "own", "none")]
    container = {"name": "app", "image": "app", "volumeMounts": mounts}
    volumes = [{"name": name, "emptyDir": {}} for name in ("data", "own")]
    template = {"spec": {"containers": [container], "volumes": volumes}}
    change = {"spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}], "template": template}}
    assert on_create(STATEFUL_SET, change) == ['spec.template.spec.containers[0].volumeMounts[2].name: Not found: "none"']


def test_how_many_of_a_set_may_be_updated_at_once_stays_where_it_was() -> None:
    prepare, at_once = resource(STATEFUL_SET).prepare_update, updating("RollingUpdate", partition=0, maxUnavailable=2)
    assert prepare is not None
    assert prepare(at_once, at_once) == at_once
    assert prepare(at_once, updating("OnDelete")) == updating("RollingUpdate", partition=0)


def test_the_generation_of_a_daemon_sets_template_counts_its_changes_alone(api: Bench) -> None:
    body = sample(resource(DAEMON_SET), "counted", annotations={TEMPLATE_GENERATION: "9", "a": "b"})
    found = api.made(DAEMON_SET, body)["metadata"]["annotations"]
    assert found == {TEMPLATE_GENERATION: "1", "a": "b"}
    rolled = {"spec": {"template": {"metadata": {"annotations": {"rolled": "yes"}}}}}
    for change, expected in (
        ({"metadata": {"annotations": None}}, "1"),
        ({"spec": {"minReadySeconds": 3}}, "1"),
        (rolled, "2"),
        ({"metadata": {"annotations": {TEMPLATE_GENERATION: "7"}}}, "2"),
    ):
        reply = api.patch(DAEMON_SET, "counted", change)
        assert (reply.status, reply.json["metadata"]["annotations"][TEMPLATE_GENERATION]) == (200, expected)

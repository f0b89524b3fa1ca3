"""What ResourceClaims take and refuse, in Kubernetes' words, and what becomes of their status."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.resource.words import IDENTIFIER, LABEL, LABEL_VALUE, NAME_PART, NOT_A_REQUEST, SUBDOMAIN
from tests.api.rules import made, on_create, on_update

CLAIMS = "resourceclaims.resource.k8s.io"
REQUEST = "spec.devices.requests[0]"
UID = "11111111-2222-3333-4444-555555555555"
ONE_OF = "exactly one of `exactly` or `firstAvailable` is required"
ONE_ATTRIBUTE = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'


def asks(**fields: Any) -> Object:
    """A claim with one request of that many fields."""
    return devices(requests=[{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com", **fields}}])


def devices(**fields: Any) -> Object:
    return {"spec": {"devices": fields}}


def constrained(**fields: Any) -> Object:
    return devices(constraints=[fields])


def alternatives(*names: str, **fields: Any) -> Object:
    found = [{"name": name, "deviceClassName": "gpu.example.com", **fields} for name in names]
    return devices(requests=[{"name": "gpu", "firstAvailable": found}])


def tolerates(**fields: Any) -> Object:
    return asks(tolerations=[fields])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"spec": {"devices": None}},
        asks(allocationMode="All"),
        asks(allocationMode="ExactCount", count=7),
        asks(selectors=[{"cel": {"expression": "true"}}], capacity={"requests": {"memory": "1Gi"}}),
        tolerates(key="a", operator="Exists"),
        tolerates(key="example.com/a", value="b", effect="NoExecute", tolerationSeconds=1),
        tolerates(operator="Exists", effect="None"),
        alternatives(*"abcdefgh"),
        constrained(requests=["gpu"], matchAttribute="dra.example.com/numa"),
        constrained(distinctAttribute="dra.example.com/numa"),
        devices(config=[{"requests": ["gpu"], "opaque": {"driver": "dra.example.com", "parameters": {}}}]),
    ],
)
def test_what_makes_sense_is_taken(change: Object) -> None:
    assert on_create(CLAIMS, change) == []


def test_a_request_is_for_one_device_unless_it_says_so_and_tolerations_compare() -> None:
    claim = made(CLAIMS, tolerates(key="a"))
    assert claim["spec"]["devices"]["requests"][0]["exactly"] == {
        "deviceClassName": "gpu.example.com",
        "allocationMode": "ExactCount",
        "count": 1,
        "tolerations": [{"key": "a", "operator": "Equal"}],
    }
    (everything,) = made(CLAIMS, asks(allocationMode="All"))["spec"]["devices"]["requests"]
    assert "count" not in everything["exactly"]
    (request,) = made(CLAIMS, alternatives("a", tolerations=[{"key": "b"}]))["spec"]["devices"]["requests"]
    assert request["firstAvailable"] == [
        {
            "name": "a",
            "deviceClassName": "gpu.example.com",
            "allocationMode": "ExactCount",
            "count": 1,
            "tolerations": [{"key": "b", "operator": "Equal"}],
        }
    ]


REFUSED: list[tuple[Object, list[str]]] = [
    (devices(requests=[{"name": "A", "exactly": {"deviceClassName": "a"}}]),
     [f'{REQUEST}.name: Invalid value: "A": {LABEL}']),
    (devices(requests=[{"name": "a"}]), [f"{REQUEST}: Required value: {ONE_OF}"]),
    (devices(requests=[{"name": "a", "firstAvailable": []}]), [f"{REQUEST}: Required value: {ONE_OF}"]),
    (devices(requests=[{
        "name": "a",
        "exactly": {"deviceClassName": "a"},
        "firstAvailable": [{"name": "b", "deviceClassName": "a"}],
    }]), [f'{REQUEST}: Invalid value: "null": {ONE_OF}, but multiple fields are set']),
    (devices(requests=[{"name": "a", "exactly": {"deviceClassName": "a"}}] * 2),
     ['spec.devices.requests[1]: Duplicate value: "a"']),
    (devices(requests=[{"name": f"r{number}", "exactly": {"deviceClassName": ""}} for number in range(33)]),
     ["spec.devices.requests: Too many: 33: must have at most 32 items"]),
    (asks(deviceClassName=""), [f"{REQUEST}.exactly.deviceClassName: Required value"]),
    (asks(deviceClassName="A"), [f'{REQUEST}.exactly.deviceClassName: Invalid value: "A": {SUBDOMAIN}']),
    (asks(selectors=[{}]), [f"{REQUEST}.exactly.selectors[0].cel: Required value"]),
    (asks(selectors=[{}] * 33), [f"{REQUEST}.exactly.selectors: Too many: 33: must have at most 32 items"]),
    (asks(allocationMode="Some"),
     [f'{REQUEST}.exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"']),
    (asks(allocationMode="All", count=2),
     [f"{REQUEST}.exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'"]),
    (asks(count=-1), [f"{REQUEST}.exactly.count: Invalid value: -1: must be greater than zero"]),
    (tolerates(key="a b"), [f'{REQUEST}.exactly.tolerations[0].key: Invalid value: "a b": {NAME_PART}']),
    (tolerates(key="a", operator="Exists", value="b"),
     [f'{REQUEST}.exactly.tolerations[0].value: Invalid value: "b": must be empty for operator `Exists`']),
    (tolerates(key="a", value="b c"),
     [f'{REQUEST}.exactly.tolerations[0].value: Invalid value: "b c": {LABEL_VALUE}']),
    (tolerates(key="a", operator="Is"),
     [f'{REQUEST}.exactly.tolerations[0].operator: Unsupported value: "Is": supported values: "Equal", "Exists"']),
    (tolerates(key="a", effect="PreferNoSchedule"),
     [f'{REQUEST}.exactly.tolerations[0].effect: Unsupported value: "PreferNoSchedule": '
      'supported values: "NoExecute", "NoSchedule", "None"']),
    (alternatives(*"abcdefghi"), [f"{REQUEST}.firstAvailable: Too many: 9: must have at most 8 items"]),
    (alternatives("a", "a"), [f'{REQUEST}.firstAvailable[1]: Duplicate value: "a"']),
    (alternatives("A", deviceClassName=""), [
        f'{REQUEST}.firstAvailable[0].name: Invalid value: "A": {LABEL}',
        f"{REQUEST}.firstAvailable[0].deviceClassName: Required value",
    ]),
    (constrained(), [f"spec.devices.constraints[0]: Required value: {ONE_ATTRIBUTE}"]),
    (constrained(matchAttribute="numa"),
     ['spec.devices.constraints[0].matchAttribute: Invalid value: "numa": '
      "a fully qualified name must be a domain and a name separated by a slash"]),
    (constrained(distinctAttribute="example.com/a-b"),
     [f'spec.devices.constraints[0].distinctAttribute: Invalid value: "a-b": {IDENTIFIER}']),
    (constrained(matchAttribute="/a"),
     ['spec.devices.constraints[0].matchAttribute: Invalid value: "": the domain must not be empty']),
    (constrained(matchAttribute="example.com/"),
     ['spec.devices.constraints[0].matchAttribute: Invalid value: "": the name must not be empty']),
    (constrained(matchAttribute="example.com/" + "a" * 33),
     ["spec.devices.constraints[0].matchAttribute: Too long: may not be more than 32 bytes"]),
    (constrained(requests=["other", "gpu", "gpu"], matchAttribute="example.com/a"), [
        f'spec.devices.constraints[0].requests[0]: Invalid value: "other": {NOT_A_REQUEST}',
        'spec.devices.constraints[0].requests[2]: Duplicate value: "gpu"',
    ]),
    (constrained(requests=["gpu/a"], matchAttribute="example.com/a"),
     [f'spec.devices.constraints[0].requests[0]: Invalid value: "gpu/a": {NOT_A_REQUEST}']),
    (constrained(requests=["a/b/c"], matchAttribute="example.com/a"),
     [f'spec.devices.constraints[0].requests[0]: Invalid value: "a/b/c": {NOT_A_REQUEST}']),
    (devices(constraints=[{}] * 33), ["spec.devices.constraints: Too many: 33: must have at most 32 items"]),
    (devices(config=[{}] * 33), ["spec.devices.config: Too many: 33: must have at most 32 items"]),
    (devices(config=[{"requests": ["other"]}]), [
        f'spec.devices.config[0].requests[0]: Invalid value: "other": {NOT_A_REQUEST}',
        "spec.devices.config[0].opaque: Required value",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), REFUSED)
def test_what_makes_no_sense_is_refused(change: Object, expected: list[str]) -> None:
    assert on_create(CLAIMS, change) == expected


def test_an_alternative_is_named_after_its_request() -> None:
    change = alternatives("big", "small")
    change["spec"]["devices"]["constraints"] = [{"requests": ["gpu", "gpu/big"], "matchAttribute": "example.com/a"}]
    assert on_create(CLAIMS, change) == []


def test_the_spec_may_not_change_and_is_shown_as_kubernetes_has_it_in_hand() -> None:
    assert on_update(CLAIMS, {"metadata": {"labels": {"a": "b"}}}) == []
    assert on_update(CLAIMS, asks(count=2, selectors=[{"cel": {"expression": "a && b"}}])) == [
        'spec: Invalid value: {"Devices":{"Requests":[{"Name":"gpu","Exactly":{"DeviceClassName":"gpu.example.com",'
        '"Selectors":[{"CEL":{"Expression":"a \\u0026\\u0026 b"}}],"AllocationMode":"ExactCount","Count":2,'
        '"AdminAccess":null,"Tolerations":null,"Capacity":null},"FirstAvailable":null}],"Constraints":null,"Config":null}}: '
        "field is immutable"
    ]
    assert [text.partition(":")[0] for text in on_update(CLAIMS, asks(deviceClassName=""))] == ["spec"], "nothing else is told"


# Status

RESULT = {"request": "gpu", "driver": "dra.example.com", "pool": "pool", "device": "gpu-0"}
READY = {"type": "Ready", "status": "True", "reason": "Up", "lastTransitionTime": "2026-01-01T00:00:00Z"}
CONSUMER = {"resource": "pods", "name": "pod", "uid": "u1"}
WHERE = "status.allocation.devices.results[0]"


def allocated(*results: Object, **fields: Any) -> Object:
    return {"status": {"allocation": {"devices": {"results": list(results)}}, **fields}}


def result(**fields: Any) -> Object:
    return allocated({**RESULT, **fields})


def reported(**fields: Any) -> Object:
    device = {"driver": "dra.example.com", "pool": "pool", "device": "gpu-0", **fields}
    return allocated(RESULT, devices=[device])


def on_status(change: Object, before: Object | None = None) -> list[str]:
    """Messages about a status update; `before` is what was there."""
    kind, old = resource(CLAIMS), made(CLAIMS)
    if before is not None:
        old = {**old, **before}
    new = {**copy.deepcopy(old), **change}
    assert kind.prepare_status_update is not None
    return [problem.message for problem in kind.validate_status_update(kind.prepare_status_update(new, old), old)]


@pytest.mark.parametrize(
    "change",
    [
        {"status": {}},
        {"status": {"allocation": {}}},
        allocated(RESULT, reservedFor=[CONSUMER]),
        result(tolerations=[{"key": "a"}]),
        result(shareID=UID, consumedCapacity={"memory": "1Gi"}),
        result(bindingConditions=["example.com/ready"], bindingFailureConditions=["example.com/failed"]),
        reported(data={"a": 1}, networkData={"interfaceName": "eth1", "ips": ["192.0.2.5/24", "2001:db8::5/64"]}),
        reported(
            conditions=[{"type": "Ready", "status": "True", "reason": "Up", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
        ),
    ],
)
def test_a_status_that_makes_sense_is_taken(change: Object) -> None:
    assert on_status(change) == []


STATUS_REFUSED: list[tuple[Object, list[str]]] = [
    ({"status": {"reservedFor": [CONSUMER]}},
     ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"]),
    (allocated(reservedFor=[{}]), [f"status.reservedFor[0].{field}: Required value" for field in ("resource", "name", "uid")]),
    (allocated(reservedFor=[CONSUMER, CONSUMER]), ['status.reservedFor[1]: Duplicate value: "u1"']),
    (allocated(reservedFor=[{**CONSUMER, "uid": str(number)} for number in range(257)]),
     ["status.reservedFor: Too many: 257: must have at most 256 items"]),
    (result(request="other"), [f'{WHERE}.request: Invalid value: "other": {NOT_A_REQUEST}']),
    (result(driver="a_b"), [f'{WHERE}.driver: Invalid value: "a_b": {SUBDOMAIN}']),
    (result(pool=""), [f"{WHERE}.pool: Required value"]),
    (result(pool="a//b"), [f'{WHERE}.pool: Invalid value: "": {SUBDOMAIN}']),
    (result(device="A"), [f'{WHERE}.device: Invalid value: "A": {LABEL}']),
    (result(bindingConditions=["a"]),
     [f"{WHERE}.bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use "
      "bindingConditions"]),
    (result(bindingFailureConditions=["a"], bindingConditions=[]),
     [f"{WHERE}.bindingConditions: Invalid value: []: bindingConditions are required to use bindingFailureConditions"]),
    (result(bindingConditions=["a", "b", "a"], bindingFailureConditions=["b", "c", "c"]), [
        f'{WHERE}.bindingConditions[2]: Duplicate value: "a"',
        f'{WHERE}.bindingFailureConditions[0]: Invalid value: "b": '
        "bindingFailureConditions must not overlap with bindingConditions",
        f'{WHERE}.bindingFailureConditions[2]: Duplicate value: "c"',
    ]),
    (result(bindingConditions=list("abcde"), bindingFailureConditions=["!"]), [
        f"{WHERE}.bindingConditions: Too many: 5: must have at most 4 items",
        f'{WHERE}.bindingFailureConditions[0]: Invalid value: "!": {NAME_PART}',
    ]),
    (result(tolerations=[{"effect": "x"}]),
     [f'{WHERE}.tolerations[0].effect: Unsupported value: "x": supported values: "NoExecute", "NoSchedule", "None"']),
    (result(shareID="x"), [f'{WHERE}.shareID: Invalid value: "x": error validating uid: invalid UUID length: 1']),
    (allocated(*[RESULT] * 33), ["status.allocation.devices.results: Too many: 33: must have at most 32 items"]),
    ({"status": {"allocation": {"devices": {"config": [{}] * 65}}}},
     ["status.allocation.devices.config: Too many: 65: must have at most 64 items"]),
    ({"status": {"allocation": {"devices": {"config": [{"requests": ["x"]}, {"source": "Elsewhere"}]}}}}, [
        "status.allocation.devices.config[0].source: Required value",
        f'status.allocation.devices.config[0].requests[0]: Invalid value: "x": {NOT_A_REQUEST}',
        "status.allocation.devices.config[0].opaque: Required value",
        'status.allocation.devices.config[1].source: Unsupported value: "Elsewhere": '
        'supported values: "FromClaim", "FromClass"',
        "status.allocation.devices.config[1].opaque: Required value",
    ]),
    ({"status": {"allocation": {"nodeSelector": {"nodeSelectorTerms": []}}}},
     ["status.allocation.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term"]),
    (allocated(RESULT, devices=[{**RESULT, "device": "gpu-1"}]),
     ['status.devices[0]: Invalid value: {"Driver":"dra.example.com","Pool":"pool","Device":"gpu-1","ShareID":""}: '
      "must be an allocated device in the claim"]),
    (allocated(RESULT, devices=[RESULT, RESULT]),
     ['status.devices[1]: Duplicate value: {"Driver":"dra.example.com","Pool":"pool","Device":"gpu-0","ShareID":""}']),
    (reported(data=[]),
     ['status.devices[0].data: Invalid value: "<value omitted>": must be a valid JSON object']),
    (reported(data={"text": "x" * 10240}), ["status.devices[0].data: Too long: may not be more than 10240 bytes"]),
    (reported(networkData={"interfaceName": "x" * 257, "hardwareAddress": "x" * 129}), [
        "status.devices[0].networkData.interfaceName: Too long: may not be more than 256 bytes",
        "status.devices[0].networkData.hardwareAddress: Too long: may not be more than 128 bytes",
    ]),
    (reported(networkData={"ips": ["192.0.2.5", "192.0.2.05/24", "192.0.2.5/24", "192.0.2.5/24"]}), [
        'status.devices[0].networkData.ips[0]: Invalid value: "192.0.2.5": '
        "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)",
        'status.devices[0].networkData.ips[1]: Invalid value: "192.0.2.05/24": must be in canonical form ("192.0.2.5/24")',
        'status.devices[0].networkData.ips[3]: Duplicate value: "192.0.2.5/24"',
    ]),
    (reported(networkData={"ips": [f"192.0.2.{number}/24" for number in range(17)]}),
     ["status.devices[0].networkData.ips: Too many: 17: must have at most 16 items"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), STATUS_REFUSED)
def test_a_status_that_makes_no_sense_is_refused(change: Object, expected: list[str]) -> None:
    assert on_status(change) == expected


def test_nine_conditions_of_a_device_are_one_too_many() -> None:
    found = [
        {"type": f"T{number}", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for number in range(9)
    ]
    assert on_status(reported(conditions=found)) == ["status.devices[0].conditions: Too many: 9: must have at most 8 items"]


def test_an_allocation_is_made_and_taken_back_but_not_changed() -> None:
    before = allocated(RESULT)
    assert on_status(before, before) == []
    assert on_status({"status": {}}, before) == []
    changed = on_status(result(device="gpu-1"), before)
    assert changed == [
        'status.allocation: Invalid value: {"Devices":{"Results":[{"Request":"gpu","Driver":"dra.example.com","Pool":"pool",'
        '"Device":"gpu-1","AdminAccess":null,"Tolerations":null,"BindingConditions":null,"BindingFailureConditions":null,'
        '"ShareID":null,"ConsumedCapacity":null}],"Config":null},"NodeSelector":null,"AllocationTimestamp":null}: '
        "field is immutable"
    ]


def test_nobody_new_may_use_a_claim_that_is_being_deleted() -> None:
    before = allocated(RESULT, reservedFor=[CONSUMER])
    deleted = {"metadata": {**made(CLAIMS)["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert on_status({**before, **deleted}, {**before, **deleted}) == []
    more = allocated(RESULT, reservedFor=[CONSUMER, {**CONSUMER, "uid": "u2"}])
    assert on_status({**more, **deleted}, {**before, **deleted}) == [
        "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or `deletionTimestamp` "
        "are set"
    ]


def test_what_was_reported_of_a_device_goes_with_the_device() -> None:
    kind, claim = resource(CLAIMS), made(CLAIMS)
    old = {**claim, **reported()}
    assert kind.prepare_status_update is not None
    freed = {**claim, "status": {"devices": old["status"]["devices"]}}
    assert kind.prepare_status_update(freed, old)["status"] == {}
    kept = {**claim, **reported(data={"a": 1})}
    assert kind.prepare_status_update(kept, old)["status"] == kept["status"]
    unknown = {**claim, "status": {"devices": [{**RESULT, "device": "gpu-9"}]}}
    assert kind.prepare_status_update(unknown, old)["status"]["devices"], "what never was allocated is left to be refused"


@pytest.mark.parametrize(
    ("status", "deleted", "expected"),
    [
        ({}, False, "pending"),
        ({}, True, "deleted"),
        ({"allocation": {}}, False, "allocated"),
        ({"allocation": {}, "reservedFor": [CONSUMER]}, False, "allocated,reserved"),
        ({"allocation": {}, "reservedFor": [CONSUMER]}, True, "deleted,allocated,reserved"),
    ],
)
def test_a_claim_is_printed_with_its_state(status: Object, deleted: bool, expected: str) -> None:
    kind = resource(CLAIMS)
    claim = made(CLAIMS, {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}) | {"status": status}
    if deleted:
        claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert [column.name for column in kind.columns] == ["Name", "State", "Age"]
    assert kind.row is not None
    assert kind.row(claim, datetime(2026, 1, 1, 0, 5, tzinfo=UTC)) == ["sample", expected, "5m"]

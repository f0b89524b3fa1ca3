"""What tables say of objects: the cells that people know from `kubectl get -o wide`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.api import registry
from navarch.apimachinery.errors import Object

NOW = datetime(2026, 1, 2, tzinfo=UTC)
MADE = "2026-01-01T00:00:00Z"
EARLIER, LATER = "2026-01-01T22:00:00Z", "2026-01-01T23:00:00Z"
RUNNING: Object = {"ready": True, "started": True, "state": {"running": {}}}


def cells(resource: str, obj: Object, *names: str) -> list[Any]:
    """The cells of `obj` in the columns of these names; `resource`: plural.group."""
    kind = registry.resource(resource)
    assert kind.row is not None
    row = kind.row({**obj, "metadata": {"name": "a", "creationTimestamp": MADE, **obj.get("metadata", {})}}, NOW)
    heads = [column.name for column in kind.columns]
    assert len(row) == len(heads)
    return [row[heads.index(name)] for name in names]


def status(name: str, restarts: int = 0, finished: str = "", **fields: Any) -> Object:
    last = {"lastState": {"terminated": {"exitCode": 1, "finishedAt": finished}}} if finished else {}
    return {"name": name, "restartCount": restarts, **last, **fields}


def terminated(code: int = 0, **fields: Any) -> Object:
    return {"state": {"terminated": {"exitCode": code, **fields}}}


def waiting(reason: str) -> Object:
    return {"state": {"waiting": {"reason": reason}}}


def pod(init: list[Object], containers: list[Object], phase: str = "Running", *true: str, sidecars: str = "") -> Object:
    """A pod of those statuses; `sidecars` are the letters that name them among the init containers."""
    always = {"restartPolicy": "Always"}
    return {
        "metadata": {},
        "spec": {
            "initContainers": [{"name": item["name"], **(always if item["name"] in sidecars else {})} for item in init],
            "containers": [{"name": item["name"]} for item in containers],
        },
        "status": {
            "phase": phase,
            "initContainerStatuses": init,
            "containerStatuses": containers,
            "conditions": [{"type": type_, "status": "True"} for type_ in true],
        },
    }


PODS = {
    "running": (pod([], [status("a", **RUNNING), status("b")]), "1/2", "Running", "0"),
    "restarted": (
        pod([], [status("a", 2, EARLIER, **RUNNING), status("b", 1, LATER, **RUNNING)]),
        "2/2",
        "Running",
        "3 (60m ago)",
    ),
    "crashing": (pod([], [status("a", 3, **waiting("CrashLoopBackOff"))]), "0/1", "CrashLoopBackOff", "3"),
    "ended by a signal": (pod([], [status("a", **terminated(137, signal=9))]), "0/1", "Signal:9", "0"),
    "ended with a code": (pod([], [status("a", **terminated(3))]), "0/1", "ExitCode:3", "0"),
    "one of two is done": (
        pod([], [status("a", **terminated(reason="Completed")), status("b", **RUNNING)], "Running", "Ready"),
        "1/2",
        "Running",
        "0",
    ),
    "one of two is done and the other not ready": (
        pod([], [status("a", **terminated(reason="Completed")), status("b", **RUNNING)]),
        "1/2",
        "NotReady",
        "0",
    ),
    "initializing": (pod([status("i"), status("j")], [status("a")], "Pending"), "0/1", "Init:0/2", "0"),
    # What comes after the one that is not done is not looked at.
    "failing to initialize": (
        pod(
            [status("i", 1, EARLIER, **terminated()), status("j", 2, **terminated(7)), status("k", 4, LATER)], [status("a", 9)]
        ),
        "0/1",
        "Init:ExitCode:7",
        "3 (120m ago)",
    ),
    "waiting to initialize": (
        pod([status("i", **waiting("ImagePullBackOff"))], [status("a")]),
        "0/1",
        "Init:ImagePullBackOff",
        "0",
    ),
    "sidecar": (
        pod([status("i", 2, LATER, **RUNNING)], [status("a", **RUNNING)], sidecars="i"),
        "2/2",
        "Running",
        "2 (60m ago)",
    ),
    "sidecar that is not ready": (
        pod([status("i", started=True, state={"running": {}})], [status("a", **RUNNING)], sidecars="i"),
        "1/2",
        "Running",
        "0",
    ),
    "sidecar behind one that has not started": (
        pod([status("i", state={"running": {}}), status("j", 5, **RUNNING)], [status("a")], sidecars="ij"),
        "0/3",
        "Init:0/2",
        "0",
    ),
    # A sidecar that starts again does not hide the containers of a pod that has been initialized.
    "sidecar that has ended": (
        pod([status("i", 1, **terminated(1))], [status("a", 1, **RUNNING)], "Running", "Initialized", sidecars="i"),
        "1/2",
        "Init:ExitCode:1",
        "2",
    ),
    "init container that runs again": (
        pod([status("i", 4, state={"running": {}})], [status("a", 1, **waiting("CrashLoopBackOff"))], "Running", "Initialized"),
        "0/1",
        "CrashLoopBackOff",
        "1",
    ),
}


@pytest.mark.parametrize("case", PODS)
def test_a_pod_is_as_ready_as_what_runs_in_it(case: str) -> None:
    obj, *expected = PODS[case]
    assert cells("pods", obj, "Ready", "Status", "Restarts") == expected


@pytest.mark.parametrize(
    ("phase", "reason", "shown"),
    [
        ("Running", "", "Terminating"),
        ("Running", "NodeLost", "Unknown"),
        ("Succeeded", "", "Succeeded"),
        ("Failed", "Evicted", "Evicted"),
    ],
)
def test_a_pod_that_is_being_deleted_says_so_while_it_lives(phase: str, reason: str, shown: str) -> None:
    obj = {"metadata": {"deletionTimestamp": MADE}, "status": {"phase": phase, "reason": reason}}
    assert cells("pods", obj, "Status") == [shown]


@pytest.mark.parametrize(
    ("service_status", "spec", "shown"),
    [
        ([], {}, "<pending>"),
        (
            [{"ip": "10.0.0.2"}, {"hostname": "b.example.com"}, {"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}],
            {},
            "10.0.0.1,10.0.0.2,b.example.com",
        ),
        ([{"ip": "10.0.0.2"}], {"externalIPs": ["10.0.0.9", "10.0.0.8"]}, "10.0.0.2,10.0.0.9,10.0.0.8"),
    ],
)
def test_the_addresses_of_a_load_balancer_are_sorted(service_status: list[Object], spec: Object, shown: str) -> None:
    obj = {"spec": {"type": "LoadBalancer", **spec}, "status": {"loadBalancer": {"ingress": service_status}}}
    assert cells("services", obj, "External-IP") == [shown]


def test_a_node_has_the_roles_of_its_labels() -> None:
    labels = {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/": "", "kubernetes.io/role": "db"}
    assert cells("nodes", {"metadata": {"labels": labels}}, "Roles") == ["db,worker"]
    assert cells("nodes", {"metadata": {"labels": {"kubernetes.io/role": ""}}}, "Roles") == ["<none>"]


@pytest.mark.parametrize(
    ("subsets", "shown"),
    [
        ([], "<none>"),
        ([{"notReadyAddresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}], ""),
        ([{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}], "10.0.0.1,10.0.0.2"),
        ([{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}, {"port": 443}]}], "[fd00::1]:80,[fd00::1]:443"),
        (
            [{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(5)], "ports": [{"port": 80}]}],
            "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more...",
        ),
    ],
)
def test_endpoints_are_pairs_of_address_and_port(subsets: list[Object], shown: str) -> None:
    assert cells("endpoints", {"subsets": subsets}, "Endpoints") == [shown]


@pytest.mark.parametrize(
    ("ports", "shown"),
    [
        ([], "<unset>"),
        ([{"name": "", "port": 80}, {"name": "web"}], "80,web"),
        ([{"name": ""}], "<unset>"),
        ([{"port": n} for n in range(1, 6)], "1,2,3 + 2 more..."),
    ],
)
def test_a_port_without_a_number_is_shown_by_its_name(ports: list[Object], shown: str) -> None:
    obj = {"ports": ports, "endpoints": []}
    assert cells("endpointslices.discovery.k8s.io", obj, "Ports", "Endpoints") == [shown, "<unset>"]


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ({}, ["<unknown>", "<unknown>", 1]),
        ({"firstTimestamp": EARLIER, "lastTimestamp": LATER, "count": 3}, ["60m", "120m", 3]),
        ({"firstTimestamp": EARLIER}, ["120m", "120m", 1]),
        ({"eventTime": "2026-01-01T22:00:00.000000Z"}, ["120m", "120m", 1]),
        ({"eventTime": EARLIER, "series": {"count": 4, "lastObservedTime": "2026-01-01T23:00:00.000000Z"}}, ["60m", "120m", 4]),
        ({"lastTimestamp": LATER}, ["60m", "<unknown>", 1]),
    ],
)
def test_events_say_when_they_were_seen(event: Object, shown: list[Any]) -> None:
    assert cells("events", event, "Last Seen", "First Seen", "Count") == shown


def test_rows_of_pods_say_that_they_are_done() -> None:
    pods = registry.resource("pods")
    done = pods.row_conditions({"metadata": {}, "status": {"phase": "Succeeded"}})
    message = "The pod has completed successfully."
    assert done == [{"type": "Completed", "status": "True", "reason": "Succeeded", "message": message}]
    failed = pods.row_conditions({"metadata": {}, "status": {"phase": "Failed"}})
    assert failed == [{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}]
    assert pods.row_conditions({"metadata": {}, "status": {"phase": "Running"}}) == []

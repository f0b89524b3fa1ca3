"""Pods and what a runtime may know of them, for tests of pure decisions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from navarch.apimachinery.errors import Object
from navarch.kubelet.runtime_pod import Container, RuntimePod, Sandbox, State

SECOND = 10**9
NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
NOW_NANOSECONDS = int(NOW.timestamp()) * SECOND
SANDBOX = Sandbox("sandbox-0", 0, True, 1, ("10.244.0.5",))


def container(name: str = "c", **fields: Any) -> Object:
    return {"name": name, "image": f"{name}:1", **fields}


def sidecar(name: str, **fields: Any) -> Object:
    return container(name, restartPolicy="Always", **fields)


def pod(*containers: Object, init: tuple[Object, ...] = (), status: Object | None = None, **spec: Any) -> Object:
    body: Object = {"containers": list(containers or (container(),)), "restartPolicy": "Always", **spec}
    if init:
        body["initContainers"] = list(init)
    metadata = {"name": "p", "namespace": "default", "uid": "u-1", "generation": 1, "resourceVersion": "5"}
    found: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body}
    if status is not None:
        found["status"] = status
    return found


def ran(
    name: str = "c", state: State = "running", *, attempt: int = 0, code: int = 0, sandbox: str = "sandbox-0", **more: Any
) -> Container:
    """One run of a container; the later the attempt the later it was made."""
    created = NOW_NANOSECONDS - 100 * SECOND + attempt * SECOND
    return Container(
        id=more.pop("id", f"{name}-{attempt}"),
        name=name,
        attempt=attempt,
        state=state,
        sandbox_id=sandbox,
        created_at=created,
        started_at=created if state != "created" else 0,
        finished_at=created + SECOND if state == "exited" else 0,
        exit_code=code,
        image=f"{name}:1",
        image_id="sha256:1",
        **more,
    )


def runtime(*containers: Container, sandboxes: tuple[Sandbox, ...] = (SANDBOX,)) -> RuntimePod:
    newest = sorted(containers, key=lambda one: (one.created_at, one.attempt), reverse=True)
    return RuntimePod("u-1", "p", "default", sandboxes, tuple(newest))


NOTHING = runtime(sandboxes=())

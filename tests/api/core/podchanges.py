"""Changes of the sample of a pod, and what is said of many of them."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object

C = "spec.containers[0]"
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
PORT = "must be between 1 and 65535, inclusive"
NEGATIVE = "must be greater than or equal to 0"
EXEC = {"exec": {"command": ["true"]}}


def main(**fields: Any) -> Object:
    """A pod of one container with these fields."""
    return {"spec": {"containers": [{"name": "main", "image": "registry.example/app:1", **fields}]}}


def spec(**fields: Any) -> Object:
    return {"spec": fields}


def mounted(*mounts: Object, devices: list[Object] | None = None, **fields: Any) -> Object:
    """A pod whose container mounts volumes; there are `v`, an emptyDir, and `p`, a claimed one."""
    volumes = [{"name": "v"}, {"name": "p", "persistentVolumeClaim": {"claimName": "c"}}]
    container = {"name": "main", "image": "a", "volumeMounts": list(mounts), **fields}
    if devices is not None:
        container["volumeDevices"] = devices
    return {"spec": {"volumes": volumes, "containers": [container]}}

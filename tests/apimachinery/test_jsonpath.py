"""What the paths of printed columns lead to."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apimachinery import jsonpath

OBJECT: dict[str, Any] = {
    "metadata": {"labels": {"app.kubernetes.io/name": "web"}},
    "spec": {"replicas": 3, "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}, {"name": "c", "port": 3}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Synced", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.replicas", [3]),
        ("$.spec.replicas", [3]),
        (".spec.missing.below", []),
        (".spec.ports[0].name", ["a"]),
        (".spec.ports[-1].name", ["c"]),
        (".spec.ports[7].name", []),
        (".spec.ports[*].port", [1, 2, 3]),
        (".spec.ports[0:2].port", [1, 2]),
        (".spec.ports[::2].port", [1, 3]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Synced')].status", ["False"]),
        (".spec.ports[?(@.port>1)].name", ["b", "c"]),
        (r".metadata.labels.app\.kubernetes\.io/name", ["web"]),
        (".metadata.labels['app.kubernetes.io/name']", ["web"]),
        ("..port", [1, 2, 3]),
        (".spec.replicas.below", []),
    ],
)
def test_paths(path: str, found: list[Any]) -> None:
    assert jsonpath.parse(path).find(OBJECT) == found


@pytest.mark.parametrize("path", [".spec[", ".spec.ports[?(@.a]", "spec", ".spec.ports[a b]"])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        jsonpath.parse(path)

"""Pods that differ by the claims they name: all else that is found out about one holds for the others."""

from __future__ import annotations

import pytest

from navarch.api.core.pod import default
from navarch.apimachinery.errors import Object
from tests.api.rules import on_create


def pod(*claims: Object) -> Object:
    volumes = [{"name": f"d{number}", "persistentVolumeClaim": claim} for number, claim in enumerate(claims)]
    return {"spec": {"containers": [{"name": "main", "image": "a"}], "volumes": [{"name": "e"}, *volumes]}}


def test_each_keeps_its_own_claims_and_gets_the_same_defaults() -> None:
    specs = [default(pod({"claimName": name, "readOnly": True}, {"claimName": "x"}))["spec"] for name in ("a", "b", "a")]
    for spec, name in zip(specs, ("a", "b", "a"), strict=True):
        assert spec["volumes"] == [
            {"name": "e", "emptyDir": {}},
            {"name": "d0", "persistentVolumeClaim": {"claimName": name, "readOnly": True}},
            {"name": "d1", "persistentVolumeClaim": {"claimName": "x"}},
        ]
        assert spec["restartPolicy"] == "Always"
    assert specs[0] is specs[2], "pods that share their claims share all that is kept with a spec"


def test_the_claims_of_one_pod_may_not_have_changed_places() -> None:
    one, other = (default(pod({"claimName": a}, {"claimName": b}))["spec"] for a, b in (("a", "b"), ("b", "a")))
    assert one["volumes"][1]["persistentVolumeClaim"] == {"claimName": "a"}
    assert other["volumes"][1]["persistentVolumeClaim"] == {"claimName": "b"}


@pytest.mark.parametrize("nameless", [{}, {"claimName": ""}])
def test_a_claim_without_a_name_is_refused_though_one_with_a_name_was_not(nameless: Object) -> None:
    assert on_create("pods", pod({"claimName": "a"})) == []
    assert on_create("pods", pod(nameless)) == ["spec.volumes[1].persistentVolumeClaim.claimName: Required value"]

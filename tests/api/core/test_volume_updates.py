"""What may change of volumes and claims, and how refusals show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api import rules
from tests.api.tables import changed, remove
from tests.apiserver.bench import Bench, bench
from tests.apiserver.samples import sample

PV, PVC = "persistentvolumes", "persistentvolumeclaims"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("api")) as found:
        yield found


def spec(**fields: Any) -> Object:
    return {"spec": fields}


CLAIM_SPEC = (
    "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
SOURCE = "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"
SPECS: list[tuple[str, Object, str, str]] = [
    # The secret for expansion may be added, and is not shown.
    (PV, spec(csi={"volumeHandle": "other", "controllerExpandSecretRef": {"name": "s", "namespace": "default"}}), SOURCE, """\
@@ -22,7 +22,7 @@
  "StorageOS": null,
  "CSI": {
   "Driver": "csi.example.com",
-  "VolumeHandle": "volume-1",
+  "VolumeHandle": "other",
   "ReadOnly": false,
   "FSType": "",
   "VolumeAttributes": null,
"""),
    # The name of the volume may be set once.
    (PVC, spec(accessModes=["ReadWriteMany"], volumeName="volume-1"), CLAIM_SPEC, """\
@@ -1,6 +1,6 @@
 {
  "AccessModes": [
-  "ReadWriteOnce"
+  "ReadWriteMany"
  ],
  "Selector": null,
  "Resources": {
"""),
    (PVC, spec(resources={"requests": {"storage": "2Gi"}}), CLAIM_SPEC, """\
@@ -6,7 +6,7 @@
  "Resources": {
   "Limits": null,
   "Requests": {
-   "storage": "1Gi"
+   "storage": "2Gi"
   }
  },
  "VolumeName": "",
"""),
    # Only a claim that is bound may ask for other attributes.
    (PVC, spec(volumeAttributesClassName="gold"), CLAIM_SPEC, """\
@@ -14,5 +14,5 @@
  "VolumeMode": "Filesystem",
  "DataSource": null,
  "DataSourceRef": null,
- "VolumeAttributesClassName": null
+ "VolumeAttributesClassName": "gold"
 }
"""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "expected", "difference"), SPECS)
def test_who_changes_what_storage_is_asked_for_or_where_it_is_is_shown_what(
    api: Bench, name: str, changes: Object, expected: str, difference: str
) -> None:
    kind = resource(name)
    made = api.made(name, sample(kind, "changing"))
    refused = api.put(name, changed(made, changes))
    remove(api, name, "changing")
    assert refused.status == 422
    assert refused.message == f'{kind.kind} "{made["metadata"]["name"]}" is invalid: {expected}\n{difference}'
    assert [cause["message"] for cause in refused.json["details"]["causes"]] == [f"{expected}\n{difference}".partition(": ")[2]]


APPLIED = {"currentVolumeAttributesClassName": "gold"}
CLASS = "spec.volumeAttributesClassName: Forbidden: update to"


@pytest.mark.parametrize(
    ("first", "status", "changes", "expected"),
    [
        ({}, {}, {"volumeAttributesClassName": "gold", "resources": {"requests": {"storage": "2Gi"}}}, []),
        ({"volumeAttributesClassName": "gold"}, APPLIED, {"volumeAttributesClassName": "silver"}, []),
        ({"volumeAttributesClassName": "gold"}, {}, {"volumeAttributesClassName": None}, []),
        ({"volumeAttributesClassName": "gold"}, APPLIED, {"volumeAttributesClassName": None},
         [f"{CLASS} nil is forbidden when status.currentVolumeAttributesClassName is not nil"]),
        ({"volumeAttributesClassName": "gold"}, APPLIED, {"volumeAttributesClassName": ""},
         [f"{CLASS} empty string is forbidden when status.currentVolumeAttributesClassName is not nil"]),
    ],
)  # fmt: skip
def test_a_bound_claim_may_ask_for_more_and_for_other_attributes(
    first: Object, status: Object, changes: Object, expected: list[str]
) -> None:
    old = {**rules.made(PVC, {"spec": {"volumeName": "volume-1", **first}}), "status": {"phase": "Bound", **status}}
    new = rules.merged(old, {"spec": changes})
    assert [error.message for error in resource(PVC).validate_update(new, old)] == expected

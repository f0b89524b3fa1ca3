"""Volumes, claims and the storage group: defaults, what is refused in which words, what may change, what kubectl prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.tables import cells, changed, refused_create, refused_update, remove
from tests.apiserver.bench import Bench, bench
from tests.apiserver.samples import sample

PV, PVC = "persistentvolumes", "persistentvolumeclaims"
SC, VAC, DRIVER, NODE, CAPACITY, ATTACHMENT = (
    f"{plural}.storage.k8s.io"
    for plural in (
        "storageclasses",
        "volumeattributesclasses",
        "csidrivers",
        "csinodes",
        "csistoragecapacities",
        "volumeattachments",
    )
)
MODES = 'supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
IMMUTABLE = "field is immutable"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("api")) as found:
        yield found


def spec(**fields: Any) -> Object:
    return {"spec": fields}


def source(kind: str, **fields: Any) -> Object:
    """A volume of another kind of storage."""
    return {"spec": {"csi": None, kind: fields}}


DEFAULTS: list[tuple[str, Object, Object]] = [
    (PV, {}, {"spec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}),
    (PV, source("hostPath", path="/x"), {"spec": {"hostPath": {"path": "/x", "type": ""}}}),
    (PV, source("iscsi", targetPortal="p", iqn="iqn.2020-01.a:b", lun=0), {"spec": {"iscsi": {"iscsiInterface": "default"}}}),
    (PV, source("rbd", monitors=["m"], image="i"),
     {"spec": {"rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}}}),
    (PV, source("azureDisk", diskName="d", diskURI="https://x"),
     {"spec": {"azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False}}}),
    (PVC, {}, {"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}),
    (PVC, spec(dataSource={"kind": "PersistentVolumeClaim", "name": "other"}),
     {"spec": {"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "other"}}}),
    (PVC, spec(dataSourceRef={"apiGroup": "example.com", "kind": "Book", "name": "b"}),
     {"spec": {"dataSource": {"apiGroup": "example.com", "kind": "Book", "name": "b"}}}),
    (SC, {}, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
    (DRIVER, spec(attachRequired=None), {"spec": {
        "attachRequired": True,
        "podInfoOnMount": False,
        "storageCapacity": False,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "volumeLifecycleModes": ["Persistent"],
        "requiresRepublish": False,
        "seLinuxMount": False,
    }}),
    (ATTACHMENT, {}, {"status": {"attached": False}}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "expected"), DEFAULTS)
def test_what_is_left_open_is_filled_in(api: Bench, name: str, changes: Object, expected: Object) -> None:
    made = api.made(name, changed(sample(resource(name), "defaults"), changes))
    remove(api, name, "defaults")
    assert changed(made, expected) == made


def test_data_sources_of_unknown_kinds_are_dropped_as_ever(api: Bench) -> None:
    unknown = spec(dataSource={"apiGroup": "example.com", "kind": "Book", "name": "b"})
    assert "dataSource" not in api.made(PVC, changed(sample(resource(PVC), "dropped"), unknown))["spec"]
    elsewhere = spec(dataSourceRef={"kind": "PersistentVolumeClaim", "name": "b", "namespace": "other"})
    assert not {"dataSource", "dataSourceRef"} & api.made(PVC, changed(sample(resource(PVC), "far"), elsewhere))["spec"].keys()


REFUSED: list[tuple[str, Object, list[str]]] = [
    (PV, spec(accessModes=None), ["spec.accessModes: Required value"]),
    (PV, spec(accessModes=["ReadWriteEver"]), [f'spec.accessModes: Unsupported value: "ReadWriteEver": {MODES}']),
    (PV, spec(accessModes=["ReadWriteOnce", "ReadWriteOncePod"]),
     ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"]),
    (PV, spec(capacity=None),
     ["spec.capacity: Required value", 'spec.capacity: Unsupported value: {}: supported values: "storage"']),
    (PV, spec(capacity={"storage": "0"}), ['spec.capacity[storage]: Invalid value: "0": must be greater than zero']),
    (PV, spec(capacity={"storage": "-1"}), [
        "spec.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
        'spec.capacity[storage]: Invalid value: "-1": must be greater than zero',
    ]),
    (PV, spec(capacity={"cpu": "1"}),
     ['spec.capacity: Unsupported value: {"cpu":"1","storage":"1Gi"}: supported values: "storage"']),
    (PV, spec(persistentVolumeReclaimPolicy="Keep"),
     ['spec.persistentVolumeReclaimPolicy: Unsupported value: "Keep": supported values: "Delete", "Recycle", "Retain"']),
    (PV, spec(volumeMode="Tape"), ['spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"']),
    (PV, spec(storageClassName="A"), [f'spec.storageClassName: Invalid value: "A": {SUBDOMAIN}']),
    (PV, spec(csi=None), ["spec: Required value: must specify a volume type"]),
    (PV, spec(nfs={"server": "s", "path": "/"}), ["spec.csi: Forbidden: may not specify more than 1 volume type"]),
    (PV, spec(nodeAffinity={}), ["spec.nodeAffinity.required: Required value: must specify required node constraints"]),
    (PV, spec(nodeAffinity={"required": {"nodeSelectorTerms": []}}),
     ["spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term"]),
    (PV, spec(nodeAffinity={"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]}}),
     ["spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].operator: "
      'Invalid value: "Is": not a valid selector operator']),
    (PV, spec(nodeAffinity={"required": {"nodeSelectorTerms": [{"matchFields": [{"key": "a", "operator": "In"}]}]}}), [
        "spec.nodeAffinity.required.nodeSelectorTerms[0].matchFields[0].values: Required value: "
        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
        "spec.nodeAffinity.required.nodeSelectorTerms[0].matchFields[0].key: "
        'Invalid value: "a": not a valid field selector key',
    ]),
    (PV, spec(volumeAttributesClassName=""),
     ["spec.volumeAttributesClassName: Required value: an empty string is disallowed"]),
    (PV, source("hostPath"), ["spec.hostPath.path: Required value"]),
    (PV, source("hostPath", path="/a/../b"), ["spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"]),
    (PV, changed(source("hostPath", path="/"), spec(persistentVolumeReclaimPolicy="Recycle")),
     ["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"]),
    (PV, source("local", path="/x"), ["spec.nodeAffinity: Required value: Local volume requires node affinity"]),
    (PV, source("nfs", server="s", path="x"), ['spec.nfs.path: Invalid value: "x": must be an absolute path']),
    (PV, source("gcePersistentDisk", pdName="x", partition=256),
     ["spec.persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive"]),
    (PV, source("awsElasticBlockStore", volumeID=""), ["spec.awsElasticBlockStore.volumeID: Required value"]),
    (PV, source("glusterfs", endpoints="e", path="p", endpointsNamespace=""),
     ['spec.glusterfs.endpointsNamespace: Invalid value: "": '
      "if the endpointnamespace is set, it must be a valid namespace name"]),
    (PV, source("flocker"), ["spec.flocker: Required value: one of datasetName and datasetUUID is required"]),
    (PV, source("quobyte", registry="x", volume="v"),
     ['spec.quobyte.registry: Invalid value: "x": must be a host:port pair or multiple pairs separated by commas']),
    (PV, source("cephfs", monitors=[]), ["spec.cephfs.monitors: Required value"]),
    (PV, source("cinder", volumeID="v", secretRef={"name": "s"}), ["spec.cinder.secretRef.namespace: Required value"]),
    (PV, source("fc", targetWWNs=["a"]), ["spec.fc.lun: Required value: lun is required if targetWWNs is specified"]),
    (PV, source("flexVolume", driver="d", options={"a.k8s.io/x": "1"}),
     ["spec.flexVolume.options[a.k8s.io/x]: "
      'Invalid value: "a.k8s.io/x": kubernetes.io and k8s.io namespaces are reserved']),
    (PV, source("azureFile", secretName="s", shareName="s", secretNamespace=""),
     ["spec.azureFile.secretNamespace: Required value"]),
    (PV, source("azureDisk", diskName="d", diskURI="x"),
     ['spec.azureDisk.diskURI: Unsupported value: "x": supported values: '
      '"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"']),
    (PV, source("iscsi", targetPortal="p", iqn="x", lun=256), [
        'spec.iscsi.iqn: Invalid value: "x": must be valid format',
        "spec.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
    ]),
    (PV, source("storageos", volumeName="A.b"),
     ['spec.storageos.volumeName: Invalid value: "A.b": a lowercase RFC 1123 label must consist of lower case alphanumeric '
      "characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
      "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"]),
    (PV, source("csi", driver="", volumeHandle="v"), ["spec.csi.driver: Required value"]),
    (PV, source("csi", driver="d" * 64, volumeHandle="v"), ["spec.csi.driver: Too long: may not be more than 63 bytes"]),
    (PV, source("csi", driver="d", volumeHandle="v", nodePublishSecretRef={"name": "s"}),
     ["spec.csi.nodePublishSecretRef.namespace: Required value"]),
    (PVC, spec(accessModes=None), ["spec.accessModes: Required value: at least 1 access mode is required"]),
    (PVC, spec(resources=None), ["spec.resources[storage]: Required value"]),
    (PVC, spec(resources={"requests": {"storage": "0"}}),
     ['spec.resources[storage]: Invalid value: "0": must be greater than zero']),
    (PVC, spec(selector={"matchExpressions": [{"key": "a", "operator": "Is"}]}),
     ['spec.selector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator']),
    (PVC, spec(dataSourceRef={"kind": "Book", "name": "b"}), [
        f"spec.{field}: Invalid value: \"Book\": must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        for field in ("dataSource", "dataSourceRef")
    ]),
    (PVC, spec(dataSource={"kind": "PersistentVolumeClaim", "name": "a"},
               dataSourceRef={"kind": "PersistentVolumeClaim", "name": "b"}),
     ['spec: Invalid value: "spec.dataSource": must match dataSourceRef']),
    (SC, {"provisioner": None}, ["provisioner: Required value"]),
    (SC, {"provisioner": "a/b/c"},
     ['provisioner: Invalid value: "a/b/c": a qualified name must consist of alphanumeric characters, \'-\', \'_\' or \'.\', '
      "and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
      "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' "
      "(e.g. 'example.com/MyName')"]),
    (SC, {"parameters": {"": "x"}}, ['parameters: Invalid value: "": field can not be empty.']),
    (SC, {"parameters": {f"k{i}": "" for i in range(513)}}, ["parameters: Too long: may not be more than 512 bytes"]),
    (SC, {"reclaimPolicy": "Recycle"},
     ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"']),
    (SC, {"volumeBindingMode": "Late"},
     ['volumeBindingMode: Unsupported value: "Late": supported values: "Immediate", "WaitForFirstConsumer"']),
    (SC, {"allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": []}]}]},
     ["allowedTopologies[0].matchLabelExpressions[0].values: Required value"]),
    (SC, {"allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}] * 2},
     ['allowedTopologies[1].matchLabelExpressions: Duplicate value: ""']),
    (VAC, {"driverName": None, "parameters": None}, [
        "driverName: Required value",
        "parameters: Required value: must contain at least one key/value pair",
    ]),
    (DRIVER, spec(fsGroupPolicy="Some"),
     ['spec.fsGroupPolicy: Unsupported value: "Some": supported values: "File", "None", "ReadWriteOnceWithFSType"']),
    (DRIVER, spec(volumeLifecycleModes=["Short"]),
     ['spec.volumeLifecycleModes: Unsupported value: "Short": supported values: "Persistent", "Ephemeral"']),
    (DRIVER, spec(tokenRequests=[{"audience": "a"}, {"audience": "a"}]),
     ['spec.tokenRequests[1].audience: Duplicate value: "a"']),
    (DRIVER, spec(tokenRequests=[{"audience": "a", "expirationSeconds": 1}]),
     ["spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes"]),
    (DRIVER, spec(nodeAllocatableUpdatePeriodSeconds=5),
     ["spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 5: must be greater than or equal to 10 seconds"]),
    (DRIVER, spec(serviceAccountTokenInSecrets=False), [
        "spec.serviceAccountTokenInSecrets: Invalid value: false: "
        "serviceAccountTokenInSecrets is set but no tokenRequests are specified",
    ]),
    (NODE, spec(drivers=[{"name": "d", "nodeID": ""}]), ["spec.drivers[0].nodeID: Required value"]),
    (NODE, spec(drivers=[{"name": "d", "nodeID": "n" * 257}]),
     [f'spec.drivers[0].nodeID: Invalid value: "{"n" * 257}": must be 256 characters or less']),
    (NODE, spec(drivers=[{"name": "d", "nodeID": "n", "allocatable": {"count": -1}}]),
     ["spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0"]),
    (NODE, spec(drivers=[{"name": "d", "nodeID": "n", "topologyKeys": ["a", "a"]}]),
     ['spec.drivers[0]: Duplicate value: "a"']),
    (CAPACITY, {"storageClassName": "A"}, [f'storageClassName: Invalid value: "A": {SUBDOMAIN}']),
    (CAPACITY, {"capacity": "-1"}, ['capacity: Invalid value: "-1": must be greater than or equal to 0']),
    (ATTACHMENT, spec(source={"persistentVolumeName": None}),
     ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"]),
    (ATTACHMENT, spec(attacher="A" * 64, source={"persistentVolumeName": ""}), [
        "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
        "spec.attacher: Too long: may not be more than 63 bytes",
        f'spec.source.persistentVolumeName: Invalid value: "": {SUBDOMAIN}',
    ]),
    (ATTACHMENT, spec(nodeName=""), [f'spec.nodeName: Invalid value: "": {SUBDOMAIN}']),
    (ATTACHMENT, spec(source={"persistentVolumeName": None, "inlineVolumeSpec": {
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1"}, "nfs": {"server": "s", "path": "/"}}}), [
        "spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes",
        "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "expected"), REFUSED)
def test_what_makes_no_sense_is_refused_field_by_field(api: Bench, name: str, changes: Object, expected: list[str]) -> None:
    assert refused_create(api, name, changes) == expected


CLAIM_SPEC = (
    "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
IMMUTABLES: list[tuple[str, Object, Object, list[str]]] = [
    (PVC, {}, spec(volumeMode="Block"), [
        f'{CLAIM_SPEC}\n@@ -11,7 +11,7 @@\n  }},\n  "VolumeName": "",\n  "StorageClassName": "slow",\n'
        '- "VolumeMode": "Filesystem",\n+ "VolumeMode": "Block",\n'
        '  "DataSource": null,\n  "DataSourceRef": null,\n  "VolumeAttributesClassName": null\n',
        f'volumeMode: Invalid value: "Block": {IMMUTABLE}',
    ]),
    (PV, {}, spec(volumeMode="Block"), [f'volumeMode: Invalid value: "Block": {IMMUTABLE}']),
    (PV, spec(volumeAttributesClassName="gold"), spec(volumeAttributesClassName=None),
     ["spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"]),
    (SC, {}, {"provisioner": "x"}, ["provisioner: Forbidden: updates to provisioner are forbidden."]),
    (SC, {}, {"parameters": {"a": "b"}}, ["parameters: Forbidden: updates to parameters are forbidden."]),
    (SC, {}, {"reclaimPolicy": "Retain"}, ["reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden."]),
    (SC, {}, {"volumeBindingMode": "WaitForFirstConsumer"},
     [f'volumeBindingMode: Invalid value: "WaitForFirstConsumer": {IMMUTABLE}']),
    (VAC, {}, {"driverName": "x"}, ["driverName: Forbidden: updates to driverName are forbidden."]),
    (VAC, {}, {"parameters": {"a": "b"}}, ["parameters: Forbidden: updates to parameters are forbidden."]),
    (DRIVER, {}, spec(attachRequired=True), [f"spec.attachedRequired: Invalid value: true: {IMMUTABLE}"]),
    (DRIVER, {}, spec(volumeLifecycleModes=["Ephemeral"]),
     [f'spec.volumeLifecycleModes: Invalid value: ["Ephemeral"]: {IMMUTABLE}']),
    (NODE, {}, spec(drivers=[{"name": "csi.example.com", "nodeID": "other"}]),
     [f'spec.drivers: Invalid value: {{"Name":"csi.example.com","NodeID":"other","TopologyKeys":null,'
      f'"Allocatable":null}}: {IMMUTABLE}']),
    (ATTACHMENT, {}, spec(attacher="A_"), [
        'spec: Invalid value: {"Attacher":"A_","Source":{"PersistentVolumeName":"volume","InlineVolumeSpec":null},'
        f'"NodeName":"node"}}: {IMMUTABLE}',
    ]),
    (CAPACITY, {}, {"nodeTopology": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}}, [
        'nodeTopology: Invalid value: {"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"Exists"}]}: '
        f"{IMMUTABLE}",
    ]),
    (CAPACITY, {}, {"storageClassName": "fast"}, [f'storageClassName: Invalid value: "fast": {IMMUTABLE}']),
]  # fmt: skip


@pytest.mark.parametrize(("name", "first", "changes", "expected"), IMMUTABLES)
def test_what_may_not_change(api: Bench, name: str, first: Object, changes: Object, expected: list[str]) -> None:
    assert refused_update(api, name, changes, first=first) == expected


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (PV, spec(persistentVolumeReclaimPolicy="Delete", claimRef={"namespace": "default", "name": "c"})),
        (PV, spec(csi={"controllerExpandSecretRef": {"name": "s", "namespace": "default"}})),
        (PVC, spec(volumeName="volume-1")),
        (SC, {"allowVolumeExpansion": True, "mountOptions": ["ro"]}),
        (
            NODE,
            spec(drivers=[{"name": "csi.example.com", "nodeID": "n", "topologyKeys": ["zone"], "allocatable": {"count": 3}}]),
        ),
        (CAPACITY, {"capacity": "2Ti"}),
    ],
)
def test_what_may_change(api: Bench, name: str, changes: Object) -> None:
    made = api.made(name, sample(resource(name), "changing"))
    updated = api.put(name, changed(made, changes))
    remove(api, name, "changing")
    assert updated.status == 200, updated.body
    assert changed(updated.json, changes) == updated.json


def test_updates_of_drivers_nodes_and_attachments_name_their_revision(api: Bench) -> None:
    for name in (DRIVER, NODE, CAPACITY, ATTACHMENT):
        made = api.made(name, sample(resource(name), "unconditional"))
        refused = api.put(name, changed(made, {"metadata": {"resourceVersion": None}}))
        assert refused.status == 422
        assert refused.message.endswith("metadata.resourceVersion: Invalid value: 0: must be specified for an update")


def test_a_drivers_generation_begins_with_its_first_change(api: Bench) -> None:
    made = api.made(DRIVER, sample(resource(DRIVER), "generation"))
    assert "generation" not in made["metadata"]
    labelled = api.put(DRIVER, changed(made, {"metadata": {"labels": {"a": "b"}}})).json
    assert "generation" not in labelled["metadata"]
    first = api.put(DRIVER, changed(labelled, spec(requiresRepublish=True))).json
    assert first["metadata"]["generation"] == 1
    assert api.put(DRIVER, changed(first, spec(requiresRepublish=False))).json["metadata"]["generation"] == 2


def test_what_a_driver_says_for_features_that_are_not_enabled_is_dropped(api: Bench) -> None:
    made = api.made(DRIVER, changed(sample(resource(DRIVER), "alpha"), spec(preventPodSchedulingIfMissing=True)))
    assert "preventPodSchedulingIfMissing" not in made["spec"]
    same = api.put(DRIVER, changed(made, spec(preventPodSchedulingIfMissing=True))).json
    assert same["metadata"] == made["metadata"] and same["spec"] == made["spec"]


def test_a_class_may_have_an_empty_reclaim_policy(api: Bench) -> None:
    assert api.made(SC, changed(sample(resource(SC), "empty"), {"reclaimPolicy": ""}))["reclaimPolicy"] == ""


def test_a_bound_claim_grows_and_takes_a_failed_growth_back(api: Bench) -> None:
    api.made(PVC, sample(resource(PVC), "grows"))
    status = {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
    bound = api.patch(PVC, "grows", status, subresource="status").json
    # Whether growing is allowed at all is another's decision: smaller than asked for is all that is looked at here.
    refused = api.put(PVC, changed(bound, spec(resources={"requests": {"storage": "512Mi"}})))
    assert "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity" in refused.message


def test_a_volumes_phase_remembers_when_it_changed(api: Bench) -> None:
    made = api.made(PV, sample(resource(PV), "phases"))
    assert made["status"]["lastPhaseTransitionTime"] == made["metadata"]["creationTimestamp"]
    kept = api.patch(PV, "phases", {"status": {"message": "hello"}}, subresource="status").json["status"]
    assert kept["lastPhaseTransitionTime"] == made["status"]["lastPhaseTransitionTime"]
    said = api.patch(
        PV,
        "phases",
        {"status": {"phase": "Available", "lastPhaseTransitionTime": "2020-01-01T00:00:00Z"}},
        subresource="status",
    ).json["status"]
    assert said["lastPhaseTransitionTime"] == "2020-01-01T00:00:00Z"
    stamped = api.patch(PV, "phases", {"status": {"phase": "Bound"}}, subresource="status").json["status"]
    assert stamped["lastPhaseTransitionTime"] > "2020-01-01T00:00:00Z"


def test_reports_about_an_attachment_leave_its_metadata_alone(api: Bench) -> None:
    made = api.made(ATTACHMENT, sample(resource(ATTACHMENT), "reported"))
    body = changed(made, {"metadata": {"labels": {"a": "b"}}, "status": {"attached": True}})
    reported = api.put(ATTACHMENT, body, "status").json
    assert reported["status"] == {"attached": True} and "labels" not in reported["metadata"]
    failed = {"status": {"attachError": {"message": "x" * 1025}}}
    refused = api.patch(ATTACHMENT, "reported", failed, subresource="status")
    assert refused.causes == [("FieldValueTooLong", "status.attachError.message")]


def test_claims_are_reported_on_in_known_words(api: Bench) -> None:
    api.made(PVC, sample(resource(PVC), "resizing"))
    unknown = {"status": {"allocatedResourceStatuses": {"cpu": "ControllerResizeInProgress"}}}
    refused = api.patch(PVC, "resizing", unknown, subresource="status")
    assert refused.causes == [("FieldValueNotSupported", "status.allocatedResourceStatus")]
    good = {"allocatedResourceStatuses": {"storage": "NodeResizePending"}, "allocatedResources": {"storage": "2Gi"}}
    assert api.patch(PVC, "resizing", {"status": good}, subresource="status").status == 200


PRINTED: list[tuple[str, Object, Object, dict[str, Any]]] = [
    (PV, spec(claimRef={"namespace": "default", "name": "c"}), {"phase": "Bound", "reason": "because"}, {
        "Capacity": "1Gi", "Access Modes": "RWO", "Reclaim Policy": "Retain", "Status": "Bound", "Claim": "default/c",
        "StorageClass": "slow", "VolumeAttributesClass": "<unset>", "Reason": "because", "VolumeMode": "Filesystem",
    }),
    (PVC, {}, {"phase": "Pending"}, {
        "Status": "Pending", "Volume": "", "Capacity": "", "Access Modes": "", "StorageClass": "slow",
        "VolumeAttributesClass": "<unset>", "VolumeMode": "Filesystem",
    }),
    (PVC, spec(volumeName="v"), {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"]}, {
        "Status": "Bound", "Volume": "v", "Capacity": "1Gi", "Access Modes": "RWX", "StorageClass": "slow",
        "VolumeAttributesClass": "<unset>", "VolumeMode": "Filesystem",
    }),
    (SC, {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}, {}, {
        "Name": "printed (default)", "Provisioner": "csi.example.com", "ReclaimPolicy": "Delete",
        "VolumeBindingMode": "Immediate", "AllowVolumeExpansion": False,
    }),
    (VAC, {}, {}, {"Name": "printed", "DriverName": "csi.example.com"}),
    (DRIVER, spec(tokenRequests=[{"audience": "a"}, {"audience": "b"}]), {}, {
        "AttachRequired": False, "PodInfoOnMount": False, "StorageCapacity": False, "TokenRequests": "a,b",
        "RequiresRepublish": False, "Modes": "Persistent",
    }),
    (NODE, {}, {}, {"Drivers": 1}),
    (CAPACITY, {}, {}, {"Name": "printed", "StorageClassName": "slow", "Capacity": "1Ti"}),
    (ATTACHMENT, {}, {"attached": True},
     {"Attacher": "csi.example.com", "PV": "volume", "Node": "node", "Attached": True}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "status", "expected"), PRINTED)
def test_what_kubectl_prints(api: Bench, name: str, changes: Object, status: Object, expected: dict[str, Any]) -> None:
    api.made(name, changed(sample(resource(name), "printed"), changes))
    if status:
        assert api.patch(name, "printed", {"status": status}, subresource="status").status == 200
    found = cells(api, name, "printed")
    remove(api, name, "printed")
    assert {**found, **expected} == found
    assert found.keys() - expected.keys() <= {"Name", "Age"}

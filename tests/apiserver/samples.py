"""One small valid object of every kind that is stored, and a change that an update of it may make."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable
from typing import Any

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import Object
from tests.apiserver.certificaterequests import signing_request

POD_SPEC: Object = {"containers": [{"name": "main", "image": "registry.example/app:1"}]}
TEMPLATE: Object = {"metadata": {"labels": {"app": "web"}}, "spec": POD_SPEC}
SELECTOR: Object = {"matchLabels": {"app": "web"}}

_WEBHOOK: Object = {
    "name": "checks.example.com",
    "clientConfig": {"service": {"name": "checks", "namespace": "default"}},
    # Nobody else in a test is to be asked about.
    "rules": [{"operations": ["CREATE"], "apiGroups": ["checked.example.com"], "apiVersions": ["v1"], "resources": ["checks"]}],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
_MATCHED: Object = {"resourceRules": _WEBHOOK["rules"]}
_CONDITION: Object = {
    "type": "Tested",
    "status": "True",
    "reason": "Tried",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}

_DEVICES: Object = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}}

BODIES: dict[str, Object] = {
    **{
        f"{plural}.admissionregistration.k8s.io": {"webhooks": [_WEBHOOK]}
        for plural in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
    },
    "validatingadmissionpolicies.admissionregistration.k8s.io": {
        "spec": {"matchConstraints": _MATCHED, "validations": [{"expression": "object.spec.replicas <= 5"}]}
    },
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": {
        "spec": {"policyName": "few-replicas", "validationActions": ["Deny"]}
    },
    "mutatingadmissionpolicies.admissionregistration.k8s.io": {
        "spec": {
            "matchConstraints": _MATCHED,
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/a'}]"}}],
        }
    },
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": {"spec": {"policyName": "one-replica"}},
    "apiservices.apiregistration.k8s.io": {
        "spec": {
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "service": {"name": "server", "namespace": "default"},
        }
    },
    "customresourcedefinitions.apiextensions.k8s.io": {
        "spec": {
            "group": "example.com",
            "names": {"plural": "samples", "kind": "Sample"},
            "scope": "Namespaced",
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}},
            ],
        }
    },
    "configmaps": {"data": {"a": "1"}},
    "endpoints": {"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}]},
    "events": {"involvedObject": {"kind": "Pod", "name": "x", "namespace": "default"}, "reason": "Tested", "type": "Normal"},
    "limitranges": {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "1"}}]}},
    "namespaces": {},
    "persistentvolumes": {
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "slow",
            "csi": {"driver": "csi.example.com", "volumeHandle": "volume-1"},
        }
    },
    "persistentvolumeclaims": {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "slow",
            "resources": {"requests": {"storage": "1Gi"}},
        }
    },
    "podtemplates": {"template": TEMPLATE},
    "resourcequotas": {"spec": {"hard": {"count/widgets.example.com": "5"}}},
    "nodes": {"spec": {}},
    "pods": {"spec": POD_SPEC},
    "replicationcontrollers": {"spec": {"selector": {"app": "web"}, "template": TEMPLATE}},
    "secrets": {"stringData": {"password": "x"}},
    "serviceaccounts": {},
    "services": {"spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}},
    "deployments.apps": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "replicasets.apps": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "daemonsets.apps": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "statefulsets.apps": {"spec": {"selector": SELECTOR, "template": TEMPLATE, "serviceName": "web"}},
    "cronjobs.batch": {
        "spec": {
            "schedule": "*/5 * * * *",
            "jobTemplate": {"spec": {"template": {"spec": {**POD_SPEC, "restartPolicy": "Never"}}}},
        }
    },
    "controllerrevisions.apps": {"revision": 1, "data": {"any": "thing"}},
    "horizontalpodautoscalers.autoscaling": {
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 5}
    },
    "events.events.k8s.io": {
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Pod", "name": "x", "namespace": "default"},
        "reportingController": "example.com/tester",
        "reportingInstance": "tester-1",
        "action": "Testing",
        "reason": "Tested",
        "type": "Normal",
    },
    "jobs.batch": {"spec": {"template": {"spec": {**POD_SPEC, "restartPolicy": "Never"}}}},
    "poddisruptionbudgets.policy": {"spec": {"minAvailable": 1, "selector": SELECTOR}},
    "priorityclasses.scheduling.k8s.io": {"value": 1000},
    "storageclasses.storage.k8s.io": {"provisioner": "csi.example.com"},
    "csidrivers.storage.k8s.io": {"spec": {"attachRequired": False}},
    "csinodes.storage.k8s.io": {"spec": {"drivers": [{"name": "csi.example.com", "nodeID": "n", "topologyKeys": ["zone"]}]}},
    "csistoragecapacities.storage.k8s.io": {"storageClassName": "slow", "capacity": "1Ti"},
    "volumeattachments.storage.k8s.io": {
        "spec": {"attacher": "csi.example.com", "nodeName": "node", "source": {"persistentVolumeName": "volume"}}
    },
    "volumeattributesclasses.storage.k8s.io": {"driverName": "csi.example.com", "parameters": {"iops": "100"}},
    "leases.coordination.k8s.io": {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}},
    "ingresses.networking.k8s.io": {
        "spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
    },
    "ingressclasses.networking.k8s.io": {"spec": {"controller": "example.com/controller"}},
    "ipaddresses.networking.k8s.io": {"spec": {"parentRef": {"resource": "widgets", "group": "example.com", "name": "w"}}},
    "networkpolicies.networking.k8s.io": {"spec": {"podSelector": SELECTOR, "ingress": [{"from": [{"podSelector": {}}]}]}},
    "servicecidrs.networking.k8s.io": {"spec": {"cidrs": ["192.168.0.0/24"]}},
    "runtimeclasses.node.k8s.io": {"handler": "runc"},
    "certificatesigningrequests.certificates.k8s.io": {
        "spec": {"request": signing_request(), "signerName": "example.com/signer", "usages": ["client auth"]},
    },
    "deviceclasses.resource.k8s.io": {"spec": {"selectors": [{"cel": {"expression": 'device.driver == "dra.example.com"'}}]}},
    "resourceclaims.resource.k8s.io": {"spec": _DEVICES},
    "resourceclaimtemplates.resource.k8s.io": {"spec": {"spec": _DEVICES}},
    "resourceslices.resource.k8s.io": {
        "spec": {
            "driver": "dra.example.com",
            "pool": {"name": "pool", "generation": 1, "resourceSliceCount": 1},
            "nodeName": "node",
            "devices": [{"name": "gpu-0", "attributes": {"model": {"string": "a100"}}}],
        }
    },
    "flowschemas.flowcontrol.apiserver.k8s.io": {
        "spec": {
            "priorityLevelConfiguration": {"name": "global-default"},
            "rules": [
                {
                    "subjects": [{"kind": "User", "user": {"name": "alice"}}],
                    "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}],
                }
            ],
        }
    },
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": {
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
    },
    "roles.rbac.authorization.k8s.io": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    "clusterroles.rbac.authorization.k8s.io": {"rules": [{"nonResourceURLs": ["/healthz/*"], "verbs": ["get"]}]},
    "rolebindings.rbac.authorization.k8s.io": {
        "roleRef": {"kind": "Role", "name": "reader"},
        "subjects": [{"kind": "User", "name": "alice"}],
    },
    "clusterrolebindings.rbac.authorization.k8s.io": {
        "roleRef": {"kind": "ClusterRole", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}],
    },
    "endpointslices.discovery.k8s.io": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"]}], "ports": []},
}

STATUSES: dict[str, Object] = {
    "namespaces": {"phase": "Active", "conditions": [{"type": "Tested", "status": "True"}]},
    "nodes": {"capacity": {"cpu": "4"}},
    "persistentvolumes": {"phase": "Available"},
    "persistentvolumeclaims": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
    "pods": {"phase": "Running", "podIP": "10.244.0.9", "podIPs": [{"ip": "10.244.0.9"}]},
    "resourcequotas": {"hard": {"count/widgets.example.com": "5"}, "used": {"count/widgets.example.com": "1"}},
    "volumeattachments.storage.k8s.io": {"attached": True},
    "replicationcontrollers": {"replicas": 1},
    "services": {
        "conditions": [
            {
                "type": "example.com/Done",
                "status": "True",
                "reason": "Tested",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ]
    },
    "deployments.apps": {"replicas": 2, "observedGeneration": 1},
    "replicasets.apps": {"replicas": 2},
    "daemonsets.apps": {
        "currentNumberScheduled": 1,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 1,
        "numberReady": 1,
    },
    "statefulsets.apps": {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1},
    "cronjobs.batch": {"lastScheduleTime": "2026-01-01T00:00:00Z"},
    "horizontalpodautoscalers.autoscaling": {"currentReplicas": 1, "desiredReplicas": 2},
    "jobs.batch": {"active": 1},
    "certificatesigningrequests.certificates.k8s.io": {
        "conditions": [
            {
                "type": "Tested",
                "status": "True",
                "lastUpdateTime": "2026-01-01T00:00:00Z",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ]
    },
    **{
        f"{plural}.flowcontrol.apiserver.k8s.io": {"conditions": [{"type": "Tested", "status": "True"}]}
        for plural in ("flowschemas", "prioritylevelconfigurations")
    },
    "validatingadmissionpolicies.admissionregistration.k8s.io": {"observedGeneration": 1, "conditions": [_CONDITION]},
    "apiservices.apiregistration.k8s.io": {"conditions": [{"type": "Available", "status": "False", "reason": "Gone"}]},
    "customresourcedefinitions.apiextensions.k8s.io": {
        "conditions": [{"type": "Tested", "status": "True", "reason": "Tried"}],
        "storedVersions": ["v1"],
    },
    "ingresses.networking.k8s.io": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
    "resourceclaims.resource.k8s.io": {
        "allocation": {
            "devices": {"results": [{"request": "gpu", "driver": "dra.example.com", "pool": "pool", "device": "gpu-0"}]}
        }
    },
    "servicecidrs.networking.k8s.io": {
        "conditions": [
            {"type": "Tested", "status": "True", "reason": "", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        ]
    },
    "poddisruptionbudgets.policy": {
        "disruptionsAllowed": 1,
        "currentHealthy": 2,
        "desiredHealthy": 1,
        "expectedPods": 2,
        "observedGeneration": 1,
    },
}

STORED: tuple[Kind, ...] = tuple(
    kind
    for kind in registry.kinds()
    if "create" in kind.verbs and "get" in kind.verbs and registry.resource(kind.resource) is kind
)


# Kinds whose names say something. A name that is right already stays.
_NAMES: dict[str, Callable[[str], str]] = {
    "ipaddresses.networking.k8s.io": lambda text: _address_for(text) if [*names.ip_address(text)] else text,
    "apiservices.apiregistration.k8s.io": lambda text: text if text.startswith("v1.") else f"v1.{text.lower()}",
    "customresourcedefinitions.apiextensions.k8s.io": lambda text: text if "." in text else f"{_plural(text)}.example.com",
}
# Kinds whose objects say what they are named.
_SAID: dict[str, Callable[[str], Object]] = {
    "apiservices.apiregistration.k8s.io": lambda name: {"spec": {"group": name.partition(".")[2]}},
    "customresourcedefinitions.apiextensions.k8s.io": lambda name: {"spec": {"names": _names_of(name)}},
}


def _plural(text: str) -> str:
    return f"{text.lower()}s"


def _names_of(definition: str) -> Object:
    plural = definition.partition(".")[0]
    return {"plural": plural, "kind": plural.removesuffix("s").replace("-", "").capitalize()}


def _address_for(text: str) -> str:
    return f"192.0.2.{zlib.crc32(text.encode()) % 256}"


def name_of(kind: Kind, text: str) -> str:
    """A name that an object of this kind may have, the same for the same text."""
    return _NAMES.get(kind.resource, str)(text)


def sample(kind: Kind, name: str = "sample", namespace: str = "default", **metadata: Any) -> Object:
    """A new object, nobody else's."""
    name = name_of(kind, name)
    metadata = {"name": name, **metadata}
    if kind.namespaced:
        metadata["namespace"] = namespace
    obj: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **BODIES[kind.resource]}
    for field, said in _SAID.get(kind.resource, _nothing)(name).items():
        obj[field] = {**obj[field], **said}
    return copy.deepcopy(obj)


def _nothing(name: str) -> Object:
    return {}


def pod(name: str = "pod", namespace: str = "default", **spec: Any) -> Object:
    return sample(registry.resource("pods"), name, namespace) | {"spec": copy.deepcopy({**POD_SPEC, **spec})}

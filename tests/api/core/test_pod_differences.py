"""What refused updates of pods would have changed, as is said to who sent them."""

from __future__ import annotations

import pytest

from navarch.api.core import podupdate
from navarch.apimachinery.errors import Object
from tests.api.core.test_pod_updates import GATED, ONE, TOLERATED, ZONE, spec, terms
from tests.api.rules import on_update

POD_AFFINITY = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}}


@pytest.mark.parametrize(
    ("before", "change", "difference"),
    [
        # The new image may be, and is not shown.
        ({}, spec(containers=[{**ONE, "image": "other:2", "command": ["x"]}]), """\
@@ -5,7 +5,9 @@
   {
    "Name": "main",
    "Image": "registry.example/app:1",
-   "Command": null,
+   "Command": [
+    "x"
+   ],
    "Args": null,
    "WorkingDir": "",
    "Ports": null,
"""),
        (spec(containers=[{**ONE, "env": [{"name": "A", "value": "a"}]}]),
         spec(containers=[{**ONE, "env": [{"name": "A", "value": "<a> & b"}]}]), """\
@@ -13,7 +13,7 @@
    "Env": [
     {
      "Name": "A",
-     "Value": "a",
+     "Value": "\\u003ca\\u003e \\u0026 b",
      "ValueFrom": null
     }
    ],
"""),
        (spec(nodeName="a", tolerations=[TOLERATED]), spec(nodeName="b", tolerations=[TOLERATED, {"operator": "Exists"}]), """\
@@ -42,7 +42,7 @@
  "NodeSelector": null,
  "ServiceAccountName": "",
  "AutomountServiceAccountToken": null,
- "NodeName": "a",
+ "NodeName": "b",
  "SecurityContext": {
   "HostNetwork": false,
   "HostPID": false,
"""),
        ({}, spec(nodeSelector={"b": "1", "a": "2"}), """\
@@ -39,7 +39,10 @@
  "TerminationGracePeriodSeconds": 30,
  "ActiveDeadlineSeconds": null,
  "DNSPolicy": "ClusterFirst",
- "NodeSelector": null,
+ "NodeSelector": {
+  "a": "2",
+  "b": "1"
+ },
  "ServiceAccountName": "",
  "AutomountServiceAccountToken": null,
  "NodeName": "",
"""),
        (spec(terminationGracePeriodSeconds=5), spec(terminationGracePeriodSeconds=1, hostUsers=False), """\
@@ -36,7 +36,7 @@
  ],
  "EphemeralContainers": null,
  "RestartPolicy": "Always",
- "TerminationGracePeriodSeconds": 5,
+ "TerminationGracePeriodSeconds": 1,
  "ActiveDeadlineSeconds": null,
  "DNSPolicy": "ClusterFirst",
  "NodeSelector": null,
@@ -48,7 +48,7 @@
   "HostPID": false,
   "HostIPC": false,
   "ShareProcessNamespace": null,
-  "HostUsers": null,
+  "HostUsers": false,
   "SELinuxOptions": null,
   "WindowsOptions": null,
   "RunAsUser": null,
"""),
        ({}, spec(affinity=POD_AFFINITY | terms(ZONE)), """\
@@ -67,7 +67,39 @@
  "Hostname": "",
  "Subdomain": "",
  "SetHostnameAsFQDN": null,
- "Affinity": null,
+ "Affinity": {
+  "NodeAffinity": {
+   "RequiredDuringSchedulingIgnoredDuringExecution": {
+    "NodeSelectorTerms": [
+     {
+      "MatchExpressions": [
+       {
+        "Key": "zone",
+        "Operator": "Exists",
+        "Values": null
+       }
+      ],
+      "MatchFields": null
+     }
+    ]
+   },
+   "PreferredDuringSchedulingIgnoredDuringExecution": null
+  },
+  "PodAffinity": {
+   "RequiredDuringSchedulingIgnoredDuringExecution": [
+    {
+     "LabelSelector": null,
+     "Namespaces": null,
+     "TopologyKey": "zone",
+     "NamespaceSelector": null,
+     "MatchLabelKeys": null,
+     "MismatchLabelKeys": null
+    }
+   ],
+   "PreferredDuringSchedulingIgnoredDuringExecution": null
+  },
+  "PodAntiAffinity": null
+ },
  "SchedulerName": "default-scheduler",
  "Tolerations": null,
  "HostAliases": null,
"""),
        # Of a pod that waits, node affinity may change, and is not shown.
        (spec(**GATED), spec(affinity=POD_AFFINITY | terms(ZONE)), """\
@@ -67,7 +67,23 @@
  "Hostname": "",
  "Subdomain": "",
  "SetHostnameAsFQDN": null,
- "Affinity": null,
+ "Affinity": {
+  "NodeAffinity": null,
+  "PodAffinity": {
+   "RequiredDuringSchedulingIgnoredDuringExecution": [
+    {
+     "LabelSelector": null,
+     "Namespaces": null,
+     "TopologyKey": "zone",
+     "NamespaceSelector": null,
+     "MatchLabelKeys": null,
+     "MismatchLabelKeys": null
+    }
+   ],
+   "PreferredDuringSchedulingIgnoredDuringExecution": null
+  },
+  "PodAntiAffinity": null
+ },
  "SchedulerName": "default-scheduler",
  "Tolerations": null,
  "HostAliases": null,
"""),
        (spec(**GATED, affinity=POD_AFFINITY), spec(affinity={"podAffinity": None} | terms(ZONE)), """\
@@ -69,19 +69,7 @@
  "SetHostnameAsFQDN": null,
  "Affinity": {
   "NodeAffinity": null,
-  "PodAffinity": {
-   "RequiredDuringSchedulingIgnoredDuringExecution": [
-    {
-     "LabelSelector": null,
-     "Namespaces": null,
-     "TopologyKey": "zone",
-     "NamespaceSelector": null,
-     "MatchLabelKeys": null,
-     "MismatchLabelKeys": null
-    }
-   ],
-   "PreferredDuringSchedulingIgnoredDuringExecution": null
-  },
+  "PodAffinity": null,
   "PodAntiAffinity": null
  },
  "SchedulerName": "default-scheduler",
"""),
    ],
)  # fmt: skip
def test_who_changes_more_of_a_pod_is_shown_what(before: Object, change: Object, difference: str) -> None:
    assert on_update("pods", change, before) == [f"spec: Forbidden: {podupdate.UPDATABLE}\n{difference}"]

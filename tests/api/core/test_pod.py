"""What the server makes of a new pod."""

from __future__ import annotations

from tests.api.core.podchanges import spec
from tests.api.rules import made


def test_what_a_pod_leaves_open_is_filled_in() -> None:
    pod = made(
        "pods",
        {
            "spec": {
                "hostNetwork": True,
                "containers": [
                    {
                        "name": "main",
                        "image": "app",
                        "ports": [{"containerPort": 80}],
                        "resources": {"limits": {"cpu": "1", "memory": "0.0001"}},
                        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                        "livenessProbe": {"httpGet": {"port": 80}},
                        "lifecycle": {"stopSignal": "SIGTERM"},
                    }
                ],
            }
        },
    )
    container = pod["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "Always" and "lifecycle" not in container
    assert container["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
    assert container["resources"]["requests"] == container["resources"]["limits"] == {"cpu": "1", "memory": "1m"}
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    probe = {"failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1}
    assert container["livenessProbe"] == {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, **probe}
    assert pod["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}
    assert pod["spec"]["enableServiceLinks"] is True and pod["spec"]["terminationGracePeriodSeconds"] == 30


def test_a_grace_period_below_zero_is_one_second() -> None:
    assert made("pods", spec(terminationGracePeriodSeconds=-5))["spec"]["terminationGracePeriodSeconds"] == 1
    template = {"template": {"spec": {"containers": [{"name": "a", "image": "a"}], "terminationGracePeriodSeconds": -5}}}
    assert made("podtemplates", template)["template"]["spec"]["terminationGracePeriodSeconds"] == -5


def test_a_pod_that_waits_to_be_scheduled_has_done_so_since_it_was_made() -> None:
    pod = made("pods", {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, **spec(schedulingGates=[{"name": "a"}])})
    condition = pod["status"]["conditions"][0]
    assert (condition["reason"], condition["lastTransitionTime"]) == ("SchedulingGated", "2026-01-01T00:00:00Z")

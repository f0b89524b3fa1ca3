"""The official Python client: its models, its dynamic client and its watches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.https import HTTPSServer
from tests.apiserver.samples import TEMPLATE

kubernetes = pytest.importorskip("kubernetes")


@pytest.fixture(scope="module")
def client(https_server: HTTPSServer, kubeconfig: Path) -> Iterator[Any]:
    found = kubernetes.config.new_client_from_config(str(kubeconfig))
    core = kubernetes.client.CoreV1Api(found)
    core.create_namespace({"metadata": {"name": "python"}})
    core.create_namespaced_service_account("python", {"metadata": {"name": "default"}})
    try:
        yield found
    finally:
        found.close()
        found.rest_client.pool_manager.clear()


def test_typed_objects_live_through_all_verbs(client: Any) -> None:
    apps = kubernetes.client.AppsV1Api(client)
    models = kubernetes.client
    body = models.V1Deployment(
        metadata=models.V1ObjectMeta(name="web"),
        spec=models.V1DeploymentSpec(
            replicas=2, selector=models.V1LabelSelector(match_labels={"app": "web"}), template=TEMPLATE
        ),
    )
    made = apps.create_namespaced_deployment("python", body, field_validation="Strict")
    assert made.spec.replicas == 2 and made.spec.strategy.rolling_update.max_surge == "25%"
    made.spec.replicas = 4
    assert apps.replace_namespaced_deployment("web", "python", made).metadata.generation == 2
    scale = apps.patch_namespaced_deployment_scale("web", "python", {"spec": {"replicas": 1}})
    assert scale.spec.replicas == 1
    status = apps.patch_namespaced_deployment_status("web", "python", {"status": {"replicas": 1, "observedGeneration": 3}})
    assert status.status.observed_generation == 3
    listed = apps.list_namespaced_deployment("python", label_selector="!none", limit=1)
    assert [item.metadata.name for item in listed.items] == ["web"]
    assert apps.delete_namespaced_deployment("web", "python")["status"] == "Success"
    with pytest.raises(kubernetes.client.ApiException) as missing:
        apps.read_namespaced_deployment("web", "python")
    assert missing.value.status == 404


def test_errors_carry_the_status(client: Any) -> None:
    core = kubernetes.client.CoreV1Api(client)
    with pytest.raises(kubernetes.client.ApiException) as refused:
        core.create_namespaced_config_map("python", {"metadata": {"name": "No"}})
    assert (refused.value.status, refused.value.reason) == (422, "Unprocessable Entity")
    assert '"reason":"Invalid"' in refused.value.body


def test_watches_yield_typed_events(client: Any) -> None:
    core = kubernetes.client.CoreV1Api(client)
    watch = kubernetes.watch.Watch()
    version = core.list_namespaced_config_map("python").metadata.resource_version
    core.create_namespaced_config_map("python", {"metadata": {"name": "watched"}})
    core.delete_namespaced_config_map("watched", "python")
    stream = watch.stream(core.list_namespaced_config_map, "python", resource_version=version, timeout_seconds=5)
    seen = []
    for event in stream:
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 2:
            watch.stop()
    assert seen == [("ADDED", "watched"), ("DELETED", "watched")]


def test_the_dynamic_client_finds_every_kind(client: Any) -> None:
    dynamic = kubernetes.dynamic.DynamicClient(client)
    jobs = dynamic.resources.get(api_version="batch/v1", kind="Job")
    spec = {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}
    made = jobs.create(body={"metadata": {"name": "once"}, "spec": spec}, namespace="python")
    assert made.spec.completions == 1
    merged = jobs.patch(
        name="once", namespace="python", body={"spec": {"suspend": True}}, content_type="application/merge-patch+json"
    )
    assert merged.spec.suspend is True
    assert jobs.delete(name="once", namespace="python").status == "Success"


def test_the_version_and_groups_are_read(client: Any) -> None:
    assert kubernetes.client.VersionApi(client).get_code().minor == "36"
    groups = kubernetes.client.ApisApi(client).get_api_versions().groups
    assert "apps" in {group.name for group in groups}
    review = kubernetes.client.AuthenticationV1Api(client).create_self_subject_review({})
    assert review.status.user_info.username == "kubernetes-admin"

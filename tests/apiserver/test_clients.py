"""Client libraries other than the official Python one: each does what an operator written with it does first."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.https import HTTPSServer

JAVASCRIPT = Path(__file__).parent / "javascript"


@pytest.fixture(scope="module", autouse=True)
def namespaces(https_server: HTTPSServer) -> None:
    for name in ("kubernetes-asyncio", "lightkube", "kr8s", "javascript"):
        assert https_server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
        account = {"metadata": {"name": "default"}}
        assert https_server.ask("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)[0] == 201


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"of": "clients"}}, "data": data}


def test_kubernetes_asyncio_writes_lists_in_pages_and_watches(kubeconfig: Path) -> None:
    from kubernetes_asyncio import client, config, watch

    async def main() -> None:
        found = await config.new_client_from_config(str(kubeconfig))
        async with found:
            core = client.CoreV1Api(found)
            space = "kubernetes-asyncio"
            for name in ("a", "b", "c"):
                await core.create_namespaced_config_map(space, config_map(name))
            page = await core.list_namespaced_config_map(space, label_selector="of=clients", limit=2)
            rest = await core.list_namespaced_config_map(space, label_selector="of=clients", _continue=page.metadata._continue)
            assert [item.metadata.name for item in (*page.items, *rest.items)] == ["a", "b", "c"]
            patched = await core.patch_namespaced_config_map("a", space, {"data": {"k": "v"}})
            assert patched.data == {"k": "v"}
            await core.delete_namespaced_config_map("a", space)
            seen = []
            version = page.metadata.resource_version
            async with watch.Watch() as stream:
                async for event in stream.stream(core.list_namespaced_config_map, space, resource_version=version):
                    seen.append((event["type"], event["object"].metadata.name))
                    if event["type"] == "DELETED":
                        break
            assert seen == [("MODIFIED", "a"), ("DELETED", "a")]
            with pytest.raises(client.ApiException) as missing:
                await core.read_namespaced_config_map("a", space)
            assert (missing.value.status, json.loads(missing.value.body)["reason"]) == (404, "NotFound")

    asyncio.run(main())


def test_lightkube_applies_server_side_and_sees_conflicts(kubeconfig: Path) -> None:
    import lightkube
    from lightkube.core.exceptions import ApiError
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import ConfigMap

    config = lightkube.KubeConfig.from_file(kubeconfig)
    client = lightkube.Client(config=config, namespace="lightkube", field_manager="one")
    made = client.create(ConfigMap(metadata=ObjectMeta(name="a"), data={"k": "1"}))
    assert made.metadata is not None and made.metadata.namespace == "lightkube"
    typed = ConfigMap(metadata=ObjectMeta(name="applied"), apiVersion="v1", kind="ConfigMap", data={"k": "1"})
    assert client.apply(typed).data == {"k": "1"}
    typed.data = {"k": "2"}
    with pytest.raises(ApiError) as conflict:
        client.apply(typed, field_manager="two")
    assert conflict.value.status.code == 409
    assert client.apply(typed, field_manager="two", force=True).data == {"k": "2"}
    assert {item.metadata.name for item in client.list(ConfigMap)} >= {"a", "applied"}  # type: ignore[union-attr]
    event, obj = next(iter(client.watch(ConfigMap, fields={"metadata.name": "applied"})))
    assert (event, obj.data) == ("ADDED", {"k": "2"})
    with pytest.raises(ApiError) as missing:
        client.get(Deployment, "none")
    assert missing.value.status.reason == "NotFound"
    client.delete(ConfigMap, "a")
    # It leaves its connections to the end of the process.
    client._client._client.close()


# It has not heard of the newest Kubernetes yet.
@pytest.mark.filterwarnings("ignore:Kubernetes version:UserWarning")
def test_kr8s_discovers_scales_and_waits(kubeconfig: Path) -> None:
    import kr8s.asyncio
    from kr8s.asyncio.objects import Deployment

    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}

    async def main() -> None:
        api = await kr8s.asyncio.api(kubeconfig=str(kubeconfig), namespace="kr8s")
        deployment = await Deployment({"metadata": {"name": "web"}, "spec": spec}, namespace="kr8s", api=api)
        await deployment.create()
        assert await deployment.exists()
        await deployment.scale(3)
        await deployment.refresh()
        assert deployment.spec["replicas"] == 3
        await deployment.label({"tier": "front"})
        assert [found.name async for found in api.get("deployments", label_selector={"tier": "front"})] == ["web"]
        await deployment.patch({"spec": {"paused": True}})
        assert deployment.raw["spec"]["paused"] is True
        await deployment.delete()
        assert not await deployment.exists()
        # It leaves its connections to the end of the process.
        await api._session.aclose()

    asyncio.run(main())


def test_the_javascript_client_lists_patches_and_watches(kubeconfig: Path, tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    assert npm and node, "make setup installs Node.js"
    for file in JAVASCRIPT.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    subprocess.run([npm, "ci", "--silent", "--no-audit", "--no-fund"], cwd=tmp_path, check=True, timeout=120)
    done = subprocess.run(
        [node, "client.mjs", str(kubeconfig), "javascript"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "created": ["a", "b"],
        "patched": {"k": "v"},
        "scaled": 3,
        "missing": 404,
        "events": [["ADDED", "a"], ["MODIFIED", "a"], ["DELETED", "a"]],
    }

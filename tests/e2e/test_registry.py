"""Images from a registry, with a password that pods bring along."""

from __future__ import annotations

import json
from pathlib import Path

from navarch.cri.images import pause
from navarch.cri.images.oci import ImageConfig, Tree, write_archive
from tests.e2e.conftest import Cluster
from tests.e2e.test_pods import pod
from tests.registry import content_of, registry

BRIDGE_ADDRESS = "10.89.0.1"
PASSWORD = "sesame"


def test_a_private_image_is_pulled_with_the_pods_secret(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    tree = Tree()
    tree.file("bin/busybox", Path("/bin/busybox").read_bytes(), mode=0o755)
    digest = write_archive(tree, ImageConfig(architecture=pause.architecture()), "private:1", tmp_path / "private.tar")
    with registry(content_of(tmp_path / "private.tar"), digest, host=BRIDGE_ADDRESS, password=PASSWORD) as port:
        host = f"{BRIDGE_ADDRESS}:{port}"
        for node in (cluster.data_dir / "nodes").iterdir():
            # As containerd documents it: this registry speaks plain HTTP.
            hosts = node / "certs.d" / host
            hosts.mkdir(parents=True)
            (hosts / "hosts.toml").write_text(f'server = "http://{host}"\n[host."http://{host}"]\n')
        image = f"{host}/team/private:1"
        container = {"image": image, "imagePullPolicy": "Always"}
        locked = pod("locked", "/bin/busybox", "sleep", "1000", container=dict(container))
        cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=locked)
        cluster.kubectl(
            *("create", "secret", "docker-registry", "key", "-n", namespace),
            *(f"--docker-server={host}", "--docker-username=user", f"--docker-password={PASSWORD}"),
        )
        secrets = [{"name": "key"}]
        opened = pod("opened", "/bin/busybox", "sleep", "1000", container=dict(container), imagePullSecrets=secrets)
        cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=opened)
        cluster.wait_ready(namespace, "app=opened", 1)

        def refused() -> bool:
            statuses = cluster.get("pod", "locked", "-n", namespace)["status"].get("containerStatuses") or [{}]
            waiting = statuses[0].get("state", {}).get("waiting", {})
            return waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff")

        cluster.wait("a refusal without the secret", refused)
        events = json.loads(cluster.kubectl("get", "events", "-n", namespace, "-o", "json"))["items"]
        said = {event["message"] for event in events if event["involvedObject"]["name"] == "opened"}
        assert any(text.startswith(f'Successfully pulled image "{image}" in ') for text in said), said

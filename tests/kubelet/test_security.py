"""Security contexts as the runtime is told them."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.cri import runtime_pb2 as pb
from navarch.kubelet import security
from navarch.kubelet.env import ConfigError
from tests.kubelet.pods import container, pod

ROOT = pb.Image(id="sha256:1", uid=pb.Int64Value(value=0))
NAMED = pb.Image(id="sha256:1", username="web")


def context(of_container: dict[str, Any], of_pod: dict[str, Any] | None = None, image: pb.Image = ROOT) -> Any:
    spec = container(securityContext=of_container)
    return security.container_context(pod(spec, securityContext=of_pod or {}), spec, image, "/seccomp")


def test_the_containers_word_wins_over_the_pods() -> None:
    found = context({"runAsUser": 5}, {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4]})
    assert (found.run_as_user.value, found.run_as_group.value, list(found.supplemental_groups)) == (5, 2, [3, 4])


def test_the_images_user_counts_where_nobody_says_otherwise() -> None:
    assert context({}).run_as_user.value == 0
    assert context({}, image=NAMED).run_as_username == "web"
    assert context({"runAsUser": 7}, image=NAMED).run_as_username == ""


@pytest.mark.parametrize(
    ("fields", "image", "message"),
    [
        ({}, ROOT, "container has runAsNonRoot and image will run as root"),
        ({}, NAMED, r"container has runAsNonRoot and image has non-numeric user \(web\), cannot verify user is non-root"),
        ({"runAsUser": 0}, NAMED, "container's runAsUser breaks non-root policy"),
    ],
)
def test_root_is_refused_where_it_is_forbidden(fields: dict[str, Any], image: pb.Image, message: str) -> None:
    with pytest.raises(ConfigError, match=rf'{message} \(pod: "p_default\(u-1\)", container: c\)'):
        context({"runAsNonRoot": True, **fields}, image=image)
    assert context({"runAsNonRoot": True, "runAsUser": 1}).run_as_user.value == 1


def test_privileged_containers_see_everything() -> None:
    found = context({"privileged": True})
    assert found.privileged and not found.masked_paths and not found.readonly_paths
    plain = context({})
    assert "/proc/kcore" in plain.masked_paths and "/proc/sys" in plain.readonly_paths
    assert security.any_privileged(pod(container(securityContext={"privileged": True})))


def test_seccomp_profiles() -> None:
    profile = pb.SecurityProfile
    assert context({}).seccomp.profile_type == profile.Unconfined
    assert context({}, {"seccompProfile": {"type": "RuntimeDefault"}}).seccomp.profile_type == profile.RuntimeDefault
    local = context({"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}}).seccomp
    assert (local.profile_type, local.localhost_ref) == (profile.Localhost, "/seccomp/a.json")


def test_escalation_and_capabilities() -> None:
    assert context({"allowPrivilegeEscalation": False}).no_new_privs
    assert not context({}).no_new_privs
    found = context({"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}).capabilities
    assert (list(found.add_capabilities), list(found.drop_capabilities)) == (["NET_ADMIN"], ["ALL"])


def test_namespaces() -> None:
    plain = security.namespaces(pod())
    assert (plain.network, plain.pid, plain.ipc) == (pb.POD, pb.CONTAINER, pb.POD)
    host = security.namespaces(pod(hostNetwork=True, hostPID=True, hostIPC=True))
    assert (host.network, host.pid, host.ipc) == (pb.NODE, pb.NODE, pb.NODE)
    assert security.namespaces(pod(shareProcessNamespace=True)).pid == pb.POD
    target = security.namespaces(pod(), "c-0")
    assert (target.pid, target.target_id) == (pb.TARGET, "c-0")


def test_unsafe_sysctls_need_the_nodes_leave() -> None:
    wanted = pod(
        securityContext={
            "sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}, {"name": "kernel.msgmax", "value": "1"}]
        }
    )
    assert security.forbidden_sysctls(wanted, ()) == ["kernel.msgmax"]
    assert security.forbidden_sysctls(wanted, ("kernel.msg*",)) == []

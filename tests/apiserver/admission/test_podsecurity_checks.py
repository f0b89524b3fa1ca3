"""The checks of the Pod Security Standards: what each allows and refuses, in which version, in whose words."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apimachinery import remember
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.podsecurity import evaluation
from navarch.apiserver.admission.podsecurity.evaluation import CHECKS, NEWEST, Verdict, checks, evaluate
from navarch.apiserver.admission.podsecurity.levels import BASELINE, LATEST, PRIVILEGED, RESTRICTED, LevelVersion

APP_ARMOR, SECCOMP = "container.apparmor.security.beta.kubernetes.io/", "container.seccomp.security.alpha.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
Expected = tuple[str, str] | None


def found(name: str, version: int, spec: Object, annotations: dict[str, str] | None = None) -> Expected:
    """The reason and the detail that a check finds."""
    (check,) = (each for each in CHECKS if each.name == name)
    revision = check.at(version)
    assert revision is not None
    violation = revision(annotations or {}, spec)
    return None if violation is None else (violation.reason, violation.detail)


def with_security(*contexts: Object | None, **spec: Any) -> Object:
    """A spec of containers a, b, c... with these security contexts."""
    listed = [
        {"name": name, **({} if context is None else {"securityContext": context})}
        for name, context in zip("abcdefgh", contexts, strict=False)
    ]
    return {"containers": listed, **spec}


def pod_and(context: Object, *contexts: Object | None, **spec: Any) -> Object:
    return with_security(*contexts, securityContext=context, **spec)


WINDOWS, LINUX = {"os": {"name": "windows"}}, {"os": {"name": "linux"}}
CAPABILITIES = with_security(
    {"capabilities": {"add": ["FOO", "BAR"]}},
    {"capabilities": {"add": ["BAR", "BAZ"]}},
    {"capabilities": {"add": ["NET_BIND_SERVICE", "CHOWN"], "drop": ["ALL", "FOO"]}},
)
UNCAPPED = (
    "unrestricted capabilities",
    'containers "a", "b" must set securityContext.capabilities.drop=["ALL"]; '
    'containers "a", "b", "c" must not include "BAR", "BAZ", "CHOWN", "FOO" in securityContext.capabilities.add',
)
MOUNTS = ({}, {"procMount": "Default"}, {"procMount": "Unmasked"}, {"procMount": "other"})
UNMASKED = ("procMount", 'containers "c", "d" must not set securityContext.procMount to "Unmasked", "other"')
ESCALATING = with_security(None, {}, {"allowPrivilegeEscalation": True}, {"allowPrivilegeEscalation": False})
ESCALATION = ("allowPrivilegeEscalation != false", "{} must set securityContext.allowPrivilegeEscalation=false")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"hostNetwork": False}, None),
        ({"hostPID": True}, "hostPID=true"),
        ({"hostIPC": True, "hostPID": True, "hostNetwork": True}, "hostNetwork=true, hostPID=true, hostIPC=true"),
    ],
)
def test_host_namespaces(spec: Object, expected: str | None) -> None:
    assert found("hostNamespaces", 0, spec) == (expected and ("host namespaces", expected))


def test_host_paths() -> None:
    volumes = [{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "hostPath": {}}, {"name": "c", "emptyDir": {}}]
    assert found("hostPathVolumes", 0, {"volumes": volumes}) == ("hostPath volumes", 'volumes "a", "b"')
    assert found("hostPathVolumes", 0, {"volumes": volumes[1:]}) == ("hostPath volumes", 'volume "b"')
    assert found("hostPathVolumes", 0, {"volumes": volumes[2:]}) is None


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        (((0,), (0,)), None),
        (((0,), (0, 20)), 'container "b" uses hostPort 20'),
        (((0,), (0, 10, 20), (0, 10, 30)), 'containers "b", "c" use hostPorts 10, 20, 30'),
    ],
)
def test_host_ports(ports: tuple[tuple[int, ...], ...], expected: str | None) -> None:
    listed = [{"name": name, "ports": [{"hostPort": port} for port in each]} for name, each in zip("abc", ports, strict=False)]
    assert found("hostPorts", 0, {"containers": listed}) == (expected and ("hostPort", expected))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"port": 1}}, "lifecycle": {"preStop": {}}}]}, None),
        (
            {
                "containers": [
                    {
                        "name": "a",
                        "livenessProbe": {"httpGet": {"host": "127.0.0.1"}},
                        "readinessProbe": {"tcpSocket": {"host": "::1"}},
                        "startupProbe": {"httpGet": {"host": "localhost"}},
                    }
                ]
            },
            'container "a" uses probe or lifecycle hosts "127.0.0.1", "::1", "localhost"',
        ),
        (
            {"containers": [{"name": "d", "lifecycle": {"postStart": {"tcpSocket": {"host": "b.com"}}}}]},
            'container "d" uses probe or lifecycle host "b.com"',
        ),
        (
            {"initContainers": [{"name": "init", "livenessProbe": {"httpGet": {"host": "a.com"}}}]},
            'container "init" uses probe or lifecycle host "a.com"',
        ),
        (
            {
                "containers": [
                    {"name": "y", "livenessProbe": {"httpGet": {"host": "a.com"}}},
                    {"name": "fine"},
                    {
                        "name": "x",
                        "lifecycle": {"preStop": {"tcpSocket": {"host": "b.com"}}},
                        "startupProbe": {"httpGet": {"host": "a.com"}},
                    },
                ]
            },
            'containers "x", "y" use probe or lifecycle hosts "a.com", "b.com"',
        ),
    ],
)
def test_hosts_of_probes(spec: Object, expected: str | None) -> None:
    assert found("hostProbesAndHostLifecycle", 34, spec) == (expected and ("probe or lifecycle host", expected))


def test_host_processes() -> None:
    contexts = [{"windowsOptions": {"hostProcess": value}} for value in (False, True, True)]
    told = "must not set securityContext.windowsOptions.hostProcess=true"
    both = pod_and(contexts[1], None, {}, *contexts)
    assert found("windowsHostProcess", 0, both) == ("hostProcess", f'pod and containers "d", "e" {told}')
    assert found("windowsHostProcess", 0, pod_and(contexts[1])) == ("hostProcess", f"pod {told}")
    assert found("windowsHostProcess", 0, pod_and(contexts[0], contexts[0])) is None


def test_volumes_of_restricted_types() -> None:
    allowed = (
        *("emptyDir", "secret", "persistentVolumeClaim", "downwardAPI", "configMap", "projected", "csi", "ephemeral"),
        "image",
    )
    restricted = (
        *("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "fc", "flexVolume", "flocker"),
        *("gcePersistentDisk", "gitRepo", "glusterfs", "hostPath", "iscsi", "nfs", "photonPersistentDisk", "portworxVolume"),
        *("quobyte", "rbd", "scaleIO", "storageos"),
    )
    fine = [{"name": source, source: {}} for source in allowed]
    bad = [{"name": f"b{number}", source: {}} for number, source in enumerate(restricted)]
    assert found("restrictedVolumes", 0, {"volumes": fine}) is None
    named = ", ".join(f'"{volume["name"]}"' for volume in bad)
    types = ", ".join(f'"{source}"' for source in (*restricted, "unknown"))
    assert found("restrictedVolumes", 0, {"volumes": [*fine, *bad, {"name": "c", "hostPath": None}]}) == (
        "restricted volume types",
        f'volumes {named}, "c" use restricted volume types {types}',
    )
    assert found("restrictedVolumes", 0, {"volumes": [{"name": "n", "nfs": {}}]}) == (
        "restricted volume types",
        'volume "n" uses restricted volume type "nfs"',
    )


def test_privileged_containers() -> None:
    contexts = ({}, {"privileged": False}, {"privileged": True}, {"privileged": True})
    assert found("privileged", 0, with_security(None, *contexts)) == (
        "privileged",
        'containers "d", "e" must not set securityContext.privileged=true',
    )
    assert found("privileged", 0, with_security(None, *contexts[:2])) is None


@pytest.mark.parametrize("field", ["initContainers", "containers", "ephemeralContainers"])
def test_every_kind_of_container_is_looked_at(field: str) -> None:
    spec = {"containers": [{"name": "main"}], field: [{"name": "it", "securityContext": {"privileged": True}}]}
    assert found("privileged", 0, spec) == ("privileged", 'container "it" must not set securityContext.privileged=true')


def test_capabilities_of_the_baseline() -> None:
    assert found("capabilities_baseline", 0, CAPABILITIES) == (
        "non-default capabilities",
        'containers "a", "b" must not include "BAR", "BAZ", "FOO" in securityContext.capabilities.add',
    )
    assert found("capabilities_baseline", NEWEST, {**CAPABILITIES, "hostUsers": False}) is not None
    assert found("capabilities_baseline", 0, with_security(None, {}, {"capabilities": {"add": ["CHOWN"]}})) is None


@pytest.mark.parametrize(
    ("name", "since", "spec", "expected"),
    [
        ("capabilities_restricted", 22, CAPABILITIES, UNCAPPED),
        (
            "capabilities_restricted",
            22,
            with_security(None),
            (UNCAPPED[0], 'container "a" must set securityContext.capabilities.drop=["ALL"]'),
        ),
        ("allowPrivilegeEscalation", 8, ESCALATING, (ESCALATION[0], ESCALATION[1].format('containers "a", "b", "c"'))),
        ("allowPrivilegeEscalation", 8, with_security(None), (ESCALATION[0], ESCALATION[1].format('container "a"'))),
        (
            "seccompProfile_restricted",
            19,
            with_security(None),
            (
                "seccompProfile",
                'pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
            ),
        ),
    ],
)
def test_what_windows_has_not_is_not_asked_of_it_since_1_25(name: str, since: int, spec: Object, expected: Expected) -> None:
    assert [found(name, since, {**spec, **system}) for system in ({}, WINDOWS, LINUX)] == [expected] * 3
    assert [found(name, 25, {**spec, **system}) for system in ({}, WINDOWS, LINUX)] == [expected, None, expected]


def test_capabilities_that_are_dropped_all() -> None:
    context = {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    assert found("capabilities_restricted", 22, with_security(context)) is None


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (pod_and({"runAsUser": 0}, None), "pod must not set runAsUser=0"),
        (pod_and({"runAsUser": 1000}, None), None),
        (pod_and({}, None), None),
        (
            pod_and({"runAsUser": 1000}, None, {}, {"runAsUser": 0}, {"runAsUser": 0}, {"runAsUser": 1}),
            'containers "c", "d" must not set runAsUser=0',
        ),
        (pod_and({"runAsUser": 0}, {"runAsUser": 0}), 'pod and container "a" must not set runAsUser=0'),
    ],
)
def test_the_user_root(spec: Object, expected: str | None) -> None:
    reason = expected and ("runAsUser=0", expected)
    assert found("runAsUser", 23, spec) == found("runAsUser", 35, spec) == reason
    assert found("runAsUser", 34, {**spec, "hostUsers": False}) == reason
    assert found("runAsUser", 35, {**spec, "hostUsers": False}) is None
    assert found("runAsUser", 35, {**spec, "hostUsers": True}) == reason


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (with_security(None), 'pod or container "a" must set securityContext.runAsNonRoot=true'),
        (pod_and({"runAsNonRoot": False}, None), "pod must not set securityContext.runAsNonRoot=false"),
        (
            pod_and({"runAsNonRoot": True}, None, {}, *[{"runAsNonRoot": value} for value in (False, False, True)]),
            'containers "c", "d" must not set securityContext.runAsNonRoot=false',
        ),
        (
            with_security(None, {}, {"runAsNonRoot": True}),
            'pod or containers "a", "b" must set securityContext.runAsNonRoot=true',
        ),
        (pod_and({"runAsNonRoot": True}, None, {}), None),
        (with_security({"runAsNonRoot": True}), None),
    ],
)
def test_running_as_nobody_in_particular(spec: Object, expected: str | None) -> None:
    reason = expected and ("runAsNonRoot != true", expected)
    assert found("runAsNonRoot", 0, spec) == found("runAsNonRoot", 35, spec) == reason
    assert found("runAsNonRoot", 34, {**spec, "hostUsers": False}) == reason
    assert found("runAsNonRoot", 35, {**spec, "hostUsers": False}) is None


def test_an_unmasked_proc_needs_a_user_namespace_since_1_35_and_is_restricted_all_the_same() -> None:
    spec = with_security(*MOUNTS)
    inside = {**spec, "hostUsers": False}
    assert found("procMount", 0, spec) == found("procMount", 35, spec) == UNMASKED
    assert found("procMount", 34, inside) == found("procMount_restricted", 35, inside) == UNMASKED
    assert found("procMount", 35, inside) is None
    assert found("procMount", 0, with_security(*MOUNTS[:2])) is None


@pytest.mark.parametrize(
    ("spec", "annotations", "expected"),
    [
        ({}, {APP_ARMOR + "a": "runtime/default", APP_ARMOR + "b": "localhost/x", APP_ARMOR + "c": "", "other": "x"}, None),
        (pod_and({"appArmorProfile": {"type": "RuntimeDefault"}}, {"appArmorProfile": {"type": "Localhost"}}), {}, None),
        (
            pod_and({"appArmorProfile": {"type": "Unconfined"}}),
            {},
            ("profile", 'pod must not set AppArmor profile type to "Unconfined"'),
        ),
        (
            pod_and({"appArmorProfile": {"type": "Unconfined"}}, {"appArmorProfile": {"type": "Unconfined"}}),
            {},
            ("profile", 'pod and container "a" must not set AppArmor profile type to "Unconfined"'),
        ),
        (
            with_security({"appArmorProfile": {"type": "Unconfined"}}),
            {APP_ARMOR + "f": "unknown", APP_ARMOR + "e": "unconfined"},
            (
                "profiles",
                'container "a" and annotations must not set AppArmor profile type to "Unconfined", '
                f'"{APP_ARMOR}e="unconfined"", "{APP_ARMOR}f="unknown""',
            ),
        ),
        (
            {},
            {APP_ARMOR: "bogus"},
            ("profile", f'annotation must not set AppArmor profile type to "{APP_ARMOR}="bogus""'),
        ),
    ],
)
def test_app_armor(spec: Object, annotations: dict[str, str], expected: tuple[str, str] | None) -> None:
    reason = expected and (f"forbidden AppArmor {expected[0]}", expected[1])
    assert found("appArmorProfile", 0, spec, annotations) == reason


SELINUX_FINE = [{"seLinuxOptions": {"type": kind}} for kind in ("container_t", "container_init_t", "container_kvm_t", "")]
SELINUX_BAD = [{"seLinuxOptions": options} for options in ({"type": "bar"}, {"user": "bar"}, {"role": "baz"})]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (with_security(None, {}, *SELINUX_FINE), None),
        (
            pod_and({"seLinuxOptions": {"type": "foo", "user": "bar", "role": "baz"}}, *SELINUX_FINE, *SELINUX_BAD),
            'pod and containers "e", "f", "g"|types "bar", "foo"; user may not be set; role may not be set',
        ),
        (pod_and({"seLinuxOptions": {"role": "bad", "level": "s0"}}), "pod|role may not be set"),
        (pod_and({"seLinuxOptions": {}}, SELINUX_BAD[1]), 'container "a"|user may not be set'),
        (pod_and({"seLinuxOptions": {"type": "bad"}}), 'pod|type "bad"'),
    ],
)
def test_selinux(spec: Object, expected: str | None) -> None:
    text = " set forbidden securityContext.seLinuxOptions: "
    assert found("seLinuxOptions", 0, spec) == (expected and ("seLinuxOptions", expected.replace("|", text)))
    assert found("seLinuxOptions", 31, spec) == found("seLinuxOptions", 0, spec)


def test_containers_may_be_engines_of_containers_since_1_31() -> None:
    spec = with_security({"seLinuxOptions": {"type": "container_engine_t"}})
    told = 'container "a" set forbidden securityContext.seLinuxOptions: type "container_engine_t"'
    assert found("seLinuxOptions", 30, spec) == ("seLinuxOptions", told)
    assert found("seLinuxOptions", 31, spec) is None


def seccomp(kind: str) -> Object:
    return {"seccompProfile": {"type": kind}}


SOME_UNCONFINED = (None, {}, *map(seccomp, ("Unconfined", "Unconfined", "RuntimeDefault", "Localhost")))
NOT_UNCONFINED = 'must not set securityContext.seccompProfile.type to "Unconfined"'


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (pod_and(seccomp("Unconfined"), None), f"pod {NOT_UNCONFINED}"),
        (pod_and(seccomp("RuntimeDefault"), *SOME_UNCONFINED), f'containers "c", "d" {NOT_UNCONFINED}'),
        (pod_and(seccomp("Unconfined"), *SOME_UNCONFINED), f'pod and containers "c", "d" {NOT_UNCONFINED}'),
        (pod_and(seccomp("Localhost"), None, {}), None),
    ],
)
def test_seccomp(spec: Object, expected: str | None) -> None:
    reason = expected and ("seccompProfile", expected)
    assert found("seccompProfile_baseline", 19, spec) == found("seccompProfile_restricted", 19, spec) == reason


def test_seccomp_must_be_set_only_where_that_is_restricted() -> None:
    spec = with_security(None, {}, seccomp("RuntimeDefault"), seccomp("Localhost"))
    assert found("seccompProfile_baseline", 19, spec) is None
    assert found("seccompProfile_restricted", 19, spec) == (
        "seccompProfile",
        'pod or containers "a", "b" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
    )


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({SECCOMP_POD: "runtime/default", SECCOMP + "a": "docker/default", SECCOMP + "b": "localhost/x"}, None),
        ({SECCOMP_POD: "unconfined"}, f'annotation {SECCOMP_POD}="unconfined"'),
        ({SECCOMP + "elsewhere": "unconfined"}, None),
        (
            {SECCOMP_POD: "unconfined", SECCOMP + "b": "unknown", SECCOMP + "a": ""},
            f'annotations {SECCOMP}a="", {SECCOMP}b="unknown", {SECCOMP_POD}="unconfined"',
        ),
    ],
)
def test_seccomp_was_an_annotation_before_1_19(annotations: dict[str, str], expected: str | None) -> None:
    reason = expected and ("seccompProfile", f"forbidden {expected}")
    assert found("seccompProfile_baseline", 18, with_security(None, None), annotations) == reason
    assert found("seccompProfile_baseline", 19, with_security(None, None), annotations) is None


@pytest.mark.parametrize(
    ("since", "sysctl"),
    [
        (0, "kernel.shm_rmid_forced"),
        (0, "net.ipv4.ip_local_port_range"),
        (0, "net.ipv4.tcp_syncookies"),
        (0, "net.ipv4.ping_group_range"),
        (0, "net.ipv4.ip_unprivileged_port_start"),
        (27, "net.ipv4.ip_local_reserved_ports"),
        (29, "net.ipv4.tcp_keepalive_time"),
        (29, "net.ipv4.tcp_fin_timeout"),
        (29, "net.ipv4.tcp_keepalive_intvl"),
        (29, "net.ipv4.tcp_keepalive_probes"),
        (32, "net.ipv4.tcp_rmem"),
        (32, "net.ipv4.tcp_wmem"),
        (99, "net.ipv4.tcp_slow_start_after_idle"),
    ],
)
def test_sysctls_are_safe_since_a_version(since: int, sysctl: str) -> None:
    spec = pod_and({"sysctls": [{"name": sysctl, "value": "1"}]})
    allowing = [found("sysctls", version, spec) is None for version in range(NEWEST + 1)]
    assert allowing == [version >= since for version in range(NEWEST + 1)]


def test_sysctls_are_named_as_they_come() -> None:
    spec = pod_and({"sysctls": [{"name": name} for name in ("z", "net.ipv4.tcp_syncookies", "a")]})
    assert found("sysctls", NEWEST, spec) == ("forbidden sysctls", "z, a")


# All together


def test_versions_have_the_checks_that_there_were() -> None:
    counts = {version: (len(checks(BASELINE, version)), len(checks(RESTRICTED, version))) for version in range(NEWEST + 1)}
    assert counts[0] == (11, 12)
    changes = {version: counts[version] for version in range(1, NEWEST + 1) if counts[version] != counts[version - 1]}
    # Restricted seccomp, capabilities and procMount take the place of the baseline's.
    assert changes == {8: (11, 13), 23: (11, 14), 34: (12, 15)}
    assert NEWEST == 35


RESTRICTED_POD: Object = {
    "spec": pod_and(
        {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    )
}


@pytest.mark.parametrize("version", [*range(NEWEST + 2), LATEST])
def test_a_pod_that_asks_for_little_is_allowed_in_every_version(version: int) -> None:
    assert evaluate(LevelVersion(RESTRICTED, version), RESTRICTED_POD).allows
    assert evaluate(LevelVersion(BASELINE, version), {"spec": with_security(None)}).allows
    assert evaluate(LevelVersion(PRIVILEGED, version), {"spec": {"hostNetwork": True}}).allows
    assert not evaluate(LevelVersion(BASELINE, version), {"spec": {"hostNetwork": True}}).allows


def test_reasons_are_in_order_the_baselines_first() -> None:
    volumes = [{"name": "v", "hostPath": {"path": "/"}}]
    spec = with_security({"privileged": True}, hostNetwork=True, hostIPC=True, volumes=volumes)
    verdict = evaluate(LevelVersion(RESTRICTED, LATEST), {"spec": spec})
    assert verdict.reason == (
        "host namespaces, privileged, allowPrivilegeEscalation != false, unrestricted capabilities, "
        "restricted volume types, runAsNonRoot != true, seccompProfile"
    )
    assert verdict.detail == (
        'host namespaces (hostNetwork=true, hostIPC=true), privileged (container "a" must not set '
        'securityContext.privileged=true), allowPrivilegeEscalation != false (container "a" must set '
        'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "a" must set '
        'securityContext.capabilities.drop=["ALL"]), restricted volume types (volume "v" uses restricted volume type '
        '"hostPath"), runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )
    baseline = evaluate(LevelVersion(BASELINE, LATEST), {"spec": spec})
    assert baseline.reason == "host namespaces, hostPath volumes, privileged"


def test_what_was_found_of_a_shared_spec_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    real = evaluation._evaluate

    def counting(*arguments: Any) -> Verdict:
        looked.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(evaluation, "_evaluate", counting)
    spec = remember.Shared(with_security(None))
    restricted, newest = LevelVersion(RESTRICTED, LATEST), LevelVersion(RESTRICTED, NEWEST)
    first = evaluate(restricted, {"metadata": {"annotations": {"any": "1"}}, "spec": spec})
    assert evaluate(newest, {"metadata": {}, "spec": spec}) is first
    assert len(looked) == 1
    # What else is looked at counts, too.
    unconfined = {"metadata": {"annotations": {APP_ARMOR + "a": "unconfined"}}, "spec": spec}
    assert evaluate(restricted, unconfined).reason.startswith("forbidden AppArmor profile, ")
    assert evaluate(LevelVersion(BASELINE, LATEST), {"metadata": {}, "spec": spec}).allows
    assert len(looked) == 3

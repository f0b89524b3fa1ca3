"""The file in which a cluster says what it asks of namespaces without labels, and whom it asks nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from navarch.apiserver.admission.podsecurity.configuration import ConfigurationError, PodSecurityConfiguration, load
from navarch.apiserver.admission.podsecurity.levels import LATEST, NOTHING, LevelVersion, Policy

OUTER = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
INNER = {"apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration"}
EVERYTHING: dict[str, Any] = {
    **INNER,
    "defaults": {"enforce": "baseline", "enforce-version": "v1.30", "audit": "restricted", "warn-version": "latest"},
    "exemptions": {"usernames": ["alice"], "runtimeClasses": ["vm"], "namespaces": ["kube-system", "infra"]},
}
MEANT = PodSecurityConfiguration(
    defaults=Policy(LevelVersion("baseline", 30), LevelVersion("restricted", LATEST), NOTHING),
    exempt_usernames=frozenset({"alice"}),
    exempt_runtime_classes=frozenset({"vm"}),
    exempt_namespaces=frozenset({"kube-system", "infra"}),
)


def written(path: Path, content: Any) -> Path:
    path.write_bytes(orjson.dumps(content))
    return path


def inner(tmp_path: Path, **content: Any) -> Path:
    plugin = {"name": "PodSecurity", "configuration": {**INNER, **content}}
    return written(tmp_path / "admission.yaml", {**OUTER, "plugins": [plugin]})


def test_all_of_it(tmp_path: Path) -> None:
    assert load(inner(tmp_path, **EVERYTHING)) == MEANT


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_it_may_stand_beside(tmp_path: Path, version: str) -> None:
    content = {**EVERYTHING, "apiVersion": f"pod-security.admission.config.k8s.io/{version}"}
    written(tmp_path / "podsecurity.yaml", content)
    plugin = {"name": "PodSecurity", "path": "podsecurity.yaml"}
    assert load(written(tmp_path / "admission.yaml", {**OUTER, "plugins": [plugin]})) == MEANT


@pytest.mark.parametrize("plugins", [None, [], [{"name": "PodSecurity"}]])
def test_what_is_not_said_is_the_default(tmp_path: Path, plugins: Any) -> None:
    assert load(written(tmp_path / "admission.yaml", {**OUTER, "plugins": plugins})) == PodSecurityConfiguration()
    assert load(inner(tmp_path, defaults={}, exemptions=None)) == PodSecurityConfiguration()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"defaults": {"enforce": "baslein", "enforce-version": "v.122", "audit": "lorum", "audit-version": 1}},
            'defaults.enforce: Invalid value: "baslein": must be one of privileged, baseline, restricted; '
            'defaults.enforce-version: Invalid value: "v.122": must be "latest" or "v1.x"; '
            'defaults.audit: Invalid value: "lorum": must be one of privileged, baseline, restricted; '
            'defaults.audit-version: Invalid value: 1: must be "latest" or "v1.x"',
        ),
        (
            {"exemptions": {"namespaces": ["a", "a"], "runtimeClasses": ["b", "c", "b"], "usernames": ["", "d"]}},
            'exemptions.namespaces[1]: Duplicate value: "a"; exemptions.runtimeClasses[2]: Duplicate value: "b"; '
            "exemptions.usernames[0]: Required value",
        ),
        ({"exemptions": {"usernames": "alice"}}, 'exemptions.usernames: Invalid value: "alice": must be a list of strings'),
        ({"defaults": {"enforced": "baseline"}}, 'unknown field "defaults.enforced"'),
        ({"exemptions": {"users": []}}, 'unknown field "exemptions.users"'),
        ({"default": {}}, 'unknown field "default"'),
        ({"defaults": ["baseline"]}, "defaults: an object is expected"),
        (
            {"kind": "Other"},
            "this is no PodSecurityConfiguration of pod-security.admission.config.k8s.io/v1 or "
            "pod-security.admission.config.k8s.io/v1beta1 or pod-security.admission.config.k8s.io/v1alpha1",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_place(tmp_path: Path, content: Any, said: str) -> None:
    file = inner(tmp_path, **content)
    with pytest.raises(ConfigurationError) as raised:
        load(file)
    assert str(raised.value) == f"{file}: {said}"


def test_names_of_what_is_exempt_can_be_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'namespaces\[0\]: Invalid value: "_&\$%#": a lowercase RFC 1123 label'):
        load(inner(tmp_path, exemptions={"namespaces": ["_&$%#"]}))


def test_other_plugins_have_no_configuration(tmp_path: Path) -> None:
    file = written(tmp_path / "admission.yaml", {**OUTER, "plugins": [{"name": "EventRateLimit"}]})
    with pytest.raises(ConfigurationError, match="only PodSecurity is configured here, not 'EventRateLimit'"):
        load(file)


def test_a_file_that_is_not_there_or_not_yaml(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'unable to read admission control configuration from ".*none"'):
        load(tmp_path / "none")
    (tmp_path / "broken").write_text("{")
    with pytest.raises(ConfigurationError, match="is not YAML"):
        load(tmp_path / "broken")

"""A container's environment."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.kubelet import env
from navarch.kubelet.env import ConfigError, File, Reference, Sources
from tests.kubelet.pods import container, pod

CONFIG = {"data": {"color": "blue", "size": "7"}}
SECRET = {"data": {"password": base64.b64encode(b"sesame").decode()}}
OBJECTS: dict[tuple[str, str], Object | None] = {("configmaps", "cm"): CONFIG, ("secrets", "s"): SECRET}


def make(spec: Object, **sources: Any) -> dict[str, str]:
    a_pod = pod(spec)
    a_pod["metadata"]["labels"] = {"app": "web"}
    return env.make(
        a_pod, spec, Sources(**{"objects": OBJECTS, "pod_ips": ("10.1.1.1",), "host_ips": ("10.0.0.1",), **sources})
    )


def value_from(**origin: Any) -> Object:
    return container(env=[{"name": "X", "valueFrom": origin}])


def test_later_entries_win_and_may_use_earlier_ones() -> None:
    entries = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}, {"name": "A", "value": "$(B)3"}]
    assert make(container(env=entries)) == {"B": "12", "A": "123"}


def test_entries_win_over_whole_objects_which_come_with_a_prefix() -> None:
    sources = [{"configMapRef": {"name": "cm"}}, {"prefix": "S_", "secretRef": {"name": "s"}}]
    found = make(container(envFrom=sources, env=[{"name": "size", "value": "$(color)"}]))
    assert found == {"color": "blue", "size": "blue", "S_password": "sesame"}


def test_keys_of_configmaps_and_secrets() -> None:
    assert make(value_from(configMapKeyRef={"name": "cm", "key": "color"})) == {"X": "blue"}
    assert make(value_from(secretKeyRef={"name": "s", "key": "password"})) == {"X": "sesame"}


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "k"}}, 'configmap "no" not found'),
        ({"secretKeyRef": {"name": "no", "key": "k"}}, 'secret "no" not found'),
        ({"configMapKeyRef": {"name": "cm", "key": "k"}}, "couldn't find key k in ConfigMap default/cm"),
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "couldn't find key k in Secret default/s"),
    ],
)
def test_what_is_missing_is_told_as_kubernetes_tells_it(origin: Object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        make(value_from(**origin))
    field = next(iter(origin))
    assert make(value_from(**{field: {**origin[field], "optional": True}})) == {}


def test_a_missing_source_is_an_error_unless_optional() -> None:
    with pytest.raises(ConfigError, match='configmap "no" not found'):
        make(container(envFrom=[{"configMapRef": {"name": "no"}}]))
    assert make(container(envFrom=[{"configMapRef": {"name": "no", "optional": True}}])) == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "default"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("status.podIP", "10.1.1.1"),
        ("status.hostIP", "10.0.0.1"),
    ],
)
def test_fields_of_the_pod(path: str, value: str) -> None:
    assert make(value_from(fieldRef={"fieldPath": path})) == {"X": value}


@pytest.mark.parametrize(
    ("selector", "value"),
    [
        ({"resource": "limits.memory"}, "67108864"),
        ({"resource": "limits.memory", "divisor": "1Mi"}, "64"),
        ({"resource": "requests.cpu"}, "1"),
        ({"resource": "requests.cpu", "divisor": "1m"}, "250"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "4000"),
    ],
)
def test_requests_and_limits_are_divided_and_rounded_up(selector: Object, value: str) -> None:
    spec = {**value_from(resourceFieldRef=selector), "resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "64Mi"}}}
    assert make(spec, allocatable={"cpu": "4"}) == {"X": value}


def test_services_of_the_namespace_are_variables() -> None:
    def service(name: str, namespace: str = "default", **spec: Any) -> Object:
        return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": "10.96.0.7", **spec}}

    services = [
        service("my-db", ports=[{"name": "sql", "port": 5432}, {"name": "web-ui", "port": 80, "protocol": "TCP"}]),
        service("headless", clusterIP="None"),
        service("other", "elsewhere"),
        service("kubernetes", clusterIP="10.96.0.1", ports=[{"name": "https", "port": 443, "protocol": "TCP"}]),
    ]
    found = make(container(), services=services)
    assert found["MY_DB_SERVICE_HOST"] == "10.96.0.7" and found["MY_DB_SERVICE_PORT"] == "5432"
    assert found["MY_DB_SERVICE_PORT_WEB_UI"] == "80"
    assert found["MY_DB_PORT"] == found["MY_DB_PORT_5432_TCP"] == "tcp://10.96.0.7:5432"
    assert found["MY_DB_PORT_80_TCP_ADDR"] == "10.96.0.7" and found["MY_DB_PORT_80_TCP_PROTO"] == "tcp"
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert not any(name.startswith(("HEADLESS", "OTHER")) for name in found)
    unlinked = env.service_environment(pod(enableServiceLinks=False), services)
    assert set(unlinked) == {name for name in found if name.startswith("KUBERNETES_")}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(NONE)", "$(NONE)"),
        ("$(A", "$(A"),
        ("$A $", "$A $"),
        ("$$$$", "$$"),
        ("a$", "a$"),
    ],
)
def test_references_are_expanded(text: str, value: str) -> None:
    assert env.expand(text, {"A": "1"}) == value


def test_references_name_what_has_to_be_fetched() -> None:
    spec = value_from(configMapKeyRef={"name": "a", "key": "k"})
    spec["envFrom"] = [{"secretRef": {"name": "b", "optional": True}}]
    assert env.references(spec) == [Reference("secrets", "b", True), Reference("configmaps", "a", False)]


def test_variables_may_be_in_files() -> None:
    def of(key: str, **fields: Any) -> dict[str, str]:
        spec = value_from(fileKeyRef={"volumeName": "v", "path": "e", "key": key, **fields})
        assert env.files(spec) == [("v", fields.get("path", "e"))]
        return make(spec, files={("v", "e"): File("/node/v/e", "A='one'"), ("v", "none"): File("/node/v/none", None)})

    assert of("A") == {"X": "one"} and of("B", optional=True) == {}
    with pytest.raises(ConfigError, match=r'^environment variable key "B" not found in file "/node/v/e"$'):
        of("B")
    with pytest.raises(ConfigError, match=r"^couldn't parse env file$"):
        of("A", path="none")
    with pytest.raises(ConfigError, match=r'^cannot find the volume "w" referenced by FileKeyRef$'):
        make(value_from(fileKeyRef={"volumeName": "w", "path": "e", "key": "A"}))


def test_paths_need_a_value_for_every_name() -> None:
    assert env.expand_all("$(A)/$$(B)", {"A": "x"}) == "x/$(B)"
    with pytest.raises(ConfigError, match=r"^missing value for B, C$"):
        env.expand_all("$(C)/$(A)/$(B)", {"A": "x", "B": ""})

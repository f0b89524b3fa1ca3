"""Who writes an object that is allowed but not wise is told so in a header, once for each thing."""

from __future__ import annotations

from navarch.api.registry import resource
from tests.apiserver.bench import Bench, Reply
from tests.apiserver.samples import sample

INGRESSES, WEBHOOKS = "ingresses.networking.k8s.io", "validatingwebhookconfigurations.admissionregistration.k8s.io"
RESERVED = (
    '299 - "metadata.name: names ending with \\".static.k8s.io\\" are reserved for static manifest-based configurations and '
    'cannot be managed via the API"'
)


def test_an_annotation_that_is_out_of_use_is_told_of_when_an_object_is_made(api: Bench) -> None:
    annotations = {"kubernetes.io/ingress.class": "nginx"}
    made = api.post(INGRESSES, sample(resource(INGRESSES), "old-fashioned", annotations=annotations))
    assert made.headers["warning"] == (
        '299 - "annotation \\"kubernetes.io/ingress.class\\" is deprecated, please use \'spec.ingressClassName\' instead"'
    )
    assert "warning" not in api.put(INGRESSES, made.json).headers


def test_an_annotation_that_becomes_a_field_of_a_pod_is_told_of_though_the_pod_is_refused(api: Bench) -> None:
    key = "container.apparmor.security.beta.kubernetes.io/main"
    told = f'299 - "metadata.annotations[{key}]: deprecated since v1.30; use the \\"appArmorProfile\\" field instead"'
    pod = sample(resource("pods"), "confined", annotations={key: "runtime/default"})
    made = api.post("pods", pod)
    assert made.headers["warning"] == told
    assert made.json["spec"]["containers"][0]["securityContext"] == {"appArmorProfile": {"type": "RuntimeDefault"}}
    assert "warning" not in api.put("pods", made.json).headers
    refused = api.post("pods", {**pod, "metadata": {**pod["metadata"], "name": "not!"}})
    assert (refused.status, refused.headers["warning"]) == (422, told)


def test_a_status_tells_of_addresses_that_are_written_oddly(api: Bench) -> None:
    api.post("pods", sample(resource("pods"), "addressed"))
    status = {"podIP": "2001:DB8::1", "podIPs": [{"ip": "2001:DB8::1"}]}
    assert api.patch("pods", "addressed", {"status": status}, subresource="status").headers["warning"] == (
        '299 - "status.podIPs[0].ip: IPv6 address \\"2001:DB8::1\\" should be in RFC 5952 canonical format (\\"2001:db8::1\\")"'
    )


def test_a_refused_object_is_only_refused(api: Bench) -> None:
    wrong = sample(resource(INGRESSES), "wrong", annotations={"kubernetes.io/ingress.class": "nginx"})
    answer = api.post(INGRESSES, {**wrong, "spec": {}})
    assert (answer.status, answer.headers.get("warning")) == (422, None)


def test_a_reserved_name_is_told_of_with_every_write(api: Bench) -> None:
    made = api.post(WEBHOOKS, sample(resource(WEBHOOKS), "mine.static.k8s.io"))
    changed = api.patch(WEBHOOKS, "mine.static.k8s.io", {"metadata": {"labels": {"a": "b"}}})
    assert made.headers["warning"] == changed.headers["warning"] == RESERVED


def test_a_write_of_the_status_tells_nothing_about_the_spec(api: Bench) -> None:
    ports = [{"port": 80}]
    service = {"metadata": {"name": "outside"}, "spec": {"ports": ports, "externalIPs": ["192.0.2.1"]}}
    told = '299 - "spec.externalIPs is deprecated and may no longer be implemented in some clusters"'
    made = api.post("services", service)
    assert made.headers["warning"] == told
    assert api.patch("services", "outside", {"metadata": {"labels": {"a": "b"}}}).headers["warning"] == told
    assert "warning" not in api.patch("services", "outside", {"status": {"conditions": []}}, subresource="status").headers


def odd(api: Bench, *fields: str, **query: str) -> Reply:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "odd"}, **dict.fromkeys(fields, 1)}
    return api.call("POST", "/api/v1/namespaces/default/configmaps", body, dryRun="All", **query)


def test_warnings_are_utf8_and_those_with_control_characters_are_not_sent(api: Bench) -> None:
    reply = odd(api, "日本", "a\r\nSet-Cookie: b", "tab\t", 'quo"te\\')
    assert reply.warnings == ('unknown field "日本"', 'unknown field "quo"te\\"')


def test_many_warnings_are_cut(api: Bench) -> None:
    fields = [f"f{index}" + "x" * 997 for index in range(50)]
    assert odd(api, *fields[:4]).warnings == tuple(f'unknown field "{field}"' for field in fields[:4])
    cut = odd(api, *fields).warnings
    assert cut == tuple(f'unknown field "{field}"'[:256] for field in fields[:16])
    assert odd(api, "x" * 2_000_000).warnings == ('unknown field "' + "x" * 241,)

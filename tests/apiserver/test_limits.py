"""LimitRanger: what pods and claims get from their namespace's LimitRanges, and what is refused in which words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.tables import changed
from tests.apiserver.bench import Bench
from tests.apiserver.samples import pod, sample

SERIAL = iter(range(1000))
ANNOTATION = "kubernetes.io/limit-ranger"


@pytest.fixture
def namespace(api: Bench) -> Iterator[str]:
    yield api.namespace(f"limits-{next(SERIAL)}")


def limit(api: Bench, namespace: str, *limits: Object, name: str = "limits") -> None:
    api.made("limitranges", {**sample(resource("limitranges"), name, namespace), "spec": {"limits": list(limits)}})


def container(name: str = "main", **resources: Any) -> Object:
    return {"name": name, "image": "registry.example/app:1", "resources": resources}


def refused(api: Bench, name: str, obj: Object) -> str:
    """Why a new object is forbidden."""
    reply = api.post(name, obj)
    begin = f'{name} "{obj["metadata"]["name"]}" is forbidden: '
    assert (reply.status, reply.reason) == (403, "Forbidden"), reply.body
    assert reply.message.startswith(begin)
    return reply.message.removeprefix(begin)


def test_containers_get_what_they_leave_open_and_a_note_says_so(api: Bench, namespace: str) -> None:
    given = {"default": {"cpu": "500m", "memory": "512Mi"}, "defaultRequest": {"cpu": "100m", "memory": "256Mi"}}
    limit(api, namespace, {"type": "Container", **given})
    body = pod(
        "one",
        namespace,
        containers=[container(), container("partial", requests={"cpu": "300m"}, limits={"memory": "1Gi"})],
        initContainers=[container("first", requests={"cpu": "1m", "memory": "1Mi"})],
    )
    made = api.made("pods", body)
    main, partial = (item["resources"] for item in made["spec"]["containers"])
    assert main == {"requests": given["defaultRequest"], "limits": given["default"]}
    # What has a limit of its own requests that much.
    assert partial == {"requests": {"cpu": "300m", "memory": "1Gi"}, "limits": {"cpu": "500m", "memory": "1Gi"}}
    assert made["spec"]["initContainers"][0]["resources"] == {
        "requests": {"cpu": "1m", "memory": "1Mi"},
        "limits": given["default"],
    }
    assert made["metadata"]["annotations"][ANNOTATION] == (
        "LimitRanger plugin set: cpu, memory request for container main; cpu, memory limit for container main; "
        "cpu limit for container partial; "
        "cpu, memory limit for init container first"
    )


def test_pods_that_say_everything_get_no_note(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}})
    full = container(requests={"cpu": "2"}, limits={"cpu": "3"})
    made = api.made("pods", pod("one", namespace, containers=[full]))
    assert ANNOTATION not in made["metadata"].get("annotations", {})
    assert made["spec"]["containers"][0]["resources"] == full["resources"]


def test_defaults_of_the_limit_range_follow_from_its_bounds(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}})
    made = api.made("pods", pod("one", namespace))
    # The maximum is the default limit, and the default limit or else the minimum the default request.
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "2"},
        "requests": {"cpu": "2", "memory": "1Mi"},
    }


def test_of_several_limit_ranges_each_gives_what_is_still_open(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"type": "Container", "defaultRequest": {"cpu": "100m"}}, name="a")
    limit(api, namespace, {"type": "Container", "defaultRequest": {"cpu": "200m", "memory": "1Mi"}}, name="b")
    made = api.made("pods", pod("one", namespace))
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "100m", "memory": "1Mi"}


MIN, MAX = {"min": {"cpu": "100m"}}, {"max": {"cpu": "1"}}
RATIO = {"maxLimitRequestRatio": {"cpu": "2"}}


@pytest.mark.parametrize(
    ("bounds", "resources", "expected"),
    [
        (MIN, {"requests": {"cpu": "50m"}}, "minimum cpu usage per Container is 100m, but request is 50m"),
        (
            MAX,
            {"requests": {"cpu": "1"}, "limits": {"cpu": "1500m"}},
            "maximum cpu usage per Container is 1, but limit is 1500m",
        ),
        (
            RATIO,
            {"requests": {"cpu": "100m"}, "limits": {"cpu": "250m"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000",
        ),
        (RATIO, {}, "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"),
        (
            RATIO,
            {"requests": {"cpu": "1"}},
            "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
        ),
        (
            {**MIN, **MAX, "default": {"cpu": "1"}},
            {"requests": {"cpu": "50m"}, "limits": {"cpu": "2"}},
            "[minimum cpu usage per Container is 100m, but request is 50m, "
            "maximum cpu usage per Container is 1, but limit is 2]",
        ),
        (MIN, {"requests": {"cpu": "100m"}, "limits": {"cpu": "100m"}}, None),
        (MAX, {"requests": {"cpu": "1"}, "limits": {"cpu": "1000m"}}, None),
        (RATIO, {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}, None),
    ],
)
def test_every_container_keeps_within_bounds(
    api: Bench, namespace: str, bounds: Object, resources: Object, expected: str | None
) -> None:
    limit(api, namespace, {"type": "Container", **bounds})
    for name, field in (("container", "containers"), ("init", "initContainers")):
        # The other container is always within the bounds.
        fine = container("fine", requests={"cpu": "1"}, limits={"cpu": "1"})
        spec = {"containers": [fine], field: [container(**resources)]}
        if expected is None:
            api.made("pods", pod(name, namespace, **spec))
        else:
            assert refused(api, "pods", pod(name, namespace, **spec)) == expected


@pytest.mark.parametrize(
    ("bounds", "containers", "expected"),
    [
        ({"min": {"memory": "1Gi"}}, [{}], "minimum memory usage per Pod is 1Gi.  No request is specified"),
        ({"max": {"memory": "1Gi"}}, [{}], "maximum memory usage per Pod is 1Gi.  No limit is specified"),
        (
            {"max": {"memory": "1Gi"}},
            [{"limits": {"memory": "600Mi"}}, {"limits": {"memory": "600Mi"}}],
            "maximum memory usage per Pod is 1Gi, but limit is 1200Mi",
        ),
        (
            {"min": {"memory": "1Gi"}},
            [{"requests": {"memory": "600Mi"}}, {"requests": {"memory": "300Mi"}}],
            "minimum memory usage per Pod is 1Gi, but request is 900Mi",
        ),
        ({"max": {"memory": "1Gi"}}, [{"limits": {"memory": "512Mi"}}, {"limits": {"memory": "512Mi"}}], None),
    ],
)
def test_whole_pods_keep_within_bounds(
    api: Bench, namespace: str, bounds: Object, containers: list[Object], expected: str | None
) -> None:
    limit(api, namespace, {"type": "Pod", **bounds})
    body = pod("one", namespace, containers=[container(f"c{number}", **item) for number, item in enumerate(containers)])
    if expected is None:
        api.made("pods", body)
    else:
        assert refused(api, "pods", body) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("1Gi", "minimum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Gi"),
        ("2Gi", None),
        ("5Gi", None),
        ("6Gi", "maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 6Gi"),
    ],
)
def test_claims_keep_within_bounds(api: Bench, namespace: str, size: str, expected: str | None) -> None:
    limit(api, namespace, {"type": "PersistentVolumeClaim", "min": {"storage": "2Gi"}, "max": {"storage": "5Gi"}})
    body = changed(
        sample(resource("persistentvolumeclaims"), "data", namespace), {"spec": {"resources": {"requests": {"storage": size}}}}
    )
    if expected is None:
        api.made("persistentvolumeclaims", body)
    else:
        assert refused(api, "persistentvolumeclaims", body) == expected


def test_pods_that_were_there_before_may_still_change(api: Bench, namespace: str) -> None:
    api.made("pods", pod("old", namespace))
    limit(api, namespace, {"type": "Container", "min": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}})
    labelled = api.patch("pods", "old", {"metadata": {"labels": {"a": "b"}}}, namespace=namespace)
    assert labelled.status == 200
    assert not labelled.json["spec"]["containers"][0]["resources"]


def test_limit_ranges_are_found_patched_and_deleted_across_namespaces(api: Bench, namespace: str) -> None:
    other = api.namespace(f"limits-{next(SERIAL)}")
    for where in (namespace, other):
        body = sample(resource("limitranges"), "limits", where, labels={"test": namespace})
        api.made("limitranges", body)
    selector = f"test={namespace}"
    assert len(api.list("limitranges", labelSelector=selector).json["items"]) == 2
    patch = {"metadata": {"labels": {"patched": "yes"}}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "4"}}]}}
    patched = api.patch("limitranges", "limits", patch, namespace=namespace).json
    assert patched["spec"]["limits"] == [
        {"type": "Container", "max": {"cpu": "4"}, "default": {"cpu": "4"}, "defaultRequest": {"cpu": "4"}}
    ]
    path = f"/api/v1/namespaces/{namespace}/limitranges"
    assert api.call("DELETE", path, labelSelector="patched=yes").status == 200
    left = api.list("limitranges", labelSelector=selector).json["items"]
    assert [item["metadata"]["namespace"] for item in left] == [other]

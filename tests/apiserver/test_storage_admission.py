"""Admission of storage and of Ingresses: default classes, claims that grow, and the finalizers of what is in use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from navarch.component import clock
from tests.api.tables import changed, remove
from tests.apiserver.bench import Bench
from tests.apiserver.samples import sample

CLASSES, CLAIMS = "storageclasses.storage.k8s.io", "persistentvolumeclaims"
INGRESS_CLASSES, INGRESSES = "ingressclasses.networking.k8s.io", "ingresses.networking.k8s.io"
MARKS = {
    CLASSES: "storageclass.kubernetes.io/is-default-class",
    INGRESS_CLASSES: "ingressclass.kubernetes.io/is-default-class",
}
SERIAL = iter(range(1000))


@pytest.fixture
def namespace(api: Bench) -> Iterator[str]:
    yield api.namespace(f"storage-{next(SERIAL)}")


@pytest.fixture
def classes(api: Bench) -> Iterator[None]:
    """Classes that a test makes are gone after it."""
    yield
    for name in MARKS:
        api.call("DELETE", f"/apis/{name.partition('.')[2]}/v1/{name.partition('.')[0]}")


def make_class(api: Bench, name: str, class_name: str, default: str | None = None, **fields: object) -> None:
    annotations = {} if default is None else {MARKS[name]: default}
    api.made(name, {**sample(resource(name), class_name, annotations=annotations), **fields})


def made(api: Bench, name: str, namespace: str, field: str, class_name: str | None = None, **metadata: object) -> Object:
    """A claim or Ingress of the class, or that names none."""
    obj = changed(sample(resource(name), "one", namespace, **metadata), {"spec": {field: class_name}})
    return api.made(name, obj)


@pytest.mark.usefixtures("classes")
@pytest.mark.parametrize(
    ("name", "class_kind", "field", "annotation"),
    [
        (CLAIMS, CLASSES, "storageClassName", "volume.beta.kubernetes.io/storage-class"),
        (INGRESSES, INGRESS_CLASSES, "ingressClassName", "kubernetes.io/ingress.class"),
    ],
)
def test_who_names_no_class_gets_the_newest_default_one(
    api: Bench, namespace: str, name: str, class_kind: str, field: str, annotation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert field not in made(api, name, namespace, field)["spec"]
    make_class(api, class_kind, "plain")
    make_class(api, class_kind, "no-longer", "false")
    second = api.namespace(f"storage-{next(SERIAL)}")
    assert field not in made(api, name, second, field)["spec"]

    make_class(api, class_kind, "newest", "true")
    with monkeypatch.context() as earlier:
        earlier.setattr(clock, "timestamp", lambda: "2020-01-01T00:00:00Z")
        for class_name in ("older", "also-old"):
            make_class(api, class_kind, class_name, "true")
    third = api.namespace(f"storage-{next(SERIAL)}")
    assert made(api, name, third, field)["spec"][field] == "newest"
    # Of those of the same moment the first by name.
    api.delete(class_kind, "newest")
    fourth = api.namespace(f"storage-{next(SERIAL)}")
    assert made(api, name, fourth, field)["spec"][field] == "also-old"

    fifth = api.namespace(f"storage-{next(SERIAL)}")
    assert made(api, name, fifth, field, "plain")["spec"][field] == "plain"
    sixth = api.namespace(f"storage-{next(SERIAL)}")
    assert field not in made(api, name, sixth, field, annotations={annotation: "plain"})["spec"]


@pytest.mark.usefixtures("classes")
def test_a_claim_without_a_class_is_one_that_says_so(api: Bench, namespace: str) -> None:
    make_class(api, CLASSES, "default-one", "true")
    assert made(api, CLAIMS, namespace, "storageClassName", "")["spec"]["storageClassName"] == ""


NOT_ALLOWED = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"


@pytest.mark.usefixtures("classes")
@pytest.mark.parametrize(
    ("phase", "class_name", "size", "expected"),
    [
        ("Bound", "growing", "2Gi", None),
        ("Bound", "growing", "1Gi", None),
        ("Pending", "growing", "1Gi", None),
        ("Bound", "fixed", "2Gi", NOT_ALLOWED),
        ("Bound", "gone", "2Gi", NOT_ALLOWED),
        ("Bound", "", "2Gi", NOT_ALLOWED),
    ],
)
def test_claims_grow_only_where_their_class_lets_them(
    api: Bench, namespace: str, phase: str, class_name: str, size: str, expected: str | None
) -> None:
    make_class(api, CLASSES, "growing", allowVolumeExpansion=True)
    make_class(api, CLASSES, "fixed", allowVolumeExpansion=False)
    made(api, CLAIMS, namespace, "storageClassName", class_name)
    status = {"status": {"phase": phase, "capacity": {"storage": "1Gi"}}}
    assert api.patch(CLAIMS, "one", status, namespace=namespace, subresource="status").status == 200
    grown = {"spec": {"resources": {"requests": {"storage": size}}}, "metadata": {"labels": {"a": "b"}}}
    reply = api.patch(CLAIMS, "one", grown, namespace=namespace)
    if expected is None:
        assert reply.status == 200, reply.body
    else:
        assert (reply.status, reply.reason) == (403, "Forbidden")
        assert reply.message == f'persistentvolumeclaims "one" is forbidden: {expected}'


PROTECTED = {
    "persistentvolumes": "kubernetes.io/pv-protection",
    CLAIMS: "kubernetes.io/pvc-protection",
    "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
}


@pytest.mark.parametrize(("name", "finalizer"), PROTECTED.items())
def test_what_may_be_in_use_is_held_from_its_first_moment(api: Bench, name: str, finalizer: str) -> None:
    kind = resource(name)
    body = sample(kind, "held", finalizers=["example.com/mine"])
    assert api.made(name, body)["metadata"]["finalizers"] == ["example.com/mine", finalizer]
    deleted = api.delete(name, "held")
    assert deleted.status == 200
    assert "deletionTimestamp" in api.get(name, "held").json["metadata"]
    # Nothing puts the finalizer back once it has been taken away.
    left = api.patch(name, "held", {"metadata": {"finalizers": ["example.com/mine"]}})
    assert left.json["metadata"]["finalizers"] == ["example.com/mine"]
    remove(api, name, "held")
    assert api.get(name, "held").status == 404
    body = sample(kind, "held", finalizers=[finalizer])
    assert api.made(name, body)["metadata"]["finalizers"] == [finalizer]
    remove(api, name, "held")

"""PodTemplates."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import container
from tests.conformance.world import Space

TEMPLATES = "podtemplates"


def template(name: str, labels: Object) -> Object:
    return {"metadata": {"name": name, "labels": labels}, "template": {"spec": {"containers": [container()]}}}


@behaviour("PodTemplate lifecycle")
def test_a_template_is_made_patched_listed_and_deleted(space: Space) -> None:
    mark = f"podtemplate-static={space.name}"
    everywhere = space.world.everywhere
    space.create(TEMPLATES, template("nginx-pod-template", {"podtemplate-static": space.name}))
    assert len(everywhere.list(TEMPLATES, mark)) == 1
    patch = {"metadata": {"labels": {"podtemplate": "patched"}}}
    space.patch(TEMPLATES, "nginx-pod-template", patch, content_type="application/strategic-merge-patch+json")
    assert space.get(TEMPLATES, "nginx-pod-template")["metadata"]["labels"]["podtemplate"] == "patched"
    space.delete(TEMPLATES, "nginx-pod-template")
    assert everywhere.list(TEMPLATES, mark) == []


@behaviour("PodTemplate, delete a collection")
def test_a_collection_of_templates_is_deleted(space: Space) -> None:
    for number in range(1, 4):
        space.create(TEMPLATES, template(f"test-podtemplate-{number}", {"podtemplate-set": "true"}))
    assert len(space.list(TEMPLATES, "podtemplate-set=true")) == 3
    space.delete_all(TEMPLATES, "podtemplate-set=true")
    assert space.list(TEMPLATES, "podtemplate-set=true") == []


@behaviour("PodTemplate, replace")
def test_a_template_is_replaced(space: Space) -> None:
    space.create(TEMPLATES, template("test", {}))
    space.change(TEMPLATES, "test", lambda found: found["metadata"].update(annotations={"updated": "true"}))
    assert space.get(TEMPLATES, "test")["metadata"]["annotations"] == {"updated": "true"}

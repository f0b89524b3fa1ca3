"""What several kinds are shown to do alike."""

from __future__ import annotations

from typing import Any

from navarch.api import registry
from navarch.apimachinery.errors import Object
from tests.apiserver.bench import MERGE
from tests.conformance.objects import condition, pod
from tests.conformance.world import Space

VERBS = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
SUBRESOURCE_VERBS = {"get", "patch", "update"}
MARK = "special-label"


def controller_of(obj: Object) -> str:
    """The name of who controls it."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((str(owner["name"]) for owner in owners if owner.get("controller")), "")


def scale_is_read_updated_and_patched(space: Space, resource: str, name: str, *, settles: bool = True) -> None:
    """Of something with one replica."""

    def is_there(count: int) -> bool:
        return not settles or bool(space.get(resource, name)["status"].get("readyReplicas", 0) == count)

    space.world.until(lambda: is_there(1))
    scale = space.get(resource, name, "scale")
    assert (scale["kind"], scale["apiVersion"], scale["spec"]["replicas"]) == ("Scale", "autoscaling/v1", 1)
    scale["spec"]["replicas"] = 2
    assert space.update(resource, scale, "scale")["spec"]["replicas"] == 2
    assert space.get(resource, name)["spec"]["replicas"] == 2
    space.world.until(lambda: is_there(2))
    patched = space.patch(resource, name, {"spec": {"replicas": 4}}, "scale")
    assert patched["spec"]["replicas"] == 4
    assert space.get(resource, name)["spec"]["replicas"] == 4
    space.world.until(lambda: is_there(4))


def status_is_read_updated_and_patched(space: Space, resource: str, name: str) -> None:
    """A condition of nobody's stays through whatever its controller writes."""
    read = space.get(resource, name, "status")
    assert read["metadata"]["name"] == name and "status" in read
    since = read["metadata"]["resourceVersion"]
    added = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}

    def change(found: Object) -> None:
        found["status"]["conditions"] = [*(found["status"].get("conditions") or ()), added]

    updated = space.change(resource, name, change, "status")
    assert condition(updated, "StatusUpdate")["message"] == "Set from e2e test"
    with space.watching(resource, since=since) as watch:
        watch.until("MODIFIED", name, lambda obj: condition(obj, "StatusUpdate"))
    patch = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
    patched = space.patch(resource, name, patch, "status")
    assert condition(patched, "StatusPatched")["status"] == "True"
    with space.watching(resource, since=since) as watch:
        watch.until("MODIFIED", name, lambda obj: condition(obj, "StatusPatched"))


def collection_is_listed_and_deleted(space: Space, resource: str, obj: Object, count: int = 1) -> None:
    """Over all namespaces by label, then deleted by it, with what belongs to it."""
    (key, value), *_ = obj["metadata"]["labels"].items()
    labels = f"{key}={value}"
    space.create(resource, obj)
    assert len(space.world.everywhere.list(resource, labels)) == count
    space.delete_all(resource, labels)
    space.until_count(resource, 0, labels)
    space.until_count("pods", 0)


def pods_are_adopted_and_released(space: Space, resource: str, owner: Object) -> None:
    """A pod that matches is taken, one that ceases to is let go and replaced."""
    selector = owner["spec"]["selector"]
    labels = selector.get("matchLabels", selector)
    space.create("pods", pod("orphan", labels))
    space.create(resource, owner)
    name = owner["metadata"]["name"]
    adopted = space.until_true("pods", "orphan", controller_of)
    assert controller_of(adopted) == name
    assert len(space.list("pods")) == 1
    (key, _), *_ = labels.items()
    space.patch("pods", "orphan", {"metadata": {"labels": {key: "not-matching"}}})
    space.until_true("pods", "orphan", lambda found: not controller_of(found))
    (replacement,) = space.until_count("pods", 1, f"{key}={labels[key]}")
    assert controller_of(replacement) == name


def is_discovered(space: Space, resource: str, *subresources: str) -> None:
    """Group, version and resource are in the discovery documents, with all verbs."""
    kind = registry.resource(resource)
    if kind.group:
        group = next(item for item in space.ask("GET", "/apis")["groups"] if item["name"] == kind.group)
        version = {"groupVersion": kind.api_version, "version": kind.version}
        assert version in group["versions"]
        assert version in space.ask("GET", f"/apis/{kind.group}")["versions"]
    found = {item["name"]: set(item["verbs"]) for item in space.ask("GET", kind.api_path)["resources"]}
    assert found[kind.plural] == VERBS
    for subresource in subresources:
        assert found[f"{kind.plural}/{subresource}"] == SUBRESOURCE_VERBS


def supports_api_operations(
    space: Space,
    resource: str,
    names: list[str],
    body: Object,
    *,
    statuses: dict[str, list[Any]] | None = None,
    annotates: bool = True,
    deletes_at_once: bool = True,
) -> None:
    """create, get, list, watch, patch, update, delete and deletecollection; of each subresource get, patch and update.

    `names` are three; `statuses` are, by subresource, what of the object a patch and then an update of it writes;
    `annotates` says whether metadata may be written there too.
    """
    kind = registry.resource(resource)
    mark = f"{MARK}={space.name}"
    is_discovered(space, resource, *(statuses or ()))
    created = [space.create(resource, marked(space, name, body)) for name in names]
    since = created[-1]["metadata"]["resourceVersion"]
    first, second, third = names
    assert space.get(resource, first)["metadata"]["uid"] == created[0]["metadata"]["uid"]
    assert [item["metadata"]["name"] for item in space.list(resource, mark)] == sorted(names)
    if kind.namespaced:
        assert len(space.world.everywhere.list(resource, mark)) == len(names)
    with space.watching(resource, mark, since) as watch:
        patched = space.patch(resource, first, {"metadata": {"annotations": {"patched": "true"}}}, content_type=MERGE)
        assert patched["metadata"]["annotations"]["patched"] == "true"
        updated = space.change(resource, first, lambda found: found["metadata"]["annotations"].update(updated="true"))
        assert updated["metadata"]["annotations"] | {"patched": "true", "updated": "true"} == updated["metadata"]["annotations"]
        watch.until("MODIFIED", first, lambda obj: obj["metadata"]["annotations"].get("patched"))
        watch.until("MODIFIED", first, lambda obj: obj["metadata"]["annotations"].get("updated"))
        for subresource, (patch, update) in (statuses or {}).items():
            if annotates:
                annotated = {"metadata": {"annotations": {f"patched-{subresource}": "true"}}}
                assert contains(space.patch(resource, first, annotated, subresource), annotated)
            _subresource_is_written(space, resource, first, subresource, patch, update)
        space.delete(resource, first)
        if deletes_at_once:
            assert space.get(resource, first, code=404)["reason"] == "NotFound"
        else:
            space.until_gone(resource, first)
        watch.until("DELETED", first)
        assert [item["metadata"]["name"] for item in space.list(resource, mark)] == sorted([second, third])
        space.delete_all(resource, mark)
        space.until_count(resource, 0, mark)
        assert {watch.until("DELETED")["metadata"]["name"] for _ in range(2)} == {second, third}


def marked(space: Space, name: str, body: Object) -> Object:
    metadata = {**(body.get("metadata") or {}), "name": name}
    metadata["labels"] = {**(metadata.get("labels") or {}), MARK: space.name}
    return {**body, "metadata": metadata}


def _subresource_is_written(space: Space, resource: str, name: str, subresource: str, patch: Object, update: Object) -> None:
    patched = space.patch(resource, name, patch, subresource)
    assert contains(patched, patch)
    updated = space.change(resource, name, lambda found: merge(found, update), subresource)
    assert contains(updated, update)
    read = space.get(resource, name, subresource)
    assert contains(read, update) and read["metadata"]["uid"] == patched["metadata"]["uid"]


def merge(into: Object, changes: Object) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def contains(whole: Any, part: Any) -> bool:
    """Whether all of `part` is in `whole`; each element of a list in some element."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(contains(whole.get(key), value) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(contains(each, wanted) for each in whole) for wanted in part)
    return bool(whole == part)


def becomes_immutable(space: Space, resource: str, data: str, value: str) -> None:
    """A ConfigMap or Secret; `data` is the field that holds its values."""
    space.create(resource, {"metadata": {"name": "immutable"}, "data": {"data-1": value}})
    space.change(resource, "immutable", lambda found: found[data].update({"data-2": value}))
    space.change(resource, "immutable", lambda found: found.update(immutable=True))
    before = space.get(resource, "immutable")
    assert before[data] == {"data-1": value, "data-2": value} and before["immutable"] is True
    for change in (lambda found: found[data].update({"data-3": value}), lambda found: found.pop("immutable")):
        assert space.change(resource, "immutable", change, code=422)["reason"] == "Invalid"
    after = space.change(resource, "immutable", lambda found: found["metadata"].update(labels={"label1": "value1"}))
    assert after["metadata"]["labels"] == {"label1": "value1"} and after[data] == before[data]
    space.delete(resource, "immutable")
    assert space.find(resource, "immutable") is None


def lives_and_is_replaced(space: Space, resource: str, name: str, body: Object) -> None:
    """An object is made, read, patched, listed and deleted; another in its place is updated and goes with its collection."""
    mark = f"{MARK}={space.name}"
    made = space.create(resource, marked(space, name, body))
    assert space.get(resource, name)["metadata"]["uid"] == made["metadata"]["uid"]
    patched = space.patch(resource, name, {"metadata": {"labels": {"patched": "true"}}})
    assert patched["metadata"]["labels"]["patched"] == "true"
    assert [each["metadata"]["name"] for each in space.world.everywhere.list(resource, f"{mark},patched=true")] == [name]
    space.delete(resource, name)
    space.until_gone(resource, name)
    again = space.create(resource, marked(space, name, body))
    assert again["metadata"]["uid"] != made["metadata"]["uid"]
    updated = space.change(resource, name, lambda found: found["metadata"]["labels"].update(updated="true"))
    assert updated["metadata"]["labels"]["updated"] == "true"
    space.delete_all(resource, f"{mark},updated=true")
    space.until_gone(resource, name)
    assert space.world.everywhere.list(resource, mark) == []

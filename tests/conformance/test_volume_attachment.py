"""VolumeAttachments."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.lifecycles import lives_and_is_replaced
from tests.conformance.world import Space

ATTACHMENTS = "volumeattachments.storage.k8s.io"


def body(space: Space) -> Object:
    source = {"persistentVolumeName": f"pv-{space.name}"}
    return {"spec": {"attacher": "e2e-test.storage.k8s.io", "nodeName": f"node-{space.name}", "source": source}}


@behaviour("VolumeAttachment, lifecycle")
def test_an_attachment_lives_and_is_replaced(space: Space) -> None:
    lives_and_is_replaced(space, ATTACHMENTS, f"va-{space.name}", body(space))


@behaviour("VolumeAttachment, apply changes to a volumeattachment status")
def test_an_attachments_status_is_read_patched_and_updated(space: Space) -> None:
    name = f"va-{space.name}"
    space.create(ATTACHMENTS, {"metadata": {"name": name}, **body(space)})
    patched = space.patch(ATTACHMENTS, name, {"metadata": {"labels": {name: "patched"}}})
    assert patched["metadata"]["labels"] == {name: "patched"}
    assert space.get(ATTACHMENTS, name, "status")["status"] == {"attached": False}
    patched = space.patch(ATTACHMENTS, name, {"status": {"attached": True}}, "status")
    assert patched["status"]["attached"] is True
    updated = space.change(ATTACHMENTS, name, lambda found: found["status"].update(attached=False), "status")
    assert updated["status"]["attached"] is False
    space.delete(ATTACHMENTS, name)
    space.until_gone(ATTACHMENTS, name)

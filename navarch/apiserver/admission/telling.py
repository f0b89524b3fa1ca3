"""How a write is told to webhooks and expressions, and what becomes of the object that they make of it.

Objects are shown in the version that is asked for, a Scale where the scale is written. What comes back is decoded as if a
client had sent it: pruned, defaulted, converted to the form in which it is stored. What a request may not write at all, it may
not write by way of a webhook either: status where the kind keeps it apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from navarch.api import schemas
from navarch.api.core import namespace as namespaces
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.apply import managers
from navarch.apimachinery.apply.managers import ManagersError
from navarch.apimachinery.decoding import decode
from navarch.apimachinery.errors import Object
from navarch.apimachinery.unmarshal import DecodeError
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.fieldmanagement import FIELD
from navarch.apiserver.spoken import Spoken, speaks
from navarch.apiserver.subresources import scale
from navarch.apiserver.webhookclient import WebhookClient
from navarch.storage.store import Store

T = TypeVar("T")
SCALE = "scale"
_BINDING, _EVICTION = "binding", "eviction"
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
EXEMPT_GROUP = "admissionregistration.k8s.io"
"""Of the configurations themselves: who is locked out by one must be able to take it away."""


def subresource(attributes: Attributes) -> str:
    """The subresource that is written, as clients name it: whoever scales writes the whole object here."""
    asked = attributes.request.info.subresource
    return asked if asked == SCALE else attributes.subresource


def is_told(attributes: Attributes) -> bool:
    """Whether anybody is to hear of a write.

    What a Binding or an Eviction does to its pod has been told as the making of that.
    """
    if attributes.kind.group == EXEMPT_GROUP:
        return False
    if attributes.operation == "UPDATE":
        return attributes.subresource != _BINDING
    return attributes.operation != "DELETE" or attributes.request.info.subresource != _EVICTION


def namespace(attributes: Attributes) -> str:
    """The namespace that a request is about; a Namespace is in itself."""
    return attributes.name if attributes.kind is namespaces.KIND else attributes.namespace


def namespace_object(store: Store, name: str) -> Object | None:
    record = store.latest(namespaces.KIND.key_prefix, namespaces.KIND.key("", name))
    return record.object() if record is not None else None


def namespace_labels(store: Store, attributes: Attributes, obj: Object | None) -> Mapping[str, str]:
    """Those of the namespace that a request is about, as it will be. Raises 404."""
    if attributes.kind is namespaces.KIND and not attributes.subresource and obj is not None:
        return meta.labels(obj)
    found = namespace_object(store, namespace(attributes))
    if found is None:
        raise errors.not_found("", "namespaces", namespace(attributes))
    return meta.labels(found)


@dataclass(frozen=True, slots=True)
class Form:
    """How the objects of one write are shown to those who know its kind as `kind`."""

    kind: Kind
    subresource: str

    @property
    def spoken(self) -> Spoken:
        """What the object itself is."""
        return speaks(self.kind, self.subresource) if self.subresource else _itself(self.kind)

    def show(self, obj: Object | None) -> Object | None:
        """A stored object. Raises ConversionNeeded."""
        if obj is None:
            return None
        if self.subresource == SCALE:
            return scale.scale_of(self.kind, self.kind.from_stored(obj))
        return obj if self._is_foreign else self.kind.from_stored(obj)

    @property
    def _is_foreign(self) -> bool:
        """Whether the object is none of the kind, such as an Eviction of a pod."""
        spoken, kind = self.spoken, self.kind
        return (spoken.group, spoken.version, spoken.kind) != (kind.group, kind.version, kind.kind)

    def take(self, made: Any, before: Object, *, is_new: bool) -> Object:
        """The stored object, from what was made of the shown one. Raises 400, 422, 500, ConversionNeeded."""
        if not isinstance(made, dict):
            raise errors.internal_error("an object was made into something else")
        if self.subresource == SCALE:
            replicas = int((made.get("spec") or {}).get("replicas") or 0)
            paths = self.kind.scale_paths or scale.BUILT_IN
            whole = meta.set_path(self.kind.from_stored(before), replicas, *paths.spec_replicas)
            return self.kind.to_stored(whole)
        if self._is_foreign:
            return made
        stored = _stored(self.kind, _decoded(self.kind, made))
        rules = self.kind.stored
        if not self.subresource and "status" in rules.subresources and not (is_new and rules.keeps_status_on_create):
            stored.pop("status", None)
            stored |= {"status": before["status"]} if "status" in before else {}
        return stored


def _itself(kind: Kind) -> Spoken:
    return Spoken(kind.group, kind.version, kind.kind, ())


def _decoded(kind: Kind, made: Object) -> Object:
    """As a client's, but that nobody is told of unknown fields."""
    # Nobody else holds what is defaulted.
    value = orjson.loads(orjson.dumps(made))
    if (value.get("apiVersion"), value.get("kind")) != (kind.api_version, kind.kind):
        raise errors.internal_error(f"the object was made one of kind {value.get('kind')} in {value.get('apiVersion')}")
    try:
        found = (kind.decode(value) if kind.decode is not None else decode(value, schemas.of(kind))).object
    except DecodeError as error:
        raise errors.internal_error(str(error)) from None
    metadata = found.pop("metadata", None) or {}
    found.pop("apiVersion", None), found.pop("kind", None)
    try:
        managers.decode_foreign(metadata.get(FIELD) or [])
    except ManagersError:
        metadata.pop(FIELD, None)
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **found}


def _stored(kind: Kind, obj: Object) -> Object:
    if kind.stored_as is not None:
        obj = kind.default(obj)
        problems = list(kind.validate(obj))
        if problems:
            raise errors.invalid(kind.group, kind.kind, meta.name(obj), problems)
        obj = kind.to_stored(obj)
    return kind.stored.default(obj)


async def converted(run: Callable[[], T], kind: Kind, webhooks: WebhookClient) -> T:
    """What `run` returns, once a webhook has converted for it what there is to convert. Raises StatusError."""
    if not kind.by_webhook:
        return run()
    from navarch.apiserver.conversion import Converter

    async def running() -> T:
        return run()

    return await Converter(webhooks).repeated(running)


def review_request(attributes: Attributes, form: Form) -> Object:
    """An AdmissionRequest without its uid and objects."""
    asked, request = Form(attributes.kind, form.subresource), attributes.request
    below = {"subResource": form.subresource, "requestSubResource": form.subresource} if form.subresource else {}
    named = {"name": attributes.name, "namespace": namespace(attributes)}
    return {
        "kind": _kind(form.spoken),
        "resource": _resource(form.kind),
        "requestKind": _kind(asked.spoken),
        "requestResource": _resource(asked.kind),
        **below,
        **{field: value for field, value in named.items() if value},
        "operation": attributes.operation,
        "userInfo": request.user.info,
        "dryRun": request.dry_run,
        "options": _options(attributes),
    }


def _kind(spoken: Spoken) -> Object:
    return {"group": spoken.group, "version": spoken.version, "kind": spoken.kind}


def _resource(kind: Kind) -> Object:
    return {"group": kind.group, "version": kind.version, "resource": kind.plural}


def _options(attributes: Attributes) -> Object | None:
    name, request = _OPTIONS.get(attributes.operation), attributes.request
    if name is None:
        return None
    found: Object = {"kind": name, "apiVersion": "meta.k8s.io/v1"}
    if attributes.options is not None:
        return {**attributes.options, **found}
    if request.dry_run:
        found["dryRun"] = ["All"]
    for option in ("fieldManager", "fieldValidation"):
        if request.option(option):
            found[option] = request.option(option)
    return found

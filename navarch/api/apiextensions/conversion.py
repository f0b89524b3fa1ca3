"""What a webhook has made of objects of another version (apiextensions-apiserver/pkg/apiserver/conversion).

Whoever needs an object in another version asks here, and does not wait: what is not known is raised as something that is
needed. Whoever may wait has it converted and then asks again. What a webhook makes may depend on nothing of the metadata but
name, namespace, labels and annotations.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Any

import orjson

from navarch.api import objectmeta
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object, StatusError

REMEMBERED_LIMIT = 4096
_CHANGEABLE = ("labels", "annotations")
"""What of the metadata a webhook may change."""


class _Part(Enum):
    """What of a converted object may be wrong."""

    HEAD = auto()
    IDENTITY = auto()
    METADATA = auto()

    def shown(self, index: int, count: int) -> str:
        """As messages call it; where the object is the only one, they know no better."""
        if count > 1:
            return f"metadata in object at index {index}" if self is _Part.METADATA else f"converted object at index {index}"
        return {_Part.HEAD: f"object at index {index}", _Part.IDENTITY: "object", _Part.METADATA: "metadata"}[self]


class ConversionNeeded(Exception):
    """An object must be converted before this can go on."""

    def __init__(self, conversions: Conversions, obj: Object, target: str) -> None:
        super().__init__(f"{obj.get('apiVersion')} to {target}")
        self.conversions, self.obj, self.target = conversions, obj, target


class ConversionError(Exception):
    """What a webhook has answered cannot be used."""


class Conversions:
    """The objects of one definition, as far as they have been converted."""

    def __init__(self, kind: str, webhook: Object) -> None:
        self._kind = kind
        self.config: Object = webhook["clientConfig"]
        self.review_version = next(version for version in webhook["conversionReviewVersions"] if version in ("v1", "v1beta1"))
        self._found: OrderedDict[bytes, Object] = OrderedDict()

    def get(self, obj: Object, target: str) -> Object:
        """An object in the version `target`. Raises ConversionNeeded."""
        key = _key(obj, target)
        found = self._found.get(key)
        if found is None:
            raise ConversionNeeded(self, obj, target)
        self._found.move_to_end(key)
        return {**found, "metadata": _restored(obj["metadata"], found["metadata"])}

    def needed(self, objects: Iterable[Object], target: str) -> list[Object]:
        """Those, once each, of which it is not known what they are in that version."""
        missing: dict[bytes, Object] = {}
        for obj in objects:
            key = _key(obj, target)
            if obj["apiVersion"] != target and key not in self._found:
                missing[key] = obj
        return list(missing.values())

    def keep(self, objects: list[Object], target: str, made: list[Object]) -> None:
        """What they have become."""
        for obj, found in zip(objects, made, strict=True):
            self._found[_key(obj, target)] = found
        while len(self._found) > max(REMEMBERED_LIMIT, len(objects)):
            self._found.popitem(last=False)

    # Reviews

    def review(self, uid: str, objects: list[Object], target: str) -> Object:
        """What the webhook is asked."""
        return {
            "kind": "ConversionReview",
            "apiVersion": f"apiextensions.k8s.io/{self.review_version}",
            "request": {"uid": uid, "desiredAPIVersion": target, "objects": objects},
        }

    def converted(self, uid: str, objects: list[Object], target: str, answer: Any) -> list[Object]:
        """What it has answered. Raises StatusError."""
        try:
            made = _checked_answer(answer, f"apiextensions.k8s.io/{self.review_version}", uid)
        except ConversionError as error:
            raise self.failure(objects, f"failed: {error}") from None
        if len(made) != len(objects):
            raise self.failure(objects, f"returned {len(made)} objects, expected {len(objects)}")
        for index, (obj, found) in enumerate(zip(objects, made, strict=True)):
            for part, problem in _problems(obj, found, target):
                raise self.failure(objects, f"returned invalid {part.shown(index, len(objects))}: {problem}")
        return made

    def failure(self, objects: list[Object], text: str) -> StatusError:
        """The webhook is of no use."""
        version = str(objects[0]["apiVersion"])
        return errors.status_error(500, "", f"conversion webhook for {version}, Kind={self._kind} {text}")


def _key(obj: Object, target: str) -> bytes:
    """What an object becomes depends on this."""
    metadata = obj["metadata"]
    left = {field: metadata[field] for field in ("namespace", *_CHANGEABLE) if metadata.get(field)}
    if not metadata.get("generateName") or metadata.get("resourceVersion"):
        # A name that is yet to be given is another at every attempt.
        left["name"] = metadata.get("name")
    return orjson.dumps([target, {**obj, "metadata": left}], option=orjson.OPT_SORT_KEYS)


def _restored(metadata: Object, made: Object) -> Object:
    """The metadata as they were, but for what may be changed."""
    result = {key: value for key, value in metadata.items() if key not in _CHANGEABLE}
    return {**result, **{field: made[field] for field in _CHANGEABLE if made.get(field) is not None}}


def _checked_answer(answer: Any, api_version: str, uid: str) -> list[Any]:
    if not isinstance(answer, dict) or (answer.get("apiVersion"), answer.get("kind")) != (api_version, "ConversionReview"):
        heads = answer if isinstance(answer, dict) else {}
        found = f"{heads.get('apiVersion') or '/'}, Kind={heads.get('kind', '')}"
        raise ConversionError(f"expected webhook response of {api_version}, Kind=ConversionReview, got {found}")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise ConversionError("no response provided")
    if response.get("uid") != uid and not api_version.endswith("v1beta1"):
        raise ConversionError(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    result = response.get("result") or {}
    status = result.get("status", "")
    if status != "Success":
        raise ConversionError(result.get("message") or f"response.result.status was '{status}', not 'Success'")
    return list(response.get("convertedObjects") or ())


def _problems(obj: Object, made: Any, target: str) -> Iterator[tuple[_Part, str]]:
    """What of an object is wrong, and how."""
    if not isinstance(made, dict) or not made.get("kind"):
        yield _Part.HEAD, "Object 'Kind' is missing"
        return
    if made.get("apiVersion") != target:
        yield _Part.HEAD, f"invalid groupVersion (expected {target}, received {made.get('apiVersion', '')})"
    if made["kind"] != obj["kind"]:
        yield _Part.HEAD, f"invalid kind (expected {obj['kind']}, received {made['kind']})"
    metadata = made.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    for field, shown in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        before, after = obj["metadata"].get(field, ""), known.get(field, "")
        if before != after:
            yield _Part.IDENTITY, f"must have the same {shown}: {before} != {after}"
    if "metadata" not in made:
        yield _Part.METADATA, "missing metadata in converted object"
    elif not isinstance(metadata, dict):
        yield _Part.METADATA, f"invalid metadata of type {_go_type(metadata)} in converted object"
    for field in _CHANGEABLE:
        yield from ((_Part.METADATA, problem) for problem in _changed(field, known.get(field)))


def _changed(field: str, values: Any) -> Iterator[str]:
    """What is wrong with labels or annotations."""
    if values is None:
        return
    if not isinstance(values, dict):
        yield f"invalid metadata.{field} of type {_go_type(values)} in converted object"
        return
    for key, value in values.items():
        if not isinstance(value, str):
            yield f"metadata.{field}[{key}] must be a string, but is {_go_type(value)} in converted object"
            return
    rules = objectmeta.validate_labels if field == "labels" else objectmeta.validate_annotations
    texts = [problem.message for problem in rules(values, f"metadata.{field}")]
    if texts:
        yield texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _go_type(value: Any) -> str:
    """What Go calls the type of a decoded value."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case int():
            return "int64"
        case float():
            return "float64"
        case str():
            return "string"
        case list():
            return "[]interface {}"
    return "map[string]interface {}"

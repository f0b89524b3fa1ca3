"""What the rules of a kind say about an object, without a server: decoded, defaulted, validated."""

from __future__ import annotations

import copy

from navarch.api import objectmeta, schemas
from navarch.api.registry import resource
from navarch.apimachinery.decoding import decode
from navarch.apimachinery.errors import Object
from tests.apiserver.samples import name_of, sample


def merged(base: Object, change: Object) -> Object:
    """`base` with fields replaced, deeply; None removes."""
    result = dict(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def made(name: str, change: Object | None = None) -> Object:
    """The sample of a kind with `change` merged into it, as it would be stored."""
    kind = resource(name)
    obj = merged(sample(kind, name_of(kind, "sample"), uid="u"), change or {})
    return kind.prepare_create(kind.default(decode(obj, schemas.of(kind)).object))


def on_create(name: str, change: Object | None = None) -> list[str]:
    """Messages about the sample of a kind with `change` merged into it, as a new object."""
    kind, obj = resource(name), made(name, change)
    problems = [*objectmeta.validate(kind, obj), *kind.validate(obj)]
    if kind.validate_create is not None:
        problems += kind.validate_create(obj)
    return [problem.message for problem in problems]


def on_update(name: str, change: Object, before: Object | None = None, subresource: str = "") -> list[str]:
    """Messages about an update that merges `change` into the sample with `before` merged into it."""
    kind = resource(name)
    old = made(name, before)
    new = kind.default(decode(merged(copy.deepcopy(old), change), schemas.of(kind)).object)
    if subresource == "status":
        if kind.prepare_status_update is not None:
            new = kind.prepare_status_update(new, old)
        return [problem.message for problem in kind.validate_status_update(new, old)]
    if subresource:
        update = kind.subresource_updates[subresource]
        return [problem.message for problem in update.validate(update.prepare(new, old), old)]
    if kind.prepare_update is not None:
        new = kind.prepare_update(new, old)
    problems = [*objectmeta.validate_update(new, old), *objectmeta.validate(kind, new), *kind.validate(new)]
    if kind.validate_update is not None:
        problems += kind.validate_update(new, old)
    return [problem.message for problem in problems]

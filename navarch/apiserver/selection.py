"""Which objects of a kind a list or watch is about: label and field selectors, decided on encoded objects where possible."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from navarch.api.kind import Getter, Kind
from navarch.apimachinery import errors, selectors
from navarch.apimachinery.errors import Object
from navarch.storage.changes import Record
from navarch.storage.watchers import Term

# Strings that JSON writes as they are, so that they can be searched for in encoded objects.
_UNQUOTED = re.compile(r"(true|false|[0-9]+)\Z", re.ASCII)
"""What may stand for a boolean or a number, or for one that is left out."""
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+\Z", re.ASCII)
_STRING = rb'"[^"\\]*"'
# The labels of an object whose metadata come first, with nothing before them that has to be parsed: no text has an escape,
# and none a brace or bracket where one counts. What a text holds cannot pass for a field then, as its quotes would be escaped.
_LABELS = re.compile(
    rb'\{(?:"(?:apiVersion|kind)":%b,){0,2}"metadata":\{'
    rb'(?:"[A-Za-z]+":(?:%b|[0-9]+|\{[^{}\\]*\}|\[[^][\\]*\]),)*?"labels":(\{(?:%b:%b,?)*\})' % ((_STRING,) * 4)
)


@dataclass(frozen=True, slots=True)
class Selection:
    """The conditions of one list or watch."""

    labels: selectors.Selector
    fields: tuple[tuple[Getter, str, bool], ...]
    """(field, value, whether it must be equal)."""
    needles: tuple[bytes, ...] = ()
    """What every selected object's encoding contains."""
    encoded_labels: tuple[bytes, ...] = ()
    """Those of them that are labels with their values: the store can find them."""
    name: str = ""
    """The only one that is selected, if there is one."""
    term: Term | None = None
    """Without which nothing is selected: by it the store finds whom a change concerns."""

    @property
    def is_everything(self) -> bool:
        return self.labels.is_everything and not self.fields

    def may_match(self, record: Record) -> bool:
        """False where the encoding alone rules the object out."""
        data = record.data
        return all(needle in data for needle in self.needles)

    def matches(self, obj: Object) -> bool:
        return self.labels.matches(obj["metadata"].get("labels") or {}) and all(
            (get(obj) == value) is equal for get, value, equal in self.fields
        )

    def choose(self, records: Iterable[Record]) -> list[Record]:
        """Those that are selected."""
        for needle in self.needles:
            records = [record for record in records if needle in record.data]
        if self.is_everything:
            return list(records)
        return [record for record in records if self._matches(record)]

    def selects(self, record: Record) -> bool:
        return self.may_match(record) and (self.is_everything or self._matches(record))

    def _matches(self, record: Record) -> bool:
        return self.matches(record.object()) if self.fields else self.labels.matches(_labels(record))


def _labels(record: Record) -> Mapping[str, str]:
    """An object's labels, mostly without decoding the rest of it."""
    found = _LABELS.match(record.data)
    labels: Mapping[str, str] = orjson.loads(found[1]) if found else record.object()["metadata"].get("labels") or {}
    return labels


EVERYTHING = Selection(selectors.EVERYTHING, ())


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _namespace(obj: Object) -> str:
    return str(obj["metadata"].get("namespace", ""))


def parse(kind: Kind, label_selector: str, field_selector: str) -> Selection:
    """The selection of these query parameters. Raises 400 for what is malformed or not supported."""
    try:
        labels = selectors.parse(label_selector)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    try:
        requirements = selectors.parse_fields(field_selector)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    selectable = kind.selectable_fields or kind.stored.selectable_fields
    getters: dict[str, Getter] = {"metadata.name": _name, **selectable}
    is_plain = not selectable and not kind.is_custom
    if kind.namespaced or is_plain:
        getters["metadata.namespace"] = _namespace
    fields = []
    name, term = "", None
    for requirement in requirements:
        getter = getters.get(requirement.field)
        if getter is None:
            unknown = kind.stored.unselectable.format(requirement.field)
            if is_plain:
                unknown = f'"{requirement.field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
            raise errors.bad_request(unknown)
        fields.append((getter, requirement.value, requirement.equal))
        if requirement.equal and requirement.field == "metadata.name":
            name = requirement.value
        elif requirement.equal and requirement.field in kind.stored.indexed_fields and _PLAIN.match(requirement.value):
            beginning = f'"{requirement.field.rpartition(".")[2]}":"'
            term = Term(beginning.encode(), requirement.value.encode())
    # What a custom resource is selected by may be a default, of which the encoding knows nothing.
    sure = () if kind.is_custom else fields
    wanted = [f'"{value}"' for _, value, equal in sure if equal and not _UNQUOTED.match(value) and _PLAIN.match(value)]
    found = []
    for label in labels.requirements:
        # Longer needles are found, or not, faster: a label is searched for with its key.
        if label.operator == "in" and len(label.values) == 1 and _PLAIN.match(label.key) and _PLAIN.match(label.values[0]):
            found.append(f'"{label.key}":"{label.values[0]}"'.encode())
    needles = (*(needle.encode() for needle in wanted), *found)
    return Selection(labels, tuple(fields), needles, tuple(found), name, term)
